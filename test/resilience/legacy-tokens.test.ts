import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import t from 'tap';
import { storeUnavailable } from '../../src/errors.js';
import { bearer, PASSWORD, type SignedUp, signUp, type TestApp, testApp } from '../support/app.js';
import { freshDatabase, withPostgres } from '../support/postgres-server.js';
import { emptyRedis, freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { withRedis } from '../support/redis-server.js';
import { OLD_KEY, oldToken } from '../support/simplejwt.js';
import { countStatements } from '../support/statement-counter.js';
import { countTrips } from '../support/trip-counter.js';

const ENV = {
  LEGACY_JWT_KEY: OLD_KEY,
  EMAIL_PROVIDER: 'smtp',
  SMTP_URL: 'smtp://127.0.0.1:9',
  EMAIL_FROM: 'a@example.com',
};

const post = (url: string, payload: object, token?: string): InjectOptions => ({
  method: 'POST',
  url,
  payload,
  headers: token === undefined ? {} : bearer(token),
});
const me = (token: string): InjectOptions => ({ url: '/api/auth/me', headers: bearer(token) });
const verify = (token: string) => post('/api/auth/verify', { token });
const refresh = (token: string) => post('/api/auth/refresh', { refresh: token });
const logout = (token: string) => post('/api/auth/logout', { refresh: token });
const logoutAll = (token: string) => post('/api/auth/logout-all', {}, token);

const tell = ({ statusCode, body }: LightMyRequestResponse): string =>
  statusCode === 200 ? '200' : `${statusCode} ${JSON.parse(body).code}`;

t.test(
  'two processes: what ends a user’s old tokens leaves none alive that a racing refresh made',
  async (t) => {
    const env = {
      ...ENV,
      REDIS_URL: sharedRedisUrl(),
      REDIS_PREFIX: freshPrefix(t),
      DATABASE_URL: await freshDatabase(t),
    };
    const servers = [await testApp(t, { env }), await testApp(t, { env })] as const;
    const [first] = servers;

    const endings: Record<
      string,
      (who: SignedUp, old: string, n: number) => Promise<LightMyRequestResponse>
    > = {
      logout: (_who, old, n) => servers[n % 2]!.send(logout(old)),
      'logout-all': ({ access }, _old, n) => servers[n % 2]!.send(logoutAll(access)),
      'a change of the password': ({ access }, _old, n) =>
        servers[n % 2]!.send(
          post(
            '/api/auth/password/change',
            { current_password: PASSWORD, new_password: `${PASSWORD} ${n}` },
            access,
          ),
        ),
      disabling: async ({ user }, old, n) => {
        await servers[n % 2]!.app.accounts.setActive(user.id, false);
        return servers[n % 2]!.send(logout(old));
      },
    };
    for (const [name, end] of Object.entries(endings)) {
      await t.test(name, async (t) => {
        let won = 0;
        for (let round = 0; round < 3; round++) {
          const who = await signUp(first);
          const old = oldToken('refresh', who.user.legacy_id).token;
          const access = oldToken('access', who.user.legacy_id).token;
          if (round % 2 === 0) await first.send(verify(old));
          const racers = Array.from({ length: 6 }, (_, n) => () => servers[n % 2]!.send(refresh(old)));
          let ended: Promise<LightMyRequestResponse> | undefined;
          racers.splice(round * 3, 0, () => {
            ended = end(who, old, round);
            return ended;
          });
          const answers = await Promise.all(racers.map((start) => start()));
          const ending = await ended;
          t.equal(ending?.statusCode, 200);
          const handed = answers
            .filter((answer) => answer !== ending && answer.statusCode === 200)
            .map((answer) => answer.json());
          won += handed.length;
          for (const server of servers) {
            const verdicts = await Promise.all([
              server.send(refresh(old)),
              ...handed.map((pair) => server.send(me(pair.access))),
              ...handed.map((pair) => server.send(refresh(pair.refresh))),
              ...(name === 'logout' ? [] : [server.send(me(access))]),
            ]);
            t.same(new Set(verdicts.map(({ statusCode }) => statusCode)), new Set([401]), `round ${round}`);
          }
        }
        t.ok(won > 0, 'some refreshes were first');
      });
    }

    await t.test('fifty refreshes on both open one session', async (t) => {
      const { user } = await signUp(first);
      const old = oldToken('refresh', user.legacy_id).token;
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => servers[n % 2]!.send(refresh(old))),
      );
      t.same(new Set(answers.map(tell)), new Set(['200']));
      t.equal(new Set(answers.map((answer) => answer.json().refresh)).size, 1);
    });

    await t.test('no successor is handed out before SQL knows that the token is spent', async (t) => {
      const { user } = await signUp(first);
      const old = oldToken('refresh', user.legacy_id).token;
      const { legacyTokens } = first.app.database;
      const { revoke } = legacyTokens;
      legacyTokens.revoke = async () => {
        throw storeUnavailable(new Error('away'));
      };
      t.equal(tell(await first.send(refresh(old))), '503 store_unavailable');
      t.equal(tell(await first.send(logout(old))), '503 store_unavailable');
      legacyTokens.revoke = revoke;
      const pair = (await first.send(refresh(old))).json();
      t.equal(tell(await servers[1].send(me(pair.access))), '200', 'nobody was logged out by it');
      await emptyRedis(env.REDIS_PREFIX);
      t.equal(tell(await first.send(refresh(old))), '401 session_ended');
    });
  },
);

