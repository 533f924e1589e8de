import type { FastifyInstance } from 'fastify';
import pg from 'pg';
import t, { type Test } from 'tap';
import { buildApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { storeUnavailable } from '../../src/errors.js';
import { PASSWORD } from '../support/app.js';
import { type Api, type ApiResponse, api } from '../support/http.js';
import { type PostgresServer, withPostgres } from '../support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { withRedis } from '../support/redis-server.js';
import { withServer } from '../support/server-process.js';
import {
  assertAlive,
  assertAway,
  assertDead,
  claimsOf,
  eventually,
  isReady,
  login,
  logout,
  logoutAll,
  me,
  type Pair,
  type Person,
  PLAIN,
  refresh,
  register,
  type Tokens,
  verify,
} from './people.js';

type Ask = (server: Api, person: Person) => Promise<ApiResponse>;

/** What cannot be done without SQL. */
const NEED_SQL: Record<string, Ask> = {
  'POST /login': (server, { email }) => server.post('/api/auth/login', { email, password: PASSWORD }),
  'POST /login, wrong': (server, { email }) => server.post('/api/auth/login', { email, password: 'wrong' }),
  'POST /register': (server) =>
    server.post('/api/auth/register', { email: `${Math.random()}@example.com`, password: PASSWORD }),
  'GET /activity': (server, { access }) => server.get('/api/auth/activity', { token: access }),
  'GET /me/export': (server, { access }) => server.get('/api/auth/me/export', { token: access }),
  'DELETE /me': (server, { access }) =>
    server.delete('/api/auth/me', { token: access, body: { password: PASSWORD } }),
};

interface Activity {
  events: { type: string; session_id: string }[];
}

/** How often the person's activity tells of this happening to this session. */
async function countEvents(server: Api, { access }: Tokens, type: string, sid: string): Promise<number> {
  const { body } = await server.get<Activity>('/api/auth/activity?limit=100', { token: access });
  return body.events.filter((event) => event.type === type && event.session_id === sid).length;
}

/** Rotates twice, so that the first token is spent for good. */
async function spend(server: Api, first: Tokens): Promise<Pair> {
  const next = (await refresh(server, first.refresh)).body;
  return (await refresh(server, next.refresh)).body;
}

t.test('while PostgreSQL is away', async (t) => {
  const postgres = await withPostgres(t);
  const env = {
    ...PLAIN,
    REDIS_URL: sharedRedisUrl(),
    REDIS_PREFIX: freshPrefix(t),
    DATABASE_URL: postgres.url,
  };
  const process = await withServer(t, { env });
  const server = api(process.url);
  const person = await register(server);
  const back = (t: Test) => eventually(t, 'ready again', 5, () => isReady(server));

  async function assertWithoutSql(
    t: Test,
    strike: () => Promise<void> | void,
    mend: () => Promise<void> | void,
  ) {
    const [holder, bystander, robbed] = [
      await login(server, person),
      await login(server, person),
      await login(server, person),
    ];
    const other = await register(server);
    t.equal((await me(server, other.access)).status, 200, 'its snapshot is in Redis');
    const patched = await register(server);
    t.equal((await me(server, patched.access)).status, 200);
    const newest = await spend(server, robbed);
    await strike();

    const took = await Promise.all(
      Object.entries(NEED_SQL).map(([name, ask]) => assertAway(t, name, () => ask(server, bystander))),
    );
    const flood = await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        assertAway(t, `one of many, ${n}`, () =>
          server.get('/api/auth/activity', { token: bystander.access }),
        ),
      ),
    );
    t.comment(
      `slowest 503: ${Math.round(Math.max(...took))} ms, in a flood ${Math.round(Math.max(...flood))} ms`,
    );

    const start = performance.now();
    const next = await assertAlive(t, server, holder);
    t.equal((await verify(server, next.access)).status, 200, 'verify of access');
    t.equal((await verify(server, next.refresh)).status, 200, 'verify of refresh');
    t.equal((await server.get('/api/auth/sessions', { token: next.access })).status, 200, 'sessions');
    t.equal((await logout(server, next.refresh)).status, 200, 'logout');
    await assertDead(t, [server], { access: [next.access], refresh: [next.refresh] }, 'logout');
    t.equal((await logoutAll(server, other.access)).status, 200, 'logout-all');
    await assertDead(t, [server], { access: [other.access], refresh: [other.refresh] }, 'logout_all');
    t.comment(`eight requests without SQL: ${Math.round(performance.now() - start)} ms`);

    const stolen = performance.now();
    const theft = await refresh<Record<string, unknown>>(server, robbed.refresh);
    const theftTook = Math.round(performance.now() - stolen);
    t.same([theft.status, theft.body.code], [401, 'token_reused'], 'theft is found');
    t.ok(theftTook < 1500, `in ${theftTook} ms`);
    await assertDead(t, [server], { access: [newest.access], refresh: [newest.refresh] }, 'reuse');

    await assertAway(t, 'PATCH /me', () =>
      server.patch('/api/auth/me', { first_name: 'Changed' }, { token: patched.access }),
    );
    await assertAway(t, 'one whose account may have changed', () => me(server, patched.access));
    await assertAway(t, 'GET /readyz', () => server.get('/readyz'));
    t.equal((await server.get('/healthz')).status, 200, 'alive');

    await mend();
    await back(t);
    const { sid } = claimsOf(robbed.refresh);
    await eventually(
      t,
      'the theft is told',
      5,
      async () => (await countEvents(server, bystander, 'token_reused', sid)) === 1,
    );
    t.equal(
      await countEvents(server, bystander, 'logout', claimsOf(holder.refresh).sid),
      1,
      'and so is the logout',
    );
    await assertAlive(t, server, bystander);
    await assertAlive(t, server, patched);
    await assertAlive(t, server, await login(server, person));
  }

  await t.test('frozen', async (t) => {
    await assertWithoutSql(
      t,
      () => postgres.freeze(),
      () => postgres.thaw(),
    );
  });

  await t.test('killed', async (t) => {
    await assertWithoutSql(
      t,
      () => postgres.kill(),
      () => postgres.restart(),
    );
  });

  await t.test('killed under load: what was answered stays, and the process too', async (t) => {
    const made: string[] = [];
    const odd = new Set<string>();
    let busy = true;
    async function work(n: number): Promise<void> {
      const own = await register(server);
      for (let turn = 0; busy; turn++) {
        const email = `load${n}.${turn}.${process.pid}@example.com`;
        const answers = await Promise.all([
          server.post('/api/auth/register', { email, password: PASSWORD }),
          server.patch('/api/auth/me', { first_name: `T${turn}` }, { token: own.access }),
          server.get('/api/auth/activity', { token: own.access }),
        ]);
        if (answers[0].status === 201) made.push(email);
        for (const { status } of answers) if (![200, 201, 503].includes(status)) odd.add(String(status));
      }
    }
    const working = Promise.all(Array.from({ length: 6 }, (_, n) => work(n)));
    for (let strike = 0; strike < 3; strike++) {
      const before = made.length;
      await eventually(t, 'accounts are being made', 10, async () => made.length > before + 3);
      await postgres.kill();
      await postgres.restart();
      await back(t);
    }
    busy = false;
    await working;
    t.same([...odd], [], 'everything was answered as it should be');
    t.equal(process.output().includes('uncaught'), false);
    for (const email of made.slice(-8)) t.ok((await login(server, { email })).access, 'the account is there');
  });

  await t.test('read-only, as a standby is', async (t) => {
    const owner = await register(server);
    const admin = new pg.Client({ connectionString: postgres.url });
    await admin.connect();
    t.teardown(() => admin.end());
    const rename = () => server.patch('/api/auth/me', { first_name: 'A' }, { token: owner.access });
    await admin.query('alter database postgres set default_transaction_read_only = on');
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where pid <> pg_backend_pid() and backend_type = 'client backend'`,
    );
    await eventually(t, 'connected again', 5, () => isReady(server));
    await assertAway(t, 'PATCH /me', rename);
    // Routine events are stored within a second: by then it is known that none will be.
    const signIn = () => (NEED_SQL['POST /login'] as Ask)(server, person);
    await eventually(t, 'refusing logins', 5, async () => (await signIn()).status === 503);
    await assertAway(t, 'POST /login', signIn);

    // A connection in use never falls idle, so it would never be given up for that.
    await admin.query('alter database postgres set default_transaction_read_only = off');
    await eventually(t, 'taking writes again, under load', 5, async () =>
      (await Promise.all(Array.from({ length: 12 }, rename))).every(({ status }) => status === 200),
    );
  });

  await t.test('a statement that waits for a lock is given up in time, and undone', async (t) => {
    const owner = await register(server);
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    t.teardown(() => client.end());
    await client.query('begin');
    await client.query('select 1 from users where id = $1 for update', [owner.user.id]);
    await assertAway(t, 'DELETE /me', () => (NEED_SQL['DELETE /me'] as Ask)(server, owner));
    await client.query('rollback');
    t.equal((await me(server, owner.access)).status, 200, 'the account is still there');
    await assertAlive(t, server, await login(server, owner));
  });
});

/** The service in this process, so that the tests can step between the parts of one change and move its clock. */
async function inside(t: Test, postgres: PostgresServer, redisUrl: string) {
  const env = { ...PLAIN, REDIS_URL: redisUrl, DATABASE_URL: postgres.url, LOG_LEVEL: 'silent' };
  let offset = 0;
  const app = await buildApp(loadConfig({ ...env, LATCHKEY_DATA_DIR: t.testdir() }), {
    now: () => Date.now() + offset,
  });
  await app.listen({ port: 0, host: '127.0.0.1' });
  t.teardown(() => app.close());
  const { port } = app.server.address() as { port: number };
  return {
    app,
    server: api(`http://127.0.0.1:${port}`),
    advance: (ms: number) => {
      offset += ms;
    },
  };
}

type SetActive = FastifyInstance['database']['accounts']['setActive'];

t.test('a change that is interrupted', async (t) => {
  const postgres = await withPostgres(t);
  const redis = await withRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  const { app, server, advance } = await inside(t, postgres, redis.url);
  const { accounts } = app.database;
  const original = accounts.setActive;
  const back = (t: Test) => eventually(t, 'ready again', 5, () => isReady(server));

  /** Somebody whose newest pair and the one before are both in use. */
  async function someone(): Promise<{ person: Person; next: Pair }> {
    const person = await register(server);
    return { person, next: await assertAlive(t, server, person) };
  }

  async function disable(id: string, step: (commit: SetActive) => SetActive): Promise<boolean | string> {
    accounts.setActive = step(original);
    try {
      return await app.accounts.setActive(id, false);
    } catch (error) {
      return (error as Error).message;
    } finally {
      accounts.setActive = original;
    }
  }

  const isActive = async (id: string) => (await accounts.findById(id))?.isActive;

  const afterCommit: Record<
    string,
    { step: (commit: SetActive) => SetActive; mend: () => unknown; says: unknown }
  > = {
    'Redis dies after the fence': {
      step:
        (commit) =>
        async (...change) => {
          await redis.kill();
          return commit(...change);
        },
      mend: () => redis.restart(),
      says: true,
    },
    'Redis dies after the commit': {
      step:
        (commit) =>
        async (...change) => {
          const user = await commit(...change);
          await redis.kill();
          return user;
        },
      mend: () => redis.restart(),
      says: true,
    },
    'Redis freezes after the commit, and publishes late': {
      step:
        (commit) =>
        async (...change) => {
          const user = await commit(...change);
          redis.freeze();
          return user;
        },
      mend: () => redis.thaw(),
      says: true,
    },
    'the answer to the commit is lost': {
      step:
        (commit) =>
        async (...change) => {
          await commit(...change);
          throw storeUnavailable(new Error('lost'));
        },
      mend: () => undefined,
      says: 'store_unavailable',
    },
  };
  for (const [name, { step, mend, says }] of Object.entries(afterCommit)) {
    await t.test(`${name}: the account is shut out all the same`, async (t) => {
      const { person, next } = await someone();
      const tokens = { access: [person.access, next.access], refresh: [next.refresh] };
      t.equal(await disable(person.user.id, step), says);
      await mend();
      await back(t);
      await assertDead(t, [server], tokens, 'account_disabled');
      const { status, body } = await refresh<Record<string, unknown>>(server, person.refresh);
      t.same([status, body.reason], [401, 'account_disabled'], 'nor does the token one behind');
      advance(61_000);
      await assertDead(t, [server], tokens, 'account_disabled');
      t.equal(await app.accounts.setActive(person.user.id, true), true, 'let in again');
      await assertDead(t, [server], tokens, 'account_disabled');
      await assertAlive(t, server, await login(server, person));
    });
  }

  const beforeCommit: Record<
    string,
    { step: (commit: SetActive) => SetActive; strike: () => unknown; mend: () => unknown }
  > = {
    'Redis is away before the fence': {
      strike: () => redis.kill(),
      step: (commit) => commit,
      mend: () => redis.restart(),
    },
    'PostgreSQL dies after the fence': {
      strike: () => undefined,
      step:
        (commit) =>
        async (...change) => {
          await postgres.kill();
          return commit(...change);
        },
      mend: () => postgres.restart(),
    },
  };
  for (const [name, { strike, step, mend }] of Object.entries(beforeCommit)) {
    await t.test(`${name}: nothing has changed`, async (t) => {
      const { person, next } = await someone();
      await strike();
      t.equal(await disable(person.user.id, step), 'store_unavailable');
      await mend();
      await back(t);
      t.equal(await isActive(person.user.id), true);
      await assertAlive(t, server, await assertAlive(t, server, next));
    });
  }

  await t.test('what roles allow is known without SQL, and nobody waits for it', async (t) => {
    const { next } = await someone();
    postgres.freeze();
    advance(5000);
    const took: number[] = [];
    for (let n = 0; n < 5; n++) {
      const start = performance.now();
      t.equal((await me(server, next.access)).status, 200);
      took.push(Math.round(performance.now() - start));
      advance(1000);
    }
    postgres.thaw();
    t.ok(Math.max(...took) < 1500, `at most one second: ${took}`);
    t.ok(took.filter((ms) => ms > 500).length <= 1, 'and that once');
    await back(t);
  });
});
