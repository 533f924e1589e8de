import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { describeAlert } from '../../src/audit/alerts.js';
import type { SecurityEvent } from '../../src/audit/events.js';
import { createFieldCipher } from '../../src/audit/field-cipher.js';
import { createAlertWebhooks } from '../../src/delivery/alert-webhooks.js';
import { AuthError } from '../../src/errors.js';
import { type Database, type Dialect, openDatabase } from '../../src/stores/sql/database.js';
import { createEventWriter } from '../../src/stores/sql/event-writer.js';
import { createWebhookStore } from '../../src/stores/sql/webhook-store.js';
import { PLAIN, register } from '../resilience/people.js';
import { api } from '../support/http.js';
import { freshDatabase } from '../support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { startServer } from '../support/server-process.js';
import { type HttpDouble, httpDouble, type Received } from './http-double.js';

const SECRET_BYTES = Buffer.from('zq9alertsecret-0123456789-abcdef');
const SECRET = `whsec_${SECRET_BYTES.toString('base64')}`;
const KEY = Buffer.from(Array.from({ length: 32 }, (_, n) => 3 * n + 1)).toString('base64');
const SECOND = 1000;
const HOUR = 3600 * SECOND;

/** As a receiver verifies it, by the text of the standard and none of our code. */
function isSigned({ headers, body }: Received, now: number): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = headers;
  const mac = createHmac('sha256', SECRET_BYTES).update(`${id}.${timestamp}.${body}`).digest('base64');
  return signature === `v1,${mac}` && Math.abs(Number(timestamp) - now / 1000) < 300;
}

const idsOf = (received: readonly Received[]) => received.map(({ headers }) => headers['webhook-id']);

/** The database with a way to put alerts into it, and any number of workers on it. */
async function makeOutbox(t: Test, dialect: Dialect, { receiver }: { receiver?: HttpDouble } = {}) {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-webhooks-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const place = { dataDir, url: dialect === 'postgres' ? await freshDatabase(t) : undefined };
  const database = openDatabase(place);
  t.teardown(() => database.close());
  await database.migrate();
  const double = receiver ?? (await httpDouble(t));
  let time = Date.UTC(2026, 10, 21);
  const troubles: unknown[] = [];
  let givenUp = 0;

  function worker({ keys = [KEY], on = database as Pick<Database, 'db'> } = {}) {
    const store = createWebhookStore(on.db, { dialect, cipher: createFieldCipher(keys) });
    const webhooks = createAlertWebhooks({
      store,
      url: `${double.url}/hook`,
      secret: SECRET,
      now: () => time,
      onTrouble: (error) => troubles.push(error),
      onGivenUp: () => {
        givenUp += 1;
      },
    });
    t.teardown(() => webhooks.close());
    return webhooks;
  }

  const write = createEventWriter(dialect, { cipher: createFieldCipher([KEY]), describeAlert });
  let alerts = 0;
  return {
    database,
    double,
    worker,
    troubles,
    givenUp: () => givenUp,
    /** As another process has it; in SQLite two connections of one thread would wait for each other for ever. */
    open() {
      if (dialect === 'sqlite') return database;
      const other = openDatabase(place);
      t.teardown(() => other.close());
      return other;
    },
    now: () => time,
    advance(ms: number) {
      time += ms;
    },
    async raise(count = 1) {
      const events = Array.from({ length: count }, (): SecurityEvent => {
        alerts += 1;
        const detail = { alert: 'password_spraying', accounts: 12 } as const;
        return { type: 'alert', once: `x:${alerts}`, at: time, ip: '192.0.2.7', detail };
      });
      await write(database.db, events);
    },
    rows: () => database.db.selectFrom('webhook_deliveries').selectAll().execute(),
  };
}

