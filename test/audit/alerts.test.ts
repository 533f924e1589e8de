import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { ALERT_THRESHOLDS, ALERT_WINDOW_MS, createAttackWatch } from '../../src/audit/alerts.js';
import { createEventRecorder } from '../../src/audit/event-recorder.js';
import type { EventStore, Happening } from '../../src/audit/events.js';
import { createFieldCipher } from '../../src/audit/field-cipher.js';
import { storeUnavailable } from '../../src/errors.js';
import { newAccountId } from '../../src/lib/ids.js';
import { limitAddress } from '../../src/security/client-address.js';
import { createAccountStore } from '../../src/stores/sql/account-store.js';
import { type Dialect, openDatabase } from '../../src/stores/sql/database.js';
import { createEventStore } from '../../src/stores/sql/event-store.js';
import { createEventWriter } from '../../src/stores/sql/event-writer.js';
import { freshDatabase } from '../support/postgres-server.js';

const KEY = Buffer.from(Array.from({ length: 32 }, (_, n) => 7 * n)).toString('base64');
const { sprayedAccounts, sprayedNames, guessingAddresses, codesOfAddress } = ALERT_THRESHOLDS;

/** One database, and any number of processes that store events in it and watch them. */
async function makeWatched(t: Test, dialect: Dialect) {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-alerts-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const url = dialect === 'postgres' ? await freshDatabase(t) : undefined;
  const database = openDatabase({ url, dataDir });
  t.teardown(() => database.close());
  await database.migrate();
  const { db } = database;
  const cipher = createFieldCipher([KEY]);
  const write = createEventWriter(dialect, { cipher });
  const store = createEventStore(db, { dialect, cipher, write });
  const accounts = createAccountStore(database, write);
  let time = 1000 * ALERT_WINDOW_MS;
  const now = () => time;

  function makeProcess({ summarize = store.summarize }: { summarize?: EventStore['summarize'] } = {}) {
    const troubles: unknown[] = [];
    const onTrouble = (error: unknown) => troubles.push(error);
    const recorder = createEventRecorder({ store, now, onTrouble });
    const watch = createAttackWatch({
      summarize,
      raise: recorder.record,
      addressGroup: limitAddress,
      now,
      onTrouble,
    });
    recorder.onStored(watch.note);
    t.teardown(async () => {
      watch.close();
      await recorder.close();
    });
    return {
      troubles,
      watch,
      record: recorder.record,
      /** Lets it find what there is to find. */
      async settle() {
        await recorder.flush();
        await watch.inspect();
        await recorder.flush();
      },
    };
  }

  return {
    makeProcess,
    store,
    advance(ms: number) {
      time += ms;
    },
    alerts: async () =>
      (await store.list({ types: ['alert'] }, { limit: 100 })).map(({ detail, ip, userId }) => ({
        ...detail,
        ...(ip === undefined ? {} : { ip }),
        ...(userId === undefined ? {} : { userId }),
      })),
    async addUsers(count: number): Promise<string[]> {
      const ids = Array.from({ length: count }, () => newAccountId());
      for (const id of ids) {
        const account = {
          ...{ id, email: null, username: null, phone: null, passwordHash: null, firstName: '' },
          ...{ lastName: '', userType: null, role: 'viewer', dateJoined: 1 },
        };
        await accounts.insert(account, { type: 'registered', at: 0, userId: id });
      }
      return ids;
    },
  };
}

const failed = (ip: string, userId?: string): Happening => ({
  type: 'login_failed',
  userId,
  client: { ip, userAgent: 'x' },
});

