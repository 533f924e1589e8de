import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import pg from 'pg';
import t, { type Test } from 'tap';
import { describeAlert } from '../../src/audit/alerts.js';
import type { EventFilter, SecurityEvent, StoredEvent } from '../../src/audit/events.js';
import { createFieldCipher } from '../../src/audit/field-cipher.js';
import { QUARTER_MS } from '../../src/audit/time-buckets.js';
import { newAccountId, newEventId, newTokenId } from '../../src/lib/ids.js';
import { createAccountStore } from '../../src/stores/sql/account-store.js';
import { type Database, type Dialect, openDatabase } from '../../src/stores/sql/database.js';
import { createEventStore } from '../../src/stores/sql/event-store.js';
import { createEventWriter } from '../../src/stores/sql/event-writer.js';
import { freshDatabase } from '../support/postgres-server.js';

const [OLD_KEY, NEW_KEY] = ['k', 'K'].map((letter) =>
  Buffer.from(Array.from({ length: 32 }, (_, n) => letter.charCodeAt(0) + n)).toString('base64'),
) as [string, string];

interface Place {
  database: Database;
  url: string | undefined;
}

async function openPlace(t: Test, dialect: Dialect): Promise<Place> {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-events-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const url = dialect === 'postgres' ? await freshDatabase(t) : undefined;
  const database = openDatabase({ url, dataDir });
  t.teardown(() => database.close());
  await database.migrate();
  return { database, url };
}

function openStores(database: Database, { keys = [] as string[], postsAlerts = false } = {}) {
  const { db, dialect } = database;
  const cipher = createFieldCipher(keys);
  const write = createEventWriter(dialect, {
    cipher,
    describeAlert: postsAlerts ? describeAlert : undefined,
  });
  return {
    db,
    cipher,
    write,
    accounts: createAccountStore(database, write),
    events: createEventStore(db, { dialect, cipher, write }),
  };
}

async function addUser({ accounts }: ReturnType<typeof openStores>): Promise<string> {
  const id = newAccountId();
  const account = {
    ...{ id, email: null, username: null, phone: null, passwordHash: null, firstName: '', lastName: '' },
    ...{ userType: null, role: 'viewer', dateJoined: 1 },
  };
  await accounts.insert(account, { type: 'registered', at: 0, userId: id });
  return id;
}

const times = (events: readonly StoredEvent[]): number[] => events.map(({ at }) => at);

