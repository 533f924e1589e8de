import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';

import { createKeys } from '../../src/stores/keys.js';
import { PASSWORD } from '../support/app.js';
import { type Api, type ApiResponse, api } from '../support/http.js';
import { freshDatabase } from '../support/postgres-server.js';
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
  type Person,
  PLAIN,
  refresh,
  register,
  verify,
} from './people.js';

/** Limits that nobody here reaches: what counts asks Redis, so that a 404 does as well. */
const COUNTED = {
  ...PLAIN,
  RATE_LIMIT_REFRESH: '100000/hour',
  RATE_LIMIT_ANON: '100000/hour',
  RATE_LIMIT_USER: '100000/hour',
  PUBLIC_URL: 'http://localhost:8000',
};

const COOKIE_CLIENT = { 'x-auth-transport': 'cookie', origin: 'http://localhost:8000' };

type Ask = (server: Api, person: Person) => Promise<ApiResponse>;

const ASKS: Record<string, Ask> = {
  'GET /me': (server, { access }) => me(server, access),
  'PATCH /me': (server, { access }) => server.patch('/api/auth/me', { first_name: 'A' }, { token: access }),
  'GET /me/export': (server, { access }) => server.get('/api/auth/me/export', { token: access }),
  'GET /sessions': (server, { access }) => server.get('/api/auth/sessions', { token: access }),
  'DELETE /sessions/:id': (server, { access }) =>
    server.delete(`/api/auth/sessions/${claimsOf(access).sid}`, { token: access }),
  'GET /activity': (server, { access }) => server.get('/api/auth/activity', { token: access }),
  'POST /refresh': (server, { refresh: token }) => refresh<Record<string, unknown>>(server, token),
  'POST /refresh by cookie': (server, { refresh: token }) =>
    server.post(
      '/api/auth/refresh',
      {},
      { headers: { ...COOKIE_CLIENT, cookie: `latchkey_refresh=${token}` } },
    ),
  'POST /verify of access': (server, { access }) => verify(server, access),
  'POST /verify of refresh': (server, { refresh: token }) => verify(server, token),
  'POST /logout': (server, { refresh: token }) => logout(server, token),
  'POST /logout by cookie': (server, { refresh: token }) =>
    server.post(
      '/api/auth/logout',
      {},
      { headers: { ...COOKIE_CLIENT, cookie: `latchkey_refresh=${token}` } },
    ),
  'POST /logout-all': (server, { access }) => logoutAll(server, access),
  'POST /login': (server, { email }) => server.post('/api/auth/login', { email, password: PASSWORD }),
  'POST /register': (server) =>
    server.post('/api/auth/register', { email: `${Math.random()}@example.com`, password: PASSWORD }),
  'GET /me without a token': (server) => server.get('/api/auth/me'),
  'GET /nowhere': (server) => server.get('/nowhere'),
};

/** Asks every route, all at once or one after the other: a prompt 503 from each, and a process that is well. */
async function assertAllAway(
  t: Test,
  server: Api,
  person: Person,
  { sideBySide = true, except = [] as string[] } = {},
): Promise<void> {
  const took: number[] = [];
  const asked = Object.entries(ASKS)
    .filter(([name]) => !except.includes(name))
    .map(
      ([name, ask]) =>
        async () =>
          took.push(await assertAway(t, name, () => ask(server, person))),
    );
  if (sideBySide) await Promise.all(asked.map((ask) => ask()));
  else for (const ask of asked) await ask();
  t.comment(`slowest 503: ${Math.round(Math.max(...took))} ms`);
  await assertAway(t, 'GET /readyz', () => server.get('/readyz'));
  t.equal((await server.get('/healthz')).status, 200, 'alive');
}

const back = (t: Test, server: Api) => eventually(t, 'ready again', 5, () => isReady(server));