for (const dialect of ['sqlite', 'postgres'] as const) {
  t.test(dialect, async (t) => {
    await t.test('one address and the passwords of many accounts', async (t) => {
      const { makeProcess, alerts, addUsers, advance } = await makeWatched(t, dialect);
      const users = await addUsers(sprayedAccounts);
      const [one, other] = [makeProcess(), makeProcess()];
      for (const userId of users.slice(1)) one.record(failed('192.0.2.1', userId));
      for (const userId of users) one.record({ type: 'login', userId, client: { ip: '192.0.2.1' } });
      await one.settle();
      t.same(await alerts(), [], 'one account fewer is none');

      other.record(failed('192.0.2.1', users[0]));
      other.record(failed('192.0.2.1', users[0]));
      await other.settle();
      const alert = {
        ...{ alert: 'password_spraying', accounts: sprayedAccounts, failures: sprayedAccounts + 1 },
        ...{ window: ALERT_WINDOW_MS / 1000, ip: '192.0.2.1' },
      };
      t.same(await alerts(), [alert], 'also when several processes each saw some of it');

      for (const process of [one, other]) process.record(failed('192.0.2.1', users[1]));
      await Promise.all([one.settle(), other.settle()]);
      t.same(await alerts(), [alert], 'one in an hour, whoever notices');

      advance(ALERT_WINDOW_MS / 2);
      for (const userId of users) one.record(failed('192.0.2.1', userId));
      advance(ALERT_WINDOW_MS / 2);
      one.record(failed('192.0.2.1', users[0]));
      await one.settle();
      t.equal((await alerts()).length, 2, 'and one in the next, if it goes on');
      advance(ALERT_WINDOW_MS);
      one.record(failed('192.0.2.1', users[0]));
      await one.settle();
      t.equal((await alerts()).length, 2, 'what is long ago does not count');
    });

    await t.test('names that nobody has count as well, and so does all of a /64', async (t) => {
      const { makeProcess, alerts, addUsers } = await makeWatched(t, dialect);
      const [userId] = await addUsers(1);
      const process = makeProcess();
      for (let n = 1; n < sprayedNames; n++) process.record(failed(`2001:db8::${n}`));
      process.record(failed('2001:db8:0:1::1', userId));
      await process.settle();
      t.same(await alerts(), []);
      process.record(failed('2001:db8::ffff', userId));
      await process.settle();
      t.match(await alerts(), [{ alert: 'password_spraying', accounts: 1, failures: sprayedNames }]);
      t.match((await alerts())[0]?.ip, /^2001:db8::/);
    });

    await t.test('many addresses and the password of one account', async (t) => {
      const { makeProcess, alerts, addUsers } = await makeWatched(t, dialect);
      const [userId, other] = (await addUsers(2)) as [string, string];
      const process = makeProcess();
      for (let n = 1; n < guessingAddresses; n++) process.record(failed(`192.0.2.${n}`, userId));
      for (let n = 1; n < 20; n++) process.record(failed('192.0.2.1', other));
      await process.settle();
      t.same(await alerts(), [], 'many failures from one address are no such thing');
      process.record(failed('192.0.2.99', userId));
      await process.settle();
      t.same(await alerts(), [
        {
          ...{ alert: 'distributed_guessing', addresses: guessingAddresses, failures: guessingAddresses },
          ...{ window: ALERT_WINDOW_MS / 1000, userId },
        },
      ]);
    });

    await t.test('floods of codes', async (t) => {
      const { makeProcess, alerts } = await makeWatched(t, dialect);
      const process = makeProcess();
      const send = (type: 'otp_sent' | 'otp_withheld' | 'otp_send_suspected', ip: string) =>
        process.record({ type, client: { ip, userAgent: 'x' } });
      for (let n = 1; n < codesOfAddress; n++) send(n % 2 ? 'otp_sent' : 'otp_withheld', '192.0.2.1');
      await process.settle();
      t.same(await alerts(), []);
      send('otp_sent', '192.0.2.1');
      send('otp_send_suspected', '192.0.2.2');
      await process.settle();
      const found = (await alerts()).sort((a, b) => String(a.ip).localeCompare(String(b.ip)));
      const alert = { alert: 'otp_flood', window: ALERT_WINDOW_MS / 1000 };
      t.same(found, [
        { ...alert, ip: '192.0.2.1', count: codesOfAddress },
        { ...alert, ip: '192.0.2.2', count: 1 },
      ]);
    });

    await t.test('a reuse raises one in an hour for each user', async (t) => {
      const { makeProcess, alerts, addUsers, advance } = await makeWatched(t, dialect);
      const [userId, other] = (await addUsers(2)) as [string, string];
      const process = makeProcess();
      const reuse = (id: string) =>
        process.record({
          type: 'token_reused',
          userId: id,
          sessionId: 's',
          reason: 'reuse',
          client: { ip: '::1' },
        });
      for (const id of [userId, userId, other]) reuse(id);
      await process.settle();
      t.same((await alerts()).map((each) => each.userId).sort(), [userId, other].sort());
      t.match(await alerts(), Array(2).fill({ alert: 'token_reuse', ip: '::1' }));
      advance(ALERT_WINDOW_MS);
      reuse(userId);
      await process.settle();
      t.equal((await alerts()).length, 3);
    });
  });
}

t.test('a flood from everywhere is looked at in bounded pieces', async (t) => {
  const { makeProcess, store } = await makeWatched(t, 'sqlite');
  const asked: { ips: number; users: number }[] = [];
  let isAway = true;
  const process = makeProcess({
    async summarize(suspects) {
      asked.push({ ips: suspects.ips.length, users: suspects.userIds.length });
      if (isAway) throw storeUnavailable(new Error('away'));
      return store.summarize(suspects);
    },
  });
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  process.watch.note(
    Array.from({ length: 5000 }, (_, n) => ({
      ...{ type: 'login_failed', at: 1, userId: `u${n}`, ip: `10.0.${n >> 8}.${n & 255}` },
    })),
  );
  process.watch.note([
    { type: 'login_failed', at: 1 },
    { type: 'login', at: 1, ip: '::1', userId: 'x' },
  ]);
  const settle = async () => {
    for (let n = 0; n < 50; n++) await new Promise((next) => setImmediate(next));
  };
  mock.timers.tick(1000);
  await settle();
  t.same(asked, [{ ips: 50, users: 50 }]);
  t.match(process.troubles, [{ code: 'store_unavailable' }], 'what goes wrong is told');
  isAway = false;
  for (let second = 0; second < 30; second++) {
    mock.timers.tick(1000);
    await settle();
  }
  t.equal(asked.length, 20, 'a thousand wait, at most');
  t.equal(process.troubles.length, 1);
  process.watch.note([{ type: 'login_failed', at: 1, ip: '::1' }]);
  process.watch.close();
  process.watch.note([{ type: 'login_failed', at: 1, ip: '::1' }]);
  mock.timers.tick(5000);
  await settle();
  t.equal(asked.length, 20, 'no timer is left');
});