for (const dialect of ['sqlite', 'postgres'] as const) {
  t.test(dialect, async (t) => {
    await t.test('an alert is posted, signed, once', async (t) => {
      const { worker, raise, double, rows, now, troubles } = await makeOutbox(t, dialect);
      double.answer(204);
      await raise();
      const webhooks = worker();
      t.equal(await webhooks.deliver(), 1);
      t.equal(await webhooks.deliver(), 0);
      const [request, ...others] = double.received;
      t.same(others, []);
      t.match(request, { method: 'POST', path: '/hook', headers: { 'content-type': 'application/json' } });
      t.ok(isSigned(request as Received, now()));
      t.match(JSON.parse(request?.body as string), {
        type: 'security.alert',
        timestamp: '2026-11-21T00:00:00Z',
        data: { event: /^[0-9a-f-]{36}$/, alert: 'password_spraying', ip: '192.0.2.7', accounts: 12 },
      });
      t.same([await rows(), troubles], [[], []]);
    });

    await t.test('several processes share the work, and each message goes to one of them', async (t) => {
      const { worker, raise, double, open, rows } = await makeOutbox(t, dialect);
      double.answer(200);
      await raise(40);
      const workers = [worker(), worker({ on: open() }), worker({ on: open() })];
      const counts = await Promise.all(workers.map((each) => each.deliver()));
      t.equal(
        counts.reduce((sum, count) => sum + count, 0),
        40,
      );
      t.ok(counts.filter((count) => count > 0).length > 1, counts.join(' + '));
      t.equal(new Set(idsOf(double.received)).size, 40);
      t.equal(double.received.length, 40, 'once each');
      t.same(await rows(), []);
    });

    await t.test('whoever does not take it is asked again for a day, by the same id', async (t) => {
      const { worker, raise, double, rows, now, advance, troubles, givenUp } = await makeOutbox(t, dialect);
      double.answer(503);
      await raise();
      const webhooks = worker();
      const startedAt = now();
      const waits: number[] = [];
      for (let tries = 1; ; tries++) {
        t.equal(await webhooks.deliver(), 0);
        t.equal(double.received.length, tries);
        const [row] = await rows();
        if (!row) break;
        const wait = row.next_at - now();
        waits.push(wait / SECOND);
        advance(wait - 1);
        await webhooks.deliver();
        t.equal(double.received.length, tries, 'not before it is due');
        advance(1);
      }
      t.same(waits.slice(0, 8), [5, 30, 120, 600, 1800, 3600, 7200, 14_400]);
      t.equal(now() - startedAt, 24 * HOUR);
      t.equal(new Set(idsOf(double.received)).size, 1);
      t.ok(
        double.received.at(-1) && isSigned(double.received.at(-1) as Received, now()),
        'signed anew for each try',
      );
      t.equal(new Set(double.received.map(({ body }) => body)).size, 1);
      t.equal(givenUp(), 1);
      t.match(troubles[0], { name: 'DeliveryError', message: 'alert webhook answered 503' });
      t.notMatch(String(troubles), /zq9|192\.0\.2\.7|hook\b.*http/);
    });

    await t.test('a process that dies in the middle leaves it to the others', async (t) => {
      const { worker, raise, double, open, advance } = await makeOutbox(t, dialect);
      await raise();
      const dying = worker();
      const trying = dying.deliver();
      while (double.received.length < 1) await new Promise((next) => setImmediate(next));
      const other = worker({ on: open() });
      await other.deliver();
      t.equal(double.received.length, 1, 'while it may still be at work, nobody else is');
      advance(30 * SECOND);
      double.answer(200);
      t.equal(await other.deliver(), 1, 'then somebody is');
      t.equal(new Set(idsOf(double.received)).size, 1);
      await dying.close();
      await trying;
      t.equal(await other.deliver(), 0);
    });

    await t.test('closing cuts off what is under way, and leaves it due', async (t) => {
      const { worker, raise, double, troubles } = await makeOutbox(t, dialect);
      await raise();
      const closing = worker();
      const trying = closing.deliver();
      while (double.received.length < 1) await new Promise((next) => setImmediate(next));
      await closing.close();
      await trying;
      t.same(troubles, []);
      double.answer(200);
      t.equal(await closing.deliver(), 0, 'closed is closed');
      t.equal(await worker().deliver(), 1);
    });

    await t.test('without the key it waits for the process that has it', async (t) => {
      const { worker, raise, double, troubles, advance } = await makeOutbox(t, dialect);
      double.answer(200);
      await raise();
      t.equal(await worker({ keys: [] }).deliver(), 0);
      t.same(double.received, []);
      t.match(troubles, [{ message: /encrypted under a key/ }]);
      advance(5 * SECOND);
      t.equal(await worker().deliver(), 1);
    });
  });
}

