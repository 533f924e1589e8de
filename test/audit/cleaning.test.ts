import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import Fastify, { type FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { sql } from 'kysely';
import t, { type Test } from 'tap';
import cleaning from '../../plugins/cleaning.js';
import { type CleaningReport, type CleaningStore, createCleaner } from '../../src/audit/cleaning.js';
import type { EventType, SecurityEvent } from '../../src/audit/events.js';
import { createFieldCipher } from '../../src/audit/field-cipher.js';
import { QUARTER_MS } from '../../src/audit/time-buckets.js';
import { clean } from '../../src/commands/clean.js';
import { storeUnavailable } from '../../src/errors.js';
import { newAccountId } from '../../src/lib/ids.js';
import { createAccountStore } from '../../src/stores/sql/account-store.js';
import { createCleaningStore } from '../../src/stores/sql/cleaning-store.js';
import { type Dialect, openDatabase } from '../../src/stores/sql/database.js';
import { createEventStore } from '../../src/stores/sql/event-store.js';
import { createEventWriter } from '../../src/stores/sql/event-writer.js';
import { insertRevokedTokens } from '../../src/stores/sql/legacy-token-store.js';
import { TEST_KEY } from '../support/app.js';
import { freshDatabase } from '../support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';

/** An application that has what the plugin stands on, and nothing else. */
async function appWith(t: Test, store: CleaningStore): Promise<{ app: FastifyInstance; lines: string[] }> {
  const lines: string[] = [];
  const app = Fastify({ logger: { stream: { write: (line: string) => void lines.push(line) } } });
  for (const name of ['database', 'sessions']) await app.register(fp(async () => undefined, { name }));
  app.decorate('database', { cleaning: store } as never);
  app.decorate('clock', () => NOW);
  await app.register(cleaning, { eventRetentionDays: 30 });
  t.teardown(() => app.close());
  return { app, lines };
}

t.test('a server cleans by itself, once it listens', async (t) => {
  const asked: number[] = [];
  let left = 300;
  let isAway = false;
  const { app, lines } = await appWith(t, {
    keyId: undefined,
    async lease() {
      if (isAway) throw storeUnavailable(new Error('away'));
      return { progress: undefined };
    },
    async deleteEvents(before, limit) {
      asked.push(before);
      const deleted = Math.min(left, limit);
      left -= deleted;
      return deleted;
    },
    deleteCounts: async () => 0,
    deleteWebhooks: async () => 0,
    deleteTokens: async () => 0,
    deleteState: async () => 0,
    saveProgress: async () => undefined,
    reseal: async () => ({ last: undefined, changed: 0, unreadable: 0 }),
  });
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const settle = async (ms: number) => {
    mock.timers.tick(ms);
    // The rests between its steps are timers that are not moved.
    for (const deadline = performance.now() + 200; performance.now() < deadline; )
      await new Promise((next) => setImmediate(next));
  };
  await app.ready();
  await settle(3_600_000);
  t.same(asked, [], 'not before');
  await app.listen({ port: 0, host: '127.0.0.1' });
  await settle(59_000);
  t.same(asked, [], 'nor at once');
  await settle(61_000);
  t.same(asked, Array(2).fill(NOW - 30 * DAY));
  const told = () => lines.map((line) => JSON.parse(line));
  t.match(
    told().find(({ msg }) => msg === 'cleaned'),
    { events: 300, state: 0 },
  );

  lines.length = 0;
  await settle(3_600_000);
  t.equal(asked.length, 3, 'and every hour');
  t.same(lines, [], 'of nothing it does not speak');
  isAway = true;
  await settle(3_600_000);
  t.match(told(), [{ msg: 'the database could not be cleaned', err: { code: 'store_unavailable' } }]);
  isAway = false;
  await settle(3_600_000);
  t.equal(asked.length, 4, 'it goes on when the database is back');
  await app.close();
  await settle(7_200_000);
  t.equal(asked.length, 4, 'no timer is left');
});

const run = promisify(execFile);
const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 21);
const OLD = NOW - 400 * DAY;

const key = (first: number): string =>
  Buffer.from(Array.from({ length: 32 }, (_, n) => (first + 5 * n) % 256)).toString('base64');
const [OLD_KEY, NEW_KEY, NEWEST_KEY] = [key(1), key(2), key(3)];