t.test('while Redis is away', async (t) => {
  const redis = await withRedis(t);
  const raw = new Redis(redis.url);
  raw.on('error', () => undefined);
  t.teardown(() => raw.disconnect());
  const env = { ...COUNTED, REDIS_URL: redis.url, DATABASE_URL: await freshDatabase(t) };
  const process = await withServer(t, { env });
  const server = api(process.url);
  let person = await register(server);
  const keys = createKeys('latchkey:');
  const field = (token: string, name: string) => {
    const { sub, sid } = claimsOf(token);
    return raw.hget(keys.session(sub, sid), name);
  };

  await t.test('frozen', async (t) => {
    const holder = await login(server, person);
    redis.freeze();
    await assertAway(t, 'the refresh of another session', () => refresh(server, holder.refresh));
    await assertAllAway(t, server, person);
    await assertAllAway(t, server, person);
    redis.thaw();
    await back(t, server);
    await assertAlive(t, server, await assertAlive(t, server, holder));
  });

  await t.test('commands that run late do no harm', async (t) => {
    const other = await register(server);
    // Redis learns a script at its first use; one that it does not know yet cannot run late.
    const warm = await refresh(server, (await login(server, other)).refresh);
    await logout(server, warm.body.refresh);
    await logoutAll(server, (await login(server, other)).access);
    const [rotated, ended, everywhere] = await Promise.all([
      login(server, person),
      login(server, person),
      login(server, other),
    ]);
    const email = `late${process.pid}@example.com`;
    redis.freeze();
    const away = await Promise.all(
      [
        refresh(server, rotated.refresh),
        logout(server, ended.refresh),
        logoutAll(server, everywhere.access),
        server.post('/api/auth/login', { email: person.email, password: PASSWORD }),
        server.post('/api/auth/register', { email, password: PASSWORD }),
      ].map(async (asked: Promise<ApiResponse<unknown>>) => (await asked).status),
    );
    redis.thaw();
    t.same(away, [503, 503, 503, 503, 503], 'all of these were told that the store is away');

    const { jti } = claimsOf(rotated.refresh);
    await eventually(t, 'the rotation ran', 5, async () => (await field(rotated.refresh, 'j')) !== jti);
    await eventually(t, 'the logout ran', 5, async () => (await field(ended.refresh, 'end')) === 'logout');
    await back(t, server);
    const next = (await refresh(server, rotated.refresh)).body;
    t.equal(claimsOf(next.refresh).jti, await field(rotated.refresh, 'j'), 'its successor is handed out now');
    await assertAlive(t, server, await assertAlive(t, server, next));
    await assertDead(t, [server], { access: [ended.access], refresh: [ended.refresh] }, 'logout');
    await eventually(
      t,
      'the logout-all ran',
      5,
      async () => (await me(server, everywhere.access)).status === 401,
    );
    const all = { access: [everywhere.access], refresh: [everywhere.refresh] };
    await assertDead(t, [server], all, 'logout_all');
    await assertAlive(t, server, await login(server, other));

    const again = await server.post('/api/auth/register', { email, password: PASSWORD });
    t.equal(again.status, 201, 'the account was not made, so it can be made now');
  });

  await t.test('asked again and again while frozen, the process keeps its size', async (t) => {
    const holder = await login(server, person);
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${process.pid}/status`, 'utf8'))?.[1]);
    redis.freeze();
    const before = rss();
    let answered = 0;
    const odd = new Set<number>();
    async function insist(): Promise<void> {
      while (answered < 500) {
        const { status } = await me(server, holder.access);
        answered += 1;
        if (status !== 503) odd.add(status);
      }
    }
    await Promise.all(Array.from({ length: 50 }, insist));
    const grown = Math.round((rss() - before) / 1024);
    redis.thaw();
    t.same([...odd], [], 'nothing but 503');
    t.ok(grown < 64, `${grown} MiB more`);
    await back(t, server);
    await assertAlive(t, server, holder);
  });

  await t.test('killed, and then an impostor on its port', async (t) => {
    person = await login(server, person);
    await redis.kill();
    await assertAllAway(t, server, person);

    const answers: Record<string, (socket: Socket) => void> = {
      'that resets every connection': (socket) => socket.resetAndDestroy(),
      'that still loads its data': (socket) =>
        socket.on('data', () => socket.write('-LOADING Redis is loading the dataset in memory\r\n')),
      'that never answers': () => undefined,
    };
    for (const [name, behave] of Object.entries(answers)) {
      await t.test(name, async (t) => {
        t.teardown(await impostor(redis.port, behave));
        await assertAllAway(t, server, person);
      });
    }
    await redis.restart();
    await back(t, server);
    await assertDead(t, [server], { access: [person.access], refresh: [person.refresh] }, 'unknown');
    person = await login(server, person);
    await assertAlive(t, server, person);
  });

  const refusals: Record<string, { refuse: () => Promise<unknown>; undo: () => Promise<unknown> }> = {
    'a replica, read-only': {
      refuse: () => raw.replicaof('127.0.0.1', 1),
      undo: () => raw.replicaof('NO', 'ONE'),
    },
    'a primary without its replicas': {
      refuse: () => raw.config('SET', 'min-replicas-to-write', 1),
      undo: () => raw.config('SET', 'min-replicas-to-write', 0),
    },
  };
  for (const [name, { refuse, undo }] of Object.entries(refusals)) {
    await t.test(name, async (t) => {
      person = await login(server, person);
      await refuse();
      await assertAllAway(t, server, person, { sideBySide: false });
      await undo();
      await back(t, server);
      await assertAlive(t, server, person);
    });
  }

  await t.test('out of memory', async (t) => {
    person = await login(server, person);
    const other = await login(server, person);
    await raw.config('SET', 'maxmemory', 1);
    const except = ['POST /logout', 'POST /logout by cookie'];
    await assertAllAway(t, server, person, { sideBySide: false, except });
    t.equal((await logout(server, other.refresh)).status, 200, 'logging out frees memory and is possible');
    await assertAway(t, 'one who logged out', () => me(server, other.access));
    await raw.config('SET', 'maxmemory', 0);
    await back(t, server);
    await assertDead(t, [server], { access: [other.access], refresh: [other.refresh] }, 'logout');
    await assertAlive(t, server, person);
  });

  await t.test('at the start', async (t) => {
    for (const [name, strike] of [
      ['killed', () => redis.kill()],
      ['frozen', () => redis.freeze()],
    ] as const) {
      await t.test(name, async (t) => {
        person = await login(server, person);
        await strike();
        const late = api((await withServer(t, { env: { ...env, RATE_LIMIT_LOGIN: '100/minute' } })).url);
        await assertAllAway(t, late, person);
        const wrong = { email: person.email, password: 'wrong' };
        await assertAway(t, 'a counted login', () => late.post('/api/auth/login', wrong));
        if (name === 'killed') await redis.restart();
        else redis.thaw();
        await back(t, late);
        await back(t, server);
        await assertAlive(t, late, await login(late, person));
      });
    }
  });

  const { email, access, refresh: token } = person;
  const told = [email, access, token, PASSWORD].filter((secret) => process.output().includes(secret));
  t.same(told, [], 'the log tells nothing that is not its business');
});

/** Listens in the place of a dead Redis. */
async function impostor(port: number, behave: (socket: Socket) => void): Promise<() => Promise<void>> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    behave(socket);
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  return async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
}