t.test('it looks by itself, at once when it is woken', async (t) => {
  const outbox = await makeOutbox(t, 'sqlite');
  const { worker, raise, double, rows } = outbox;
  double.answer(200);
  const webhooks = worker();
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const arrived = async (count: number) => {
    while (double.received.length < count || (await rows()).length > 0)
      await new Promise((next) => setImmediate(next));
    // The worker is done with it, and has set its next look.
    for (let n = 0; n < 50; n++) await new Promise((next) => setImmediate(next));
  };
  await raise();
  webhooks.wake();
  mock.timers.tick(0);
  await arrived(1);
  await raise();
  mock.timers.tick(5000);
  await arrived(2);
  await raise();
  webhooks.wake();
  mock.timers.tick(0);
  webhooks.wake();
  await arrived(3);
  await raise();
  mock.timers.tick(0);
  await arrived(4);

  await t.test('and goes on when SQL was away', async (t) => {
    const claim = t.capture(outbox.database.db, 'updateTable', () => {
      throw new AuthError('store_unavailable');
    });
    await raise();
    mock.timers.tick(5000);
    for (let n = 0; n < 50; n++) await new Promise((next) => setImmediate(next));
    t.ok(claim().length >= 1);
    t.match(outbox.troubles, [{ code: 'store_unavailable' }]);
    claim.restore();
    mock.timers.tick(5000);
    await arrived(5);
  });
  await webhooks.close();
  await raise();
  webhooks.wake();
  mock.timers.tick(10_000);
  for (let n = 0; n < 50; n++) await new Promise((next) => setImmediate(next));
  t.equal(double.received.length, 5, 'no timer is left');
});

t.test('an alert about what was answered survives a kill -9', async (t) => {
  for (const stores of ['embedded', 'servers'] as const) {
    await t.test(stores, async (t) => {
      const receiver = await httpDouble(t);
      const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-killed-'));
      t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
      const url = stores === 'servers' ? await freshDatabase(t) : undefined;
      const env = {
        ...PLAIN,
        LATCHKEY_DATA_DIR: dataDir,
        ALERT_WEBHOOK_URL: `${receiver.url}/alerts`,
        ALERT_WEBHOOK_SECRET: SECRET,
        DATA_ENCRYPTION_KEY: KEY,
        ...(url && { DATABASE_URL: url, REDIS_URL: sharedRedisUrl(), REDIS_PREFIX: freshPrefix(t) }),
      };
      const first = await startServer({ env });
      const server = api(first.url);
      const victims = await Promise.all(Array.from({ length: 3 }, () => register(server)));
      const isTaken = new Promise<void>((resolve) => receiver.answerWith(() => resolve()));
      for (const { refresh } of victims) {
        const { body } = await server.post<{ refresh: string; access: string }>('/api/auth/refresh', {
          refresh,
        });
        // Using what came proves that it arrived; the old one is now a thief's.
        t.equal((await server.get('/api/auth/me', { token: body.access })).status, 200);
      }
      const database = openDatabase({ url, dataDir });
      t.teardown(() => database.close());
      // Beyond the minute in which tabs may race, which no clock here can be moved over: replayed twice behind.
      for (const victim of victims) await replay(server, victim.refresh);
      await isTaken;
      await first.kill();
      t.ok(receiver.received.length >= 1, 'killed while the receiver had it and had not answered');

      const rows = await database.db.selectFrom('webhook_deliveries').select(['id', 'tries']).execute();
      t.equal(rows.length, 3, 'none is lost');
      // The claims of the dead process run out.
      await database.db.updateTable('webhook_deliveries').set({ next_at: 0 }).execute();
      receiver.answer(200);
      const second = await startServer({ env });
      t.teardown(() => second.stop());
      while ((await database.db.selectFrom('webhook_deliveries').select('id').execute()).length > 0)
        await new Promise((next) => setTimeout(next, 20));
      const ids = new Set(idsOf(receiver.received));
      t.same([...ids].sort(), rows.map(({ id }) => id).sort(), 'every one arrives, by the id it had before');
      for (const request of receiver.received) {
        t.ok(isSigned(request, Date.now()));
        t.match(JSON.parse(request.body).data, { alert: 'token_reuse', user_id: String, session_id: String });
      }
      t.same(
        [...new Set(receiver.received.map(({ body }) => JSON.parse(body).data.user_id))].sort(),
        victims.map(({ user }) => user.id).sort(),
      );
    });
  }
});

/** A refresh token two behind is theft at once. */
async function replay(server: ReturnType<typeof api>, stolen: string): Promise<void> {
  const again = await server.post<{ refresh: string; access: string }>('/api/auth/refresh', {
    refresh: stolen,
  });
  if (again.status === 200) {
    const next = await server.post<{ access: string }>('/api/auth/refresh', { refresh: again.body.refresh });
    await server.get('/api/auth/me', { token: next.body.access });
  }
  const { status, body } = await server.post('/api/auth/refresh', { refresh: stolen });
  if (status !== 401 || body.code !== 'token_reused') throw new Error(`${status} ${JSON.stringify(body)}`);
}