async function makePlace(t: Test, dialect: Dialect) {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-cleaning-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const url = dialect === 'postgres' ? await freshDatabase(t) : undefined;
  const database = openDatabase({ url, dataDir });
  t.teardown(() => database.close());
  await database.migrate();
  const { db } = database;
  let time = NOW;
  return {
    database,
    db,
    url,
    dataDir,
    now: () => time,
    advance(ms: number) {
      time += ms;
    },
    as(keys: string[] = [], { forEver = false } = {}) {
      const retentionDays = forEver ? undefined : 365;
      const cipher = createFieldCipher(keys);
      const write = createEventWriter(dialect, { cipher });
      const store = createCleaningStore(db, { dialect, cipher });
      return {
        write,
        store,
        accounts: createAccountStore(database, write),
        events: createEventStore(db, { dialect, cipher, write }),
        cleaner: createCleaner({ store, retentionDays, now: () => time }),
        clean: (options = {}) =>
          createCleaner({ store, retentionDays, now: () => time }).clean({ restFactor: 0, ...options }),
      };
    },
    countEvents: async () =>
      Number(
        (
          await db
            .selectFrom('events')
            .select((e) => e.fn.countAll().as('n'))
            .executeTakeFirstOrThrow()
        ).n,
      ),
  };
}

const NOTHING: CleaningReport = {
  events: 0,
  counts: 0,
  webhooks: 0,
  tokens: 0,
  state: 0,
  resealed: 0,
  unreadable: 0,
};

const happened = (at: number, count: number, fields: Partial<SecurityEvent> = {}): SecurityEvent[] =>
  Array.from({ length: count }, (_, n) => ({ type: 'login', at: at + n, ...fields }));

