import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { buildApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { createKeys } from '../../src/stores/keys.js';
import { bearer, PASSWORD, STORES, signUp, type TestApp, testApp } from '../support/app.js';
import { type Api, type ApiResponse, api } from '../support/http.js';
import { freshDatabase } from '../support/postgres-server.js';
import { withRedis } from '../support/redis-server.js';
import { type ServerProcess, startServer } from '../support/server-process.js';
import {
  assertAlive,
  assertDead,
  claimsOf,
  eventually,
  fleet,
  isReady,
  login,
  logout,
  logoutAll,
  me,
  ownStores,
  type Pair,
  PLAIN,
  pick,
  refresh,
  register,
  type Tokens,
  verify,
} from './people.js';
import { assertOneSuccessor, raceEnding } from './refresh-races.js';

const ACCESS_SECONDS = 900;

/** Ends the session of `victim` and resolves once that was answered. */
type Ending = (victim: Tokens, bystander: Tokens, server: Api) => Promise<number>;

t.test('three processes on one Redis and one PostgreSQL', async (t) => {
  const env = { ...PLAIN, ...(await ownStores(t)) };
  const servers = await fleet(t, 3, env);
  const inside = await buildApp(loadConfig({ ...env, LATCHKEY_DATA_DIR: t.testdir(), LOG_LEVEL: 'silent' }));
  await inside.ready();
  t.teardown(() => inside.close());
  const person = await register(pick(servers, 0));
  const { id } = person.user;

  await t.test('fifty refreshes of one token at once have one successor', async (t) => {
    await assertOneSuccessor(t, servers, person);
    await assertOneSuccessor(t, servers, await login(pick(servers, 1), person));
  });

  await t.test('one of many who want the same name gets it', async (t) => {
    const tally = (answers: ApiResponse[]) =>
      answers.map(({ status, body }) => `${status} ${body.code ?? ''}`.trim()).sort();
    const email = `wanted${process.pid}@example.com`;
    const made = await Promise.all(
      Array.from({ length: 9 }, (_, n) =>
        pick(servers, n).post('/api/auth/register', { email, password: PASSWORD }),
      ),
    );
    t.same(tally(made), ['201', ...Array(8).fill('409 email_taken')]);

    const people = await Promise.all(servers.map(register));
    const renamed = await Promise.all(
      people.map(({ access }, n) =>
        pick(servers, n).patch('/api/auth/me', { username: 'wanted' }, { token: access }),
      ),
    );
    t.same(tally(renamed), ['200', '409 username_taken', '409 username_taken']);
    for (const { access } of people)
      t.equal((await me(pick(servers, 0), access)).status, 200, 'none is shut out');
  });

  await t.test('changes of one account that overlap end in what SQL holds, everywhere', async (t) => {
    const { access } = await login(pick(servers, 0), person);
    for (let round = 0; round < 5; round++) {
      const changed = await Promise.all(
        Array.from({ length: 9 }, (_, n) =>
          pick(servers, n).patch('/api/auth/me', { first_name: `N${round}.${n}` }, { token: access }),
        ),
      );
      t.same(new Set(changed.map(({ status }) => status)), new Set([200]));
      const stored = (await inside.database.accounts.findById(id))?.firstName;
      const shown = await Promise.all(
        servers.map(async (server) => (await me(server, access)).body.first_name),
      );
      t.same(shown, [stored, stored, stored]);
    }
  });

  /** Another session of the user, without the price of a password. */
  async function open(): Promise<Tokens> {
    const account = await inside.database.accounts.findById(id);
    if (!account) throw new Error('the account is gone');
    return (await inside.sessions.open(account, { ip: '127.0.0.1', userAgent: 'race' })).pair;
  }

  const endings: Record<string, Ending> = {
    logout: async (victim, _, server) => (await logout(server, victim.refresh)).status,
    logout_all: async (victim, _, server) => (await logoutAll(server, victim.access)).status,
    session_deleted: async (victim, bystander, server) => {
      const path = `/api/auth/sessions/${claimsOf(victim.access).sid}`;
      return (await server.delete(path, { token: bystander.access })).status;
    },
    account_disabled: async () => ((await inside.accounts.setActive(id, false)) ? 200 : 404),
  };
  for (const [reason, end] of Object.entries(endings)) {
    await t.test(`what a racing refresh is handed dies with the session: ${reason}`, async (t) => {
      const alone = reason === 'logout' || reason === 'session_deleted';
      for (let turn = 0; turn < 15; turn++) {
        const [victim, bystander] = await Promise.all([open(), open()]);
        const server = pick(servers, turn);
        await raceEnding(t, servers, victim, () => end(victim, bystander, server), { reason, turn });
        if (reason === 'account_disabled') await inside.accounts.setActive(id, true);
        if (alone) t.equal((await me(server, bystander.access)).status, 200, 'the other session lives');
        else
          await assertDead(t, servers, { access: [bystander.access], refresh: [bystander.refresh] }, reason);
      }
    });
  }
});

t.test('two embedded processes on one data directory: one successor', async (t) => {
  const servers = await fleet(t, 2, { ...PLAIN, LATCHKEY_DATA_DIR: t.testdir() });
  await assertOneSuccessor(t, servers, await register(pick(servers, 0)));
});

const post = (app: TestApp, path: string, payload: object, token?: string) =>
  app.send({
    method: 'POST',
    url: `/api/auth/${path}`,
    payload,
    headers: token === undefined ? {} : bearer(token),
  });

async function rotate(app: TestApp, token: string): Promise<Pair> {
  const response = await post(app, 'refresh', { refresh: token });
  if (response.statusCode !== 200)
    throw new Error(`refresh answered ${response.statusCode} ${response.body}`);
  return response.json();
}

const use = async (app: TestApp, access: string): Promise<number> =>
  (await app.send({ url: '/api/auth/me', headers: bearer(access) })).statusCode;

async function codeOf(
  app: TestApp,
  token: string,
): Promise<{ status: number; code: string; reason?: string }> {
  const response = await post(app, 'refresh', { refresh: token });
  const { code, reason } = response.json();
  return { status: response.statusCode, code, reason };
}

const THEFT = { status: 401, code: 'token_reused', reason: 'reuse' };

for (const stores of STORES) {
  t.test(`a token sent again, ${stores}`, async (t) => {
    const app = await testApp(t, { stores });
    const person = await signUp(app);
    const { advance } = app;

    /** Another session of the same person, without the price of a password. */
    async function signIn(): Promise<Tokens> {
      const user = await app.app.database.accounts.findById(person.user.id);
      if (!user) throw new Error('the account is gone');
      return (await app.app.sessions.open(user, { ip: '127.0.0.1', userAgent: 'test' })).pair;
    }

    async function assertTheft(t: Test, spent: string, newest: Tokens): Promise<void> {
      const other = await signIn();
      const { sid } = claimsOf(newest.refresh);
      t.same(await codeOf(app, spent), THEFT, 'is theft');
      const ended = { status: 401, code: 'session_ended', reason: 'reuse' };
      t.same(await codeOf(app, newest.refresh), ended, 'which ends the session');
      t.equal(await use(app, newest.access), 401, 'for its access token as well');
      t.equal(await use(app, other.access), 200, 'and only that session');
      const response = await app.send({ url: '/api/auth/activity', headers: bearer(other.access) });
      const { events } = response.json() as {
        events: { type: string; session_id: string; reason: string }[];
      };
      const told = events.filter((event) => event.type === 'token_reused' && event.session_id === sid);
      t.match(told, [{ reason: 'reuse' }], 'and is told once in the activity');
      t.equal(told.length, 1);
    }

    const proofs: Record<string, (pair: Tokens) => Promise<unknown>> = {
      'the new access token called a route': (pair) => use(app, pair.access),
      'the new access token was verified': (pair) => post(app, 'verify', { token: pair.access }),
      'the new refresh token was verified': (pair) => post(app, 'verify', { token: pair.refresh }),
    };

    await t.test('one behind, before any proof: the same successor, hours later still', async (t) => {
      const first = await signIn();
      advance(30_000);
      const next = await rotate(app, first.refresh);
      for (const seconds of [0, 1, 58, 2, 3600, 86_400]) {
        advance(seconds * 1000);
        const again = await rotate(app, first.refresh);
        t.equal(again.refresh, next.refresh, `${seconds} s later`);
        t.equal(again.expires_in, ACCESS_SECONDS, 'with a fresh access token');
        const left = claimsOf(next.refresh).exp - claimsOf(again.access).iat;
        t.equal(again.refresh_expires_in, left, 'and what is left of the refresh token');
      }
      t.equal(await use(app, first.access), 401, 'the first access token has run out by itself');
      t.ok((await rotate(app, next.refresh)).refresh, 'the successor is as good as ever');
    });

    for (const [name, prove] of Object.entries(proofs)) {
      await t.test(`one behind, after ${name}`, async (t) => {
        const first = await signIn();
        const next = await rotate(app, first.refresh);
        advance(30_000);
        await prove(next);
        t.equal((await rotate(app, first.refresh)).refresh, next.refresh, 'within 60 s: tabs that race');
        advance(31_000);
        await assertTheft(t, first.refresh, next);
      });
    }

    await t.test('the access token of a repeated answer proves as well', async (t) => {
      const first = await signIn();
      await rotate(app, first.refresh);
      advance(3600_000);
      const again = await rotate(app, first.refresh);
      t.equal(await use(app, again.access), 200);
      await assertTheft(t, first.refresh, again);
    });

    await t.test('an older access token proves nothing', async (t) => {
      const first = await signIn();
      const next = await rotate(app, first.refresh);
      advance(61_000);
      t.equal(await use(app, first.access), 200, 'it lives until its own end');
      t.equal((await rotate(app, first.refresh)).refresh, next.refresh);
    });

    await t.test('two behind, at once and in the same second', async (t) => {
      let first: Tokens = await signIn();
      let next = await rotate(app, first.refresh);
      let newest = await rotate(app, next.refresh);
      // Three rotations of one second, so that iat cannot tell them apart.
      while (claimsOf(first.refresh).iat !== claimsOf(newest.refresh).iat)
        [first, next, newest] = [next, newest, await rotate(app, newest.refresh)];
      t.equal((await rotate(app, next.refresh)).refresh, newest.refresh, 'one behind is answered');
      await assertTheft(t, first.refresh, newest);
    });
  });
}

t.test('over a restart of everything, and of an emptied Redis', async (t) => {
  const redis = await withRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  const env = { ...PLAIN, REDIS_URL: redis.url, DATABASE_URL: await freshDatabase(t) };
  let process: ServerProcess = await startServer({ env });
  t.teardown(() => process.stop());
  let server = api(process.url);
  const person = await register(server);

  await t.test('a restart between a rotation and its repetition changes nothing', async (t) => {
    const { body: next } = await refresh(server, person.refresh);
    await process.stop();
    process = await startServer({ env });
    server = api(process.url);
    t.equal((await refresh(server, person.refresh)).body.refresh, next.refresh, 'of the service');

    await redis.kill();
    await redis.restart();
    await eventually(t, 'Redis is back', 5, () => isReady(server));
    t.equal((await refresh(server, person.refresh)).body.refresh, next.refresh, 'of Redis');
    const newest = await assertAlive(t, server, next);
    await redis.kill();
    await redis.restart();
    await eventually(t, 'Redis is back', 5, () => isReady(server));
    const { status, body } = await refresh<Record<string, unknown>>(server, person.refresh);
    t.same([status, body.code], [401, 'token_reused'], 'and two behind is still theft');
    await assertDead(t, [server], { access: [newest.access], refresh: [newest.refresh] }, 'reuse');
  });

  await t.test('an emptied Redis makes people log in again', async (t) => {
    const [loggedOut, live] = [await login(server, person), await login(server, person)];
    const newest = (await refresh(server, live.refresh)).body;
    t.equal((await logout(server, loggedOut.refresh)).status, 200);
    const raw = new Redis(redis.url);
    t.teardown(() => raw.disconnect());
    await raw.flushall();

    const old = {
      access: [loggedOut.access, live.access, newest.access],
      refresh: [loggedOut.refresh, live.refresh, newest.refresh],
    };
    await assertDead(t, [server], old, 'unknown');
    t.equal((await logout(server, live.refresh)).status, 200, 'logging out still works');
    const fresh = await login(server, person);
    await assertDead(t, [server], old, 'unknown');
    await assertAlive(t, server, fresh);
    await assertDead(t, [server], old, 'unknown');
  });

  await t.test('a logout-all is not undone by a login into an emptied Redis', async (t) => {
    const before = await login(server, person);
    t.equal((await logoutAll(server, before.access)).status, 200);
    const raw = new Redis(redis.url);
    t.teardown(() => raw.disconnect());
    // A session that a partial restore brought back without its user: the epoch it names is gone.
    const key = createKeys('latchkey:').session(person.user.id, claimsOf(before.refresh).sid);
    const dump = (await raw.dumpBuffer(key)) as Buffer;
    await raw.flushall();
    await raw.restore(key, 60_000, dump);
    await assertDead(t, [server], { access: [before.access], refresh: [before.refresh] }, 'unknown');
    await login(server, person);
    const { status, body } = await refresh<Record<string, unknown>>(server, before.refresh);
    t.same([status, body.code], [401, 'session_ended']);
    t.equal((await verify(server, before.access)).status, 401);
  });
});

t.test('a Redis set back to before a rotation lets the holder of the newest token go on', async (t) => {
  const app = await testApp(t, { stores: 'servers' });
  const raw = new Redis(app.config.redisUrl as string);
  t.teardown(() => raw.disconnect());
  const person = await signUp(app);
  const { sub, sid } = claimsOf(person.refresh);
  const key = createKeys(app.config.redisPrefix).session(sub, sid);

  const forgetting: Record<string, (token: string) => Promise<Pair>> = {
    'one rotation lost': (token) => rotate(app, token),
    'two rotations lost': async (token) => {
      const between = await rotate(app, token);
      app.advance(2000);
      return rotate(app, between.refresh);
    },
  };
  let held: Tokens = person;
  for (const [name, lose] of Object.entries(forgetting)) {
    await t.test(name, async (t) => {
      app.advance(2000);
      const start = await rotate(app, held.refresh);
      const before = (await raw.dumpBuffer(key)) as Buffer;
      app.advance(2000);
      const newest = await lose(start.refresh);
      await raw.restore(key, 3600_000, before, 'REPLACE');

      t.equal(await use(app, newest.access), 200, 'the newest access token is good');
      const next = await rotate(app, newest.refresh);
      t.equal((await rotate(app, newest.refresh)).refresh, next.refresh, 'and repeated like any other');
      t.equal(await use(app, next.access), 200);
      held = next;
    });
  }
  app.advance(2000);
  const last = await rotate(app, held.refresh);
  t.same(await codeOf(app, person.refresh), THEFT, 'a token spent before is theft as ever');
  t.equal(await use(app, last.access), 401);
});