for (const dialect of ['sqlite', 'postgres'] as const) {
  t.test(dialect, async (t) => {
    const { database, url } = await openPlace(t, dialect);
    const { db } = database;
    const plain = openStores(database);

    await t.test('what is stored is what is read', async (t) => {
      const { events } = plain;
      const userId = await addUser(plain);
      const full: SecurityEvent = {
        ...{ uid: newEventId(), type: 'alert', at: 1_767_610_800_123, userId, sessionId: newTokenId() },
        ...{ actorId: newAccountId(), reason: 'reuse', ip: '2001:db8::1', userAgent: 'Firefox «1»' },
        detail: { alert: 'password_spraying', accounts: 12, window: 3600 },
      };
      await events.insert([full, { type: 'login', at: 5, userId }]);
      const [first, second, registered, ...more] = await events.list({ userId }, { limit: 10 });
      t.strictSame(first, { id: first?.id, ...full });
      t.match(second, { id: Number, uid: /^[0-9a-f-]{36}$/, type: 'login', at: 5, userId });
      t.strictSame(
        [second?.sessionId, second?.ip, second?.userAgent, second?.detail, second?.unreadable],
        Array(5).fill(undefined),
      );
      t.match(registered, { type: 'registered' });
      t.same(more, []);
      t.same(
        (await events.listOfUser(userId, { limit: 10 })).map(({ type }) => type),
        ['login', 'registered'],
        'its owner is not shown what is for operators',
      );
      await events.insert([]);
    });

    await t.test('an event is stored and counted once, however often it is sent', async (t) => {
      const { events } = plain;
      const userId = await addUser(plain);
      const at = 40 * QUARTER_MS + 5;
      const event: SecurityEvent = { uid: newEventId(), type: 'logout', at, userId };
      const named: SecurityEvent = { once: `x:${userId}`, type: 'alert', at, userId };
      await events.insert([event, named, named]);
      await events.insert([event, { ...named, detail: { count: 2 } }, { ...event, uid: newEventId() }]);
      t.equal((await events.list({ userId, types: ['logout'] }, { limit: 9 })).length, 2);
      const [alert, ...others] = await events.list({ userId, types: ['alert'] }, { limit: 9 });
      t.same([alert?.detail, others], [undefined, []], 'of those with one name the first stays');
      t.same(
        (await events.count([{ from: at, to: at + QUARTER_MS }], ['logout', 'alert'])).length,
        0,
        'counted to the quarter of an hour in which it happened',
      );
      await events.tally([{ at: 60 * QUARTER_MS, type: 'token_refreshed', count: 2 }]);
      await events.tally([
        { at: 60 * QUARTER_MS, type: 'token_refreshed', count: 3 },
        { at: 61 * QUARTER_MS, type: 'token_refreshed', count: 4 },
      ]);
      t.same(
        await events.count([{ from: 60 * QUARTER_MS, to: 61 * QUARTER_MS }], ['token_refreshed']),
        [{ span: 0, type: 'token_refreshed', count: 5 }],
        'what is counted and not stored',
      );
      const quarter = { from: 40 * QUARTER_MS, to: 41 * QUARTER_MS };
      t.same(
        (await events.count([quarter], ['alert', 'logout'])).sort((a, b) => a.count - b.count),
        [
          { span: 0, type: 'alert', count: 1 },
          { span: 0, type: 'logout', count: 2 },
        ],
      );
    });

    await t.test('events may stand for others in the counts', async (t) => {
      const span = { from: 80 * QUARTER_MS, to: 84 * QUARTER_MS };
      await plain.events.insert([
        { type: 'login_failed', at: span.from },
        { type: 'login_failed', at: span.to - 1 },
        {
          ...{ type: 'events_dropped', at: span.from + 1, detail: { of: 'login_failed', count: 900 } },
          standsFor: { type: 'login_failed', count: 900 },
        },
      ]);
      const later = { from: span.to, to: span.to + QUARTER_MS };
      await plain.events.insert([{ type: 'login_failed', at: later.from }]);
      t.same(
        (await plain.events.count([span, later], ['login_failed', 'events_dropped'])).sort(
          (a, b) => a.span - b.span,
        ),
        [
          { span: 0, type: 'login_failed', count: 902 },
          { span: 1, type: 'login_failed', count: 1 },
        ],
      );
    });

    await t.test('lists: every filter, page by page, by an index and without sorting', async (t) => {
      const stores = openStores((await openPlace(t, dialect)).database);
      const { events } = stores;
      const [one, other] = [await addUser(stores), await addUser(stores)];
      const [actorId, sessionId] = [newAccountId(), newTokenId()];
      const types = ['login', 'logout', 'token_refreshed'] as const;
      await events.insert(
        Array.from({ length: 120 }, (_, n) => ({
          type: types[n % 3] as (typeof types)[number],
          // Several at one time, and not in the order in which they are stored.
          at: 1000 + Math.floor(((n * 7) % 120) / 4),
          userId: n % 2 ? one : other,
          actorId: n % 5 ? undefined : actorId,
          sessionId: n % 4 ? undefined : sessionId,
          ip: n % 6 ? `2001:db8:0:${n % 3}::${n}` : '192.0.2.1',
        })),
      );
      const all = await events.list({ from: 1 }, { limit: 1000 });
      t.equal(all.length, 120);
      const newestFirst = all.toSorted((a, b) => b.at - a.at || b.id - a.id);
      t.same(all, newestFirst, 'newest first');

      const cases: [EventFilter, (event: StoredEvent) => boolean][] = [
        [{}, () => true],
        [{ userId: one }, ({ userId }) => userId === one],
        [{ actorId }, (event) => event.actorId === actorId],
        [{ sessionId }, (event) => event.sessionId === sessionId],
        [{ ip: '192.0.2.1' }, ({ ip }) => ip === '192.0.2.1'],
        [{ ip: '2001:db8:0:1:ffff::' }, ({ ip }) => ip?.startsWith('2001:db8:0:1:') === true],
        [{ types: ['login'] }, ({ type }) => type === 'login'],
        [{ types: ['login', 'logout'] }, ({ type }) => type !== 'token_refreshed'],
        [{ types: [] }, () => false],
        [
          { userId: one, types: ['login', 'logout'], ip: '192.0.2.1' },
          ({ userId, type, ip }) => userId === one && type !== 'token_refreshed' && ip === '192.0.2.1',
        ],
        [
          { userId: other, types: ['login', 'alert'], sessionId },
          (event) => event.userId === other && event.type === 'login' && event.sessionId === sessionId,
        ],
        [{ to: 1020, types: ['logout'] }, ({ at, type }) => at < 1020 && type === 'logout'],
      ];
      for (const [filter, matches] of cases) {
        const asked = { from: 1010, ...filter };
        const expected = all.filter((event) => event.at >= 1010 && matches(event)).map(({ id }) => id);
        const found: number[] = [];
        for (let before: number | undefined; ; before = found.at(-1)) {
          const page = await events.list(asked, { before, limit: 7 });
          found.push(...page.map(({ id }) => id));
          if (page.length < 7) break;
        }
        t.same(found, expected, `${JSON.stringify(filter)}: ${expected.length}`);
      }
      t.same(await events.list({ userId: newAccountId() }, { limit: 5 }), []);
      t.same(await events.list({ userId: one }, { limit: 5, before: 1 }), [], 'before the first');

      // What the page ended on is cleaned away before the next is asked for.
      const page = await events.list({}, { limit: 7 });
      const last = page.at(-1) as StoredEvent;
      await stores.db.deleteFrom('events').where('id', '=', last.id).execute();
      const rest = await events.list({}, { limit: 1000, before: last.id });
      t.ok(
        rest.length > 0 && rest.every(({ at }) => at <= last.at),
        'the list goes on, and not from the start',
      );
    });

    await t.test('what is left of events when their user is gone', async (t) => {
      const stores = openStores(database, { keys: [NEW_KEY] });
      const { events, accounts } = stores;
      const [gone, stays] = [await addUser(stores), await addUser(stores)];
      const actorId = newAccountId();
      const late = (userId: string, at: number): SecurityEvent => ({
        ...{ type: 'login', at, userId, actorId, sessionId: newTokenId() },
        ...{ ip: '192.0.2.66', userAgent: 'Late', reason: 'admin' },
      });
      await events.insert([late(gone, 2_000_000_000_001), late(stays, 2_000_000_000_002)]);
      await accounts.erase(gone, 2_000_000_000_003);
      // Another process had them waiting.
      await events.insert([late(gone, 2_000_000_000_004), late(stays, 2_000_000_000_005)]);
      const [fifth, fourth, third, second, first] = await events.list({ from: 2e12 }, { limit: 5 });
      t.match([fifth, second], Array(2).fill({ userId: stays, ip: '192.0.2.66', userAgent: 'Late' }));
      for (const [event, at] of [
        [first, 2_000_000_000_001],
        [fourth, 2_000_000_000_004],
      ] as const) {
        t.strictSame(
          { ...event, id: 0, uid: '' },
          {
            ...{ id: 0, uid: '', at, type: 'login', userId: undefined, actorId, sessionId: undefined },
            ...{ reason: 'admin', ip: undefined, userAgent: undefined, detail: undefined },
          },
          'not to whom it happened, nor from where',
        );
      }
      t.match(third, { type: 'account_deleted', userId: undefined });
      const rows = await db.selectFrom('events').selectAll().where('at', '>', 2e12).execute();
      t.equal(rows.filter(({ ip_key }) => ip_key !== null).length, 2);
    });

    await t.test("an account's last login is the latest, in whatever order logins are stored", async (t) => {
      const { accounts, events } = plain;
      const people = await Promise.all(Array.from({ length: 12 }, () => addUser(plain)));
      const [one, other, third] = people as [string, string, string];
      const lastOf = async (id: string) => (await accounts.findById(id))?.lastLogin;
      const login = (userId: string, at: number): SecurityEvent => ({ type: 'login', at, userId });

      await events.insert([login(one, 30), login(other, 40), login(one, 50), login(one, 20)]);
      await events.insert([
        login(one, 45),
        { type: 'logout', at: 60, userId: one },
        { type: 'login', at: 70 },
      ]);
      await events.insert([{ type: 'login_failed', at: 80, userId: third }]);
      t.strictSame([await lastOf(one), await lastOf(other), await lastOf(third)], [50, 40, 1]);
      await db.updateTable('users').set({ last_login: null }).where('id', '=', third).execute();
      await events.insert([login(third, 5), login(newAccountId(), 90)]);
      t.equal(await lastOf(third), 5, 'the first');

      // Two servers whose batches name the same people in another order wait for each other, and neither for both.
      for (let at = 100; at < 120; at += 2) {
        await Promise.all([
          events.insert(people.map((id) => login(id, at))),
          events.insert(people.map((id) => login(id, at + 1)).reverse()),
        ]);
      }
      t.same(await Promise.all(people.map(lastOf)), Array(people.length).fill(119));
    });

    if (dialect === 'postgres') {
      await t.test('an event that races a deletion waits for it', async (t) => {
        const userId = await addUser(plain);
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        t.teardown(() => client.end());
        await client.query('begin');
        await client.query('delete from users where id = $1', [userId]);
        const storing = plain.events.insert([
          { type: 'login', at: 3e12, userId, ip: '192.0.2.1' },
          { type: 'login_failed', at: 3e12, ip: '192.0.2.1' },
        ]);
        const waits = sql<{ count: number }>`select count(*) as count from pg_stat_activity
          where wait_event_type = 'Lock' and query like '%insert into "events"%' and datname = current_database()`;
        while ((await waits.execute(db)).rows[0]?.count !== 1)
          await new Promise((next) => setImmediate(next));
        await client.query('commit');
        await storing;
        const [first, second] = await plain.events.list({ from: 3e12 }, { limit: 5 });
        t.match(
          [first, second].sort((a, b) => (a?.type ?? '').localeCompare(b?.type ?? '')),
          [
            { type: 'login', userId: undefined, ip: undefined },
            { type: 'login_failed', ip: '192.0.2.1' },
          ],
        );
      });
    }

    await t.test('encryption', async (t) => {
      const place = (await openPlace(t, dialect)).database;
      const rows = () =>
        place.db.selectFrom('events').selectAll().where('ip', 'is not', null).orderBy('at').execute();
      const before = openStores(place);
      const userId = await addUser(before);
      const of = (at: number): SecurityEvent => ({
        ...{ type: 'login', at, userId, ip: `2001:db8:${'ffff:'.repeat(5)}${1000 + at}` },
        ...{ userAgent: 'U'.repeat(192), sessionId: newTokenId() },
      });
      await before.events.insert([of(1)]);
      const old = openStores(place, { keys: [OLD_KEY] });
      await old.events.insert([of(2), of(2)]);
      const rotated = openStores(place, { keys: [NEW_KEY, OLD_KEY] });
      await rotated.events.insert([of(3)]);

      const [clear, one, twin, last] = await rows();
      t.match(clear, { ip: of(1).ip, user_agent: of(1).userAgent, ip_key: '2001:db8:ffff:ffff::/64' });
      for (const row of [one, twin, last]) {
        t.match(row?.ip, /^§1\.[\w-]{8}\.[\w-]+$/);
        t.notMatch(JSON.stringify(row), /U{12}|2001:db8/, 'nothing personal in the clear');
      }
      t.not(one?.ip, twin?.ip, 'equal fields do not look equal');
      t.equal(one?.ip_key, twin?.ip_key);
      t.not(one?.ip_key, last?.ip_key, 'each key has its own hashes');

      const open = ({ unreadable, ip, userAgent }: StoredEvent) => [ip, userAgent, unreadable];
      const known = [3, 2, 2, 1].map((at) => [of(at).ip, of(at).userAgent, undefined]);
      const asked = { userId, from: 1 };
      t.strictSame((await rotated.events.list(asked, { limit: 9 })).map(open), known, 'all keys decrypt');
      t.equal((await rotated.events.list({ ip: of(7).ip }, { limit: 9 })).length, 4, 'and find');
      t.same(times(await rotated.events.list({ ip: of(7).ip }, { limit: 2 })), [3, 2]);
      t.equal((await old.events.list({ ip: of(7).ip }, { limit: 9 })).length, 3);

      const lost = [undefined, undefined, true];
      t.strictSame(
        (await old.events.list(asked, { limit: 9 })).map(open),
        [lost, ...known.slice(1)],
        'without its key a field is unreadable, and nothing fails',
      );
      t.strictSame((await before.events.list(asked, { limit: 9 })).map(open), [lost, lost, lost, known[3]]);

      // Fields of another event, and of another column.
      await place.db
        .updateTable('events')
        .set({ ip: last?.ip, user_agent: last?.ip })
        .where('at', '=', 2)
        .execute();
      await place.db
        .updateTable('events')
        .set({ user_agent: `${last?.user_agent}x` })
        .where('at', '=', 3)
        .execute();
      await place.db
        .updateTable('events')
        .set({ ip: '§1.????????.', user_agent: null })
        .where('at', '=', 1)
        .execute();
      t.strictSame((await rotated.events.list(asked, { limit: 9 })).map(open), [
        [of(3).ip, undefined, true],
        lost,
        lost,
        [undefined, undefined, true],
      ]);
    });

    await t.test('summaries of suspects', async (t) => {
      const stores = openStores((await openPlace(t, dialect)).database, { keys: [NEW_KEY] });
      const { events } = stores;
      const users = await Promise.all(Array.from({ length: 4 }, () => addUser(stores)));
      const [first] = users as [string];
      await events.insert([
        ...users.map((userId) => ({ type: 'login_failed', at: 100, userId, ip: '192.0.2.1' }) as const),
        ...[1, 2, 3].map(() => ({ type: 'login_failed', at: 101, ip: '192.0.2.1' }) as const),
        { type: 'login_failed', at: 5, ip: '192.0.2.1' },
        { type: 'otp_sent', at: 102, ip: '192.0.2.1' },
        ...[1, 2, 3].map(
          (n) => ({ type: 'login_failed', at: 103, userId: first, ip: `2001:db8:0:${n % 2}::${n}` }) as const,
        ),
      ]);
      const found = await events.summarize({
        ips: ['192.0.2.1', '2001:db8:0:1:abcd::', '192.0.2.2'],
        userIds: [first, newAccountId()],
        since: 50,
      });
      const key = ({ of, type }: { of: string; type: string }) => of + type;
      t.same(
        found.sort((a, b) => key(a).localeCompare(key(b)) || b.count - a.count),
        [
          { of: 'ip', value: '192.0.2.1', type: 'login_failed', count: 7, others: 4, unknown: 3 },
          { of: 'ip', value: '2001:db8:0:1:abcd::', type: 'login_failed', count: 2, others: 1, unknown: 0 },
          { of: 'ip', value: '192.0.2.1', type: 'otp_sent', count: 1, others: 0, unknown: 1 },
          { of: 'user', value: first, type: 'login_failed', count: 4, others: 3, unknown: 0 },
        ],
      );
      t.same(await events.summarize({ ips: [], userIds: [], since: 0 }), []);
    });

    await t.test('an alert and what is to be posted about it are stored together', async (t) => {
      const stores = openStores(database, { keys: [NEW_KEY], postsAlerts: true });
      const userId = await addUser(stores);
      const alert: SecurityEvent = {
        ...{ type: 'alert', once: `y:${userId}`, at: 1_767_610_800_000, userId, ip: '192.0.2.77' },
        detail: { alert: 'token_reuse' },
      };
      const login: SecurityEvent = { type: 'login', at: 1, userId };
      await stores.events.insert([alert, login]);
      await stores.events.insert([{ ...alert, at: alert.at + 1 }]);
      const rows = await db.selectFrom('webhook_deliveries').selectAll().execute();
      t.equal(rows.length, 1, 'once');
      const [row] = rows;
      const [event] = await stores.events.list({ userId, types: ['alert'] }, { limit: 1 });
      t.match(row, {
        id: `msg_${event?.uid?.replaceAll('-', '')}`,
        created_at: alert.at,
        next_at: alert.at,
        tries: 0,
      });
      t.notMatch(row?.body, '192.0.2.77');
      t.same(JSON.parse(stores.cipher.open(row?.body as string, row?.id as string) as string), {
        type: 'security.alert',
        timestamp: '2026-01-05T11:00:00Z',
        data: {
          event: event?.uid,
          alert: 'token_reuse',
          user_id: userId,
          session_id: null,
          ip: '192.0.2.77',
        },
      });
      await db.deleteFrom('webhook_deliveries').execute();
      await plain.events.insert([{ ...alert, once: `z:${userId}` }]);
      t.same(
        await db.selectFrom('webhook_deliveries').selectAll().execute(),
        [],
        'to nobody where nobody wants it',
      );
    });

    await t.test('all of them or none', async (t) => {
      const poisoned: SecurityEvent = { type: 'login', at: 4e12, sessionId: '\0' };
      const good: SecurityEvent = { type: 'login', at: 4e12, ip: '192.0.2.3' };
      if (dialect === 'postgres') await t.rejects(plain.events.insert([good, poisoned]));
      await plain.write(db, [good]);
      await t.rejects(
        db.transaction().execute(async (tx) => {
          await plain.write(tx, [good]);
          throw new Error('undone');
        }),
        { message: 'undone' },
      );
      t.equal(
        (await plain.events.list({ from: 4e12 }, { limit: 9 })).length,
        1,
        'in a transaction it is part of that',
      );
      t.same(await plain.events.count([{ from: 4e12 - QUARTER_MS, to: 5e12 }], ['login']), [
        { span: 0, type: 'login', count: 1 },
      ]);
    });
  });
}