t.test('a store that is away is 503, never 200 and never 401', async (t) => {
  const redis = await withRedis(t);
  const postgres = await withPostgres(t);
  const env = { ...ENV, REDIS_URL: redis.url, DATABASE_URL: postgres.url };
  const { app, send } = await testApp(t, { env });
  const { user } = await signUp({ app, send } as TestApp);
  const seen = oldToken('access', user.legacy_id).token;
  const unseen = oldToken('access', user.legacy_id).token;
  const [old, revoked] = [1, 2].map(() => oldToken('refresh', user.legacy_id).token) as [string, string];
  t.equal(tell(await send(me(seen))), '200');
  t.equal(tell(await send(logout(revoked))), '200');

  await redis.stop();
  for (const request of [me(seen), me(unseen), verify(old), refresh(old), logout(old), logoutAll(seen)])
    t.equal(tell(await send(request)), '503 store_unavailable', `${request.url} without Redis`);
  await redis.restart();
  await app.stateStore.ping().catch(() => undefined);

  await postgres.stop();
  await waitForRedis(app.stateStore);
  // It is empty: until SQL can be asked nothing is known of any old token.
  for (const request of [me(seen), refresh(old), refresh(revoked), logout(old), logoutAll(seen)])
    t.equal(tell(await send(request)), '503 store_unavailable', `${request.url} without SQL`);
});

async function waitForRedis(store: { ping(): Promise<void> }): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const isBack = await store.ping().then(
      () => true,
      () => false,
    );
    if (isBack) return;
    await new Promise((next) => setTimeout(next, 25));
  }
  throw new Error('Redis did not come back');
}

t.test('what old tokens cost', async (t) => {
  const redis = await countTrips(t, sharedRedisUrl());
  const sql = await countStatements(t, await freshDatabase(t));
  const env = { ...ENV, REDIS_URL: redis.url, REDIS_PREFIX: freshPrefix(t), DATABASE_URL: sql.url };
  const on = { RATE_LIMIT_USER: '100000/minute', RATE_LIMIT_REFRESH: '100000/minute' };
  const app = await testApp(t, { env: { ...env, ...on } });
  const ann = await signUp(app);
  const ben = await signUp(app);
  const access = oldToken('access', ann.user.legacy_id).token;
  const old = oldToken('refresh', ann.user.legacy_id).token;

  async function cost(request: InjectOptions): Promise<{ trips: number; statements: number }> {
    await app.app.events.flush();
    redis.reset();
    sql.reset();
    const answer = await app.send(request);
    if (answer.statusCode !== 200) throw new Error(`${request.url}: ${answer.body}`);
    await app.app.events.flush();
    // Events aside; and what roles allow is read again every few seconds, whoever asks.
    const statements = sql
      .statements()
      .filter((statement) => !/"(events|event_counts|roles)"/.test(statement)).length;
    return { trips: redis.trips(), statements };
  }

  const warm = { trips: 1, statements: 0 };
  t.same(await cost(me(access)), { trips: 4, statements: 2 }, 'the first time');
  for (const [name, request] of Object.entries({ me: me(access), verify: verify(access) }))
    t.same(await cost(request), warm, `${name} from then on`);
  t.same(await cost(verify(old)), { trips: 4, statements: 1 }, 'another one of a user who is known');
  t.same(await cost(verify(old)), warm);
  t.same(await cost(refresh(old)), { trips: 1, statements: 1 }, 'to trade it stores that it is spent');
  t.same(await cost(refresh(ben.refresh)), warm, 'tokens of ours cost what they always cost');
  t.same(await cost(me(ben.access)), warm);
  t.same(await cost(logout(ben.refresh)), warm);
  t.same(await cost(logoutAll(ann.access)), { trips: 3, statements: 1 }, 'but the end of all is in SQL too');
});