for (const dialect of ['sqlite', 'postgres'] as const) {
  t.test(dialect, async (t) => {
    await t.test('what is too old goes, in small steps, and the counts stay', async (t) => {
      const { as, countEvents, db, now, advance } = await makePlace(t, dialect);
      const { events, clean } = as();
      const limit = NOW - 365 * DAY;
      await events.insert([...happened(limit - 1000, 1000), ...happened(limit, 300)]);
      const seen: number[] = [];
      const report = await clean({ onProgress: (soFar: CleaningReport) => seen.push(soFar.events) });
      t.same(report, { ...NOTHING, events: 1000 });
      t.same(seen.slice(0, 5), [250, 500, 750, 1000, 1000]);
      t.equal(await countEvents(), 300);
      const span = { from: limit - QUARTER_MS, to: limit + QUARTER_MS };
      t.same(await events.count([span], ['login']), [{ span: 0, type: 'login', count: 1300 }]);
      t.same(await clean(), NOTHING, 'and then there is nothing to do');

      await t.test('counts too, after three years', async (t) => {
        const types: EventType[] = ['login', 'logout', 'alert'];
        await db
          .insertInto('event_counts')
          .values(
            Array.from({ length: 300 }, (_, n) => n * QUARTER_MS).flatMap((at) =>
              types.map((type) => ({ at, type, count: 1 })),
            ),
          )
          .execute();
        t.equal((await clean())?.counts, 900);
        t.equal((await events.count([span], ['login'])).length, 1);
        advance(3 * 366 * DAY);
        t.match(await clean(), { events: 300, counts: Number });
        t.same(await events.count([span], ['login']), []);
        t.ok(now() > NOW);
      });

      await t.test('or never', async (t) => {
        const { events, clean } = as([], { forEver: true });
        await events.insert(happened(OLD, 5));
        t.equal((await clean())?.events, 0);
      });
    });

    await t.test('one process cleans at a time', async (t) => {
      const { as, advance, countEvents, db } = await makePlace(t, dialect);
      const { events, clean } = as();
      await events.insert(happened(1, 1000));
      let other: CleaningReport | undefined | 'not asked' = 'not asked';
      const first = await clean({
        onProgress: async () => {
          if (other === 'not asked') {
            other = undefined;
            other = await clean();
          }
        },
      });
      t.equal(other, undefined, 'another one stays away');
      t.equal(first?.events, 1000);
      t.equal(await countEvents(), 0);

      await events.insert(happened(1, 10));
      await db
        .updateTable('jobs')
        .set({ leased_until: NOW + 60_000 })
        .execute();
      t.equal(await clean(), undefined, 'nor does it begin while one that died might still live');
      advance(60_000);
      t.equal((await clean())?.events, 10);

      await t.test('whoever was replaced meanwhile stops, and prolongs nothing', async (t) => {
        await events.insert(happened(1, 1000));
        const until = NOW + 600_000;
        const report = await clean({
          onProgress: () => db.updateTable('jobs').set({ leased_until: until }).execute(),
          restFactor: 5,
        });
        t.ok(report && report.events < 1000);
        t.equal((await db.selectFrom('jobs').selectAll().executeTakeFirst())?.leased_until, until);
        advance(600_000);
        t.ok((await clean())?.events);
        t.equal(await countEvents(), 0);
      });

      await t.test('and it stops when it is told to', async (t) => {
        await events.insert(happened(1, 1000));
        const stopping = new AbortController();
        const report = await clean({
          signal: stopping.signal,
          restFactor: 1e6,
          onProgress: () => stopping.abort(),
        });
        t.equal(report?.events, 250);
        t.equal((await clean())?.events, 750, 'the next one goes on at once');
      });
    });

    await t.test('webhooks that nobody posts any more', async (t) => {
      const { as, db } = await makePlace(t, dialect);
      const row = (id: string, created_at: number) => ({ id, body: 'x', created_at, next_at: 0 });
      await db
        .insertInto('webhook_deliveries')
        .values([row('a', NOW - 2 * DAY - 1), row('b', NOW - 2 * DAY)])
        .execute();
      t.same(await as().clean(), { ...NOTHING, webhooks: 1 });
      t.match(await db.selectFrom('webhook_deliveries').select('id').execute(), [{ id: 'b' }]);
    });

    await t.test('revocations of tokens that have expired', async (t) => {
      const { as, db } = await makePlace(t, dialect);
      const token = (jti: string, expiresAt: number) => ({ legacyId: 1, jti, expiresAt });
      await insertRevokedTokens(db, [
        ...Array.from({ length: 300 }, (_, n) => token(`old${n}`, NOW - n)),
        token('good', NOW + 1),
      ]);
      t.same(await as().clean(), { ...NOTHING, tokens: 300 });
      t.match(await db.selectFrom('revoked_tokens').select('jti').execute(), [{ jti: 'good' }]);
    });

    await t.test('state that has expired', async (t) => {
      const { as, db } = await makePlace(t, dialect);
      if (dialect === 'postgres') {
        t.equal((await as().clean())?.state, 0, 'is not in PostgreSQL');
        return;
      }
      for (let n = 0; n < 600; n++) {
        await sql`insert into state (key, value, expires_at) values (${`k${n}`}, '1', ${NOW - 300 + n})`.execute(
          db,
        );
      }
      t.equal((await as().clean())?.state, 301);
      const { rows } = await sql<{ n: number }>`select count(*) as n from state`.execute(db);
      t.equal(rows[0]?.n, 299);
    });

    await t.test(
      'what is encrypted under an older key, or not at all, is encrypted by the newest',
      async (t) => {
        const { as, db, now, advance } = await makePlace(t, dialect);
        const [clear, old, rotated] = [as(), as([OLD_KEY]), as([NEW_KEY, OLD_KEY])];
        const userId = newAccountId();
        const account = {
          ...{ id: userId, email: null, username: null, phone: null, passwordHash: null, firstName: '' },
          ...{ lastName: '', userType: null, role: 'viewer', dateJoined: 1 },
        };
        await clear.accounts.insert(account, { type: 'registered', at: NOW - DAY, userId });
        const client = { userId, ip: '2001:db8::7', userAgent: 'Firefox' };
        await clear.events.insert(happened(NOW - DAY, 300, client));
        await old.events.insert(happened(NOW - DAY, 300, client));
        await old.events.insert(happened(NOW - DAY, 3, { userId }));
        await rotated.events.insert(happened(NOW - DAY, 10, client));
        await as([NEWEST_KEY]).events.insert(happened(NOW - DAY, 2, client));
        await old.events.insert(happened(NOW - 1000, 4, client));

        t.same(await clear.clean(), NOTHING, 'without a key there is nothing to encrypt by');
        t.same(await rotated.clean(), { ...NOTHING, resealed: 600, unreadable: 2 });
        t.same(await rotated.clean(), NOTHING, 'each event once');
        const sealed = await as([NEW_KEY]).events.list({ userId, to: NOW - DAY + 1000 }, { limit: 1000 });
        const readable = sealed.filter(({ unreadable }) => !unreadable);
        t.equal(sealed.length - readable.length, 2, 'what cannot be read stays as it is');
        t.equal(
          readable.filter(({ ip, userAgent }) => ip === client.ip && userAgent === client.userAgent).length,
          610,
          'the older key may go',
        );
        t.equal((await as([NEW_KEY]).events.list({ ip: '2001:db8::ffff' }, { limit: 1000 })).length, 610);
        t.same(
          await as([NEW_KEY]).clean(),
          NOTHING,
          'what is younger than ten minutes may be of a server that lags',
        );
        advance(600_000);
        t.same(await rotated.clean(), { ...NOTHING, resealed: 4 });

        await t.test('after the next rotation it begins again', async (t) => {
          t.same(await as([NEWEST_KEY, NEW_KEY]).clean(), { ...NOTHING, resealed: 614 });
          const all = await as([NEWEST_KEY]).events.list({ userId }, { limit: 1000 });
          t.equal(all.filter(({ unreadable }) => unreadable).length, 0);
          t.equal(all.filter(({ ip }) => ip === client.ip).length, 616);
        });

        await t.test('events of an older release', async (t) => {
          const columns = {
            type: 'login',
            at: now() - DAY,
            ip: '192.0.2.5',
            user_agent: 'Old',
            user_id: userId,
          };
          await db.insertInto('events').values(columns).execute();
          t.same(await as([NEWEST_KEY]).clean(), { ...NOTHING, resealed: 1 });
          const found = await as([NEWEST_KEY]).events.list({ ip: '192.0.2.5' }, { limit: 5 });
          t.match(found, [{ ip: '192.0.2.5', userAgent: 'Old', uid: String }]);
        });

        await t.test('an account that is deleted meanwhile stays deleted', async (t) => {
          const { store } = as([OLD_KEY, NEWEST_KEY]);
          const { last } = await db
            .selectFrom('events')
            .select((e) => e.fn.max('id').as('last'))
            .executeTakeFirstOrThrow();
          await clear.events.insert(happened(now() - DAY, 1, client));
          // Between what the step reads and what it writes.
          const transaction = t.capture(db, 'transaction', function (this: typeof db, ...args: []) {
            return {
              execute: async (work: Parameters<ReturnType<typeof db.transaction>['execute']>[0]) => {
                transaction.restore();
                await clear.accounts.erase(userId, now());
                return db.transaction(...args).execute(work);
              },
            } as never;
          });
          const { changed } = await store.reseal({ after: Number(last), before: now(), limit: 10 });
          t.equal(changed, 1, 'it meant to');
          const rows = await db.selectFrom('events').select(['ip', 'user_agent', 'ip_key']).execute();
          t.same(
            rows.filter(
              ({ ip, user_agent, ip_key }) => ip !== null || user_agent !== null || ip_key !== null,
            ),
            [],
          );
        });
      },
    );

    await t.test('the command', async (t) => {
      const { as, now, db, url, dataDir } = await makePlace(t, dialect);
      const shown: string[] = [];
      let time = 0;
      const { events, cleaner } = as([OLD_KEY]);
      const ticking = { show: (line: string) => shown.push(line), now: () => (time += 600) };
      await events.insert(happened(OLD, 600));
      await as([NEW_KEY]).events.insert(happened(now() - DAY, 2, { ip: '192.0.2.1' }));
      t.equal(
        await clean({ cleaner, json: false, ...ticking }),
        'Done: deleted 600 events, 0 counts, 0 revocations and 0 rows of state, encrypted 0 events.\n' +
          '2 events are encrypted under a key that DATA_ENCRYPTION_KEY does not have.',
      );
      t.match(shown[0], /^… deleted \d+ events/);
      await events.insert(happened(OLD, 3));
      t.same(JSON.parse(await clean({ cleaner, json: true, postAlerts: async () => 4, ...ticking })), {
        ...{
          busy: false,
          events_deleted: 3,
          counts_deleted: 0,
          webhooks_deleted: 0,
          tokens_deleted: 0,
          state_deleted: 0,
          events_encrypted: 0,
        },
        ...{ events_unreadable: 0, alerts_posted: 4 },
      });
      await db
        .updateTable('jobs')
        .set({ leased_until: now() + 1 })
        .execute();
      t.match(JSON.parse(await clean({ cleaner, json: true, ...ticking })), { busy: true, alerts_posted: 0 });
      t.equal(
        await clean({ cleaner, json: false, postAlerts: async () => 0, ...ticking }),
        'Another process is cleaning: nothing to do here.\nPosted 0 alerts.',
      );

      await t.test('as a process', async (t) => {
        await db.updateTable('jobs').set({ leased_until: 0 }).execute();
        await as([OLD_KEY]).events.insert(happened(Date.now() - 400 * DAY, 260));
        const server = url && {
          DATABASE_URL: url,
          REDIS_URL: sharedRedisUrl(),
          REDIS_PREFIX: freshPrefix(t),
        };
        const settings = {
          LATCHKEY_DATA_DIR: dataDir,
          JWT_SIGNING_KEY: TEST_KEY,
          DATA_ENCRYPTION_KEY: OLD_KEY,
        };
        const env = { PATH: process.env.PATH, NODE_OPTIONS: '', ...settings, ...server };
        const { stdout } = await run(process.execPath, [CLI, 'clean', '--json'], { env, cwd: dataDir });
        t.match(JSON.parse(stdout), { busy: false, events_deleted: 260, alerts_posted: 0 });
      });
    });
  });
}
