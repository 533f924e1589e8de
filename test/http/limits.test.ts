import { setTimeout as delay } from 'node:timers/promises';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import {
  bearer,
  PASSWORD,
  type SignedUp,
  STORES,
  type Stores,
  signUp,
  type TestApp,
} from '../support/app.js';
import { decode, expectProblem, forge, meOf, type Pair, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

const MINUTE = 60_000;

const from = (remoteAddress: string, request: InjectOptions): InjectOptions => ({
  ...request,
  remoteAddress,
});
const login = (names: object, password = 'not the password') =>
  ({ method: 'POST', url: '/api/auth/login', payload: { ...names, password } }) as const;
const removeMe = (access: string, password: string) =>
  ({ method: 'DELETE', url: '/api/auth/me', headers: bearer(access), payload: { password } }) as const;
const post = (url: string, headers: Record<string, string> = {}) =>
  ({ method: 'POST', url, headers }) as const;
const nothing = { url: '/nothing' } as const;

let addresses = 0;
/** An address nobody has used before. */
const freshAddress = (): string => {
  addresses += 1;
  return `198.51.${Math.floor(addresses / 250)}.${1 + (addresses % 250)}`;
};

const budget = ({ headers }: LightMyRequestResponse) => ({
  limit: headers['ratelimit-limit'],
  remaining: headers['ratelimit-remaining'],
});

/** `RateLimit-*` says this much, and that the window ends within `seconds`. */
function expectBudget(
  t: Test,
  answer: LightMyRequestResponse,
  max: number,
  remaining: number,
  seconds: number,
) {
  t.strictSame(budget(answer), { limit: String(max), remaining: String(remaining) });
  const reset = Number(answer.headers['ratelimit-reset']);
  t.ok(
    Number.isInteger(reset) && reset >= 1 && reset <= seconds && reset > seconds - 10,
    `resets in ${reset} s`,
  );
}

function expectLimited(t: Test, answer: LightMyRequestResponse, max: number, seconds: number): void {
  expectProblem(t, answer, 429, 'rate_limited');
  expectBudget(t, answer, max, 0, seconds);
  t.equal(answer.headers['retry-after'], answer.headers['ratelimit-reset'], 'come back when the window ends');
}

async function signIn({ send }: TestApp, email: string): Promise<Pair> {
  return (await send(from(freshAddress(), login({ email }, PASSWORD)))).json();
}

for (const stores of STORES) {
  t.test(stores, async (t) => {
    await t.test('logins', (t) => logins(t, stores));
    await t.test('refreshes of one session', (t) => refreshes(t, stores));
    await t.test('requests of one user', (t) => requests(t, stores));
    await t.test('requests without a valid token', (t) => anonymous(t, stores));
    await t.test('whose address counts', (t) => whoseAddress(t, stores));
  });
}

async function logins(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, {
    stores,
    env: { RATE_LIMIT_LOGIN: '3/minute', RATE_LIMIT_LOGIN_IP: '6/5minute' },
  });
  const { send } = app;

  await t.test('one identifier, one address; then one address', async (t) => {
    const { email } = await signUp(app);
    const here = freshAddress();
    expectProblem(
      t,
      await send(from(here, { ...login({ email }), payload: { email } })),
      400,
      'invalid_request',
    );

    const wrong = await send(from(here, login({ email })));
    expectProblem(t, wrong, 401, 'invalid_credentials');
    expectBudget(t, wrong, 3, 2, 60);
    const right = await send(from(here, login({ email }, PASSWORD)));
    t.equal(right.statusCode, 200);
    expectBudget(t, right, 3, 1, 60);
    expectBudget(t, await send(from(here, login({ email: ` ${email.toUpperCase()} ` }))), 3, 0, 60);
    for (const password of ['not the password', PASSWORD]) {
      expectLimited(t, await send(from(here, login({ email }, password))), 3, 60);
    }
    const elsewhere = await send(from(freshAddress(), login({ email }, PASSWORD)));
    t.equal(elsewhere.statusCode, 200, 'strangers cannot lock anybody out elsewhere');
    expectBudget(t, elsewhere, 3, 2, 60);

    // Refused tries have spent nothing of the address's own budget: three are left of six.
    const nobody = { email: `nobody.${email}` };
    expectBudget(t, await send(from(here, login(nobody))), 3, 2, 60);
    expectBudget(t, await send(from(here, login({ username: 'Nobody' }))), 6, 1, 300);
    expectBudget(t, await send(from(here, login({ username: 'nobody' }))), 6, 0, 300);
    expectLimited(t, await send(from(here, login({ email: `another.${email}` }))), 6, 300);
    expectLimited(t, await send(from(here, login(nobody))), 6, 300);
  });

  await t.test('what can be nobody is one identifier', async (t) => {
    const here = freshAddress();
    for (const names of [{ email: 'no address' }, { username: '' }, { username: 'a b' }]) {
      expectProblem(t, await send(from(here, login(names))), 401, 'invalid_credentials');
    }
    expectLimited(t, await send(from(here, login({ email: '@' }))), 3, 60);
  });

  await t.test('a password asked for with a token counts as a login', async (t) => {
    const person = await signUp(app);
    const here = freshAddress();
    for (const remaining of [2, 1, 0]) {
      const answer = await send(from(here, removeMe(person.access, 'not the password')));
      expectProblem(t, answer, 401, 'invalid_credentials');
      expectBudget(t, answer, 3, remaining, 60);
    }
    expectLimited(t, await send(from(here, removeMe(person.access, PASSWORD))), 3, 60);
    t.equal((await send(meOf(person.access))).statusCode, 200);
    t.equal((await send(from(freshAddress(), removeMe(person.access, PASSWORD)))).statusCode, 204);
  });
}

async function refreshes(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores, env: { RATE_LIMIT_REFRESH: '2/minute' } });
  const { send } = app;
  const { email, ...person } = await signUp(app);
  const other = await signIn(app, email);

  const first = await send(refreshWith(person.refresh));
  expectBudget(t, first, 2, 1, 60);
  const second = await send(refreshWith(first.json().refresh));
  t.equal(second.statusCode, 200);
  expectBudget(t, second, 2, 0, 60);
  const { refresh } = second.json() as Pair;
  for (let n = 0; n < 3; n += 1) expectLimited(t, await send(refreshWith(refresh)), 2, 60);
  t.equal((await send(verifyOf(refresh))).statusCode, 200, 'a refused refresh rotates nothing');
  t.equal((await send(refreshWith(other.refresh))).statusCode, 200, 'another session has its own');

  app.advance(45_000);
  expectLimited(t, await send(refreshWith(refresh)), 2, 15);
  app.advance(15_000);
  const late = await send(refreshWith(refresh));
  t.equal(late.statusCode, 200);
  expectBudget(t, late, 2, 1, 60);
  expectBudget(t, await send(refreshWith(refresh)), 2, 0, 60);
}

async function requests(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores, env: { RATE_LIMIT_USER: '4/minute' } });
  const { send } = app;
  const { email, ...person } = await signUp(app);
  const second = await signIn(app, email);
  const stranger = await signUp(app);
  const get = (path: string, access: string) => ({ url: `/api/auth/${path}`, headers: bearer(access) });

  const counted: [InjectOptions, number][] = [
    [get('me', person.access), 3],
    [get('sessions', second.access), 2],
    [get('activity?limit=0', person.access), 1],
    [{ ...get('me', second.access), method: 'PATCH', payload: { first_name: 'X' } }, 0],
  ];
  for (const [request, remaining] of counted) {
    expectBudget(t, await send(from(freshAddress(), request)), 4, remaining, 60);
    t.equal((await send(verifyOf(person.access))).statusCode, 200, 'to verify costs nothing');
  }
  for (const path of ['me', 'me/export', 'sessions', 'activity']) {
    for (const { access } of [person, second]) expectLimited(t, await send(get(path, access)), 4, 60);
  }
  expectLimited(t, await send(removeMe(person.access, PASSWORD)), 4, 60);
  expectBudget(t, await send(meOf(stranger.access)), 4, 3, 60);

  const next = await send(refreshWith(second.refresh));
  t.equal(next.statusCode, 200, 'refreshing has a budget of its own');
  expectLimited(t, await send(meOf(next.json().access)), 4, 60);
  t.equal((await send(post('/api/auth/logout', bearer(person.access)))).statusCode, 200);
  expectProblem(t, await send(meOf(person.access)), 401, 'token_revoked');
  t.equal(
    (await send(post('/api/auth/logout-all', bearer(second.access)))).statusCode,
    200,
    'never too late',
  );

  const third = await signIn(app, email);
  app.advance(50_000);
  const limited = await send(meOf(third.access));
  expectLimited(t, limited, 4, 10);
  app.advance(Number(limited.headers['retry-after']) * 1000);
  expectBudget(t, await send(meOf(third.access)), 4, 3, 60);
}

async function anonymous(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, {
    stores,
    env: { RATE_LIMIT_ANON: '4/hour', CORS_ORIGINS: 'https://shop.example.com' },
  });
  const { send } = app;
  const good = await signUp(app);
  const ended = await signUp(app);
  await send(from(freshAddress(), post('/api/auth/logout', bearer(ended.access))));
  const { header, claims } = decode(good.access);
  const expired = forge(header, { ...claims, iat: claims.iat - 1000, exp: claims.iat - 100 });
  const json = { 'content-type': 'application/json' };

  const counted: Record<string, [InjectOptions, number]> = {
    'nothing there': [nothing, 404],
    'nothing there, with a token': [{ ...nothing, headers: bearer(good.access) }, 404],
    'nothing there to post to': [{ method: 'POST', url: '/api/auth/nothing', payload: { a: 1 } }, 404],
    'an unreadable URL': [{ url: '/%zz' }, 400],
    'a parameter that is too long': [{ method: 'DELETE', url: `/api/auth/sessions/${'x'.repeat(200)}` }, 400],
    'no token': [{ url: '/api/auth/me' }, 401],
    'no token, to delete': [{ method: 'DELETE', url: '/api/auth/sessions/x' }, 401],
    'another scheme': [{ url: '/api/auth/me', headers: { authorization: 'Basic eDp5' } }, 401],
    'a forged token': [meOf('a.b.c'), 401],
    'a revoked token': [meOf(ended.access), 401],
    'a refresh token as bearer': [meOf(good.refresh), 401],
    'verifying nonsense': [verifyOf('nonsense'), 401],
    'verifying what has ended': [verifyOf(ended.refresh), 401],
    'refreshing nonsense': [refreshWith('nonsense'), 401],
    'refreshing what has ended': [refreshWith(ended.refresh), 401],
    'refreshing nothing': [post('/api/auth/refresh'), 401],
    'logging out of nothing': [post('/api/auth/logout'), 401],
    'logging out of nonsense': [post('/api/auth/logout', bearer('nonsense')), 401],
    'logging out everywhere, of nonsense': [post('/api/auth/logout-all', bearer('nonsense')), 401],
    'a registration that fails': [
      { method: 'POST', url: '/api/auth/register', headers: json, payload: '{' },
      400,
    ],
  };
  for (const [name, [request, status]] of Object.entries(counted)) {
    await t.test(`counted: ${name}`, async (t) => {
      const here = freshAddress();
      for (const remaining of [3, 2, 1, 0]) {
        const answer = await send(from(here, request));
        t.equal(answer.statusCode, status);
        expectBudget(t, answer, 4, remaining, 3600);
      }
      expectLimited(t, await send(from(here, request)), 4, 3600);
      expectLimited(t, await send(from(here, nothing)), 4, 3600);
    });
  }

  await t.test('counted: registrations', async (t) => {
    const here = freshAddress();
    const register = (n: number) => ({
      method: 'POST' as const,
      url: '/api/auth/register',
      payload: { email: `n${n}.${good.email}`, password: PASSWORD },
    });
    for (let n = 0; n < 4; n += 1) t.equal((await send(from(here, register(n)))).statusCode, 201);
    expectLimited(t, await send(from(here, register(4))), 4, 3600);
    t.equal((await send(from(freshAddress(), register(4)))).statusCode, 201, 'it was not made before');
  });

  await t.test('never counted, and still answered when the budget is spent', async (t) => {
    const person = await signUp(app);
    let { refresh } = person;
    const free: Record<string, () => [InjectOptions, number]> = {
      liveness: () => [{ url: '/healthz' }, 200],
      readiness: () => [{ url: '/readyz' }, 200],
      keys: () => [{ url: '/.well-known/jwks.json' }, 200],
      document: () => [{ url: '/openapi.json' }, 200],
      page: () => [{ url: '/docs' }, 200],
      'static file': () => [{ url: '/docs/static/swagger-ui.css' }, 200],
      home: () => [{ url: '/' }, 302],
      preflight: () => [
        {
          method: 'OPTIONS',
          url: '/api/auth/register',
          headers: { origin: 'https://shop.example.com', 'access-control-request-method': 'POST' },
        },
        204,
      ],
      'a valid token': () => [meOf(person.access), 200],
      'verifying a valid token': () => [verifyOf(person.access), 200],
      // Ours, if late: many callers behind one address show one before each refresh.
      'an expired token': () => [meOf(expired), 401],
      'verifying an expired token': () => [verifyOf(expired), 401],
      'a valid refresh': () => [refreshWith(refresh), 200],
      'a login': () => [login({ email: person.email }, PASSWORD), 200],
      'a failed login': () => [login({ email: person.email }), 401],
    };
    const [fresh, spent] = [freshAddress(), freshAddress()];
    for (let n = 0; n < 5; n += 1) await send(from(spent, nothing));
    for (const here of [fresh, spent]) {
      for (const [name, make] of Object.entries(free)) {
        const [request, status] = make();
        const answer = await send(from(here, request));
        t.equal(answer.statusCode, status, name);
        t.strictSame(budget(answer), { limit: undefined, remaining: undefined });
        if (name === 'a valid refresh') refresh = answer.json().refresh;
      }
    }
    expectBudget(t, await send(from(fresh, nothing)), 4, 3, 3600);
    expectLimited(t, await send(from(spent, nothing)), 4, 3600);
    t.equal((await send(from(spent, post('/api/auth/logout', bearer(person.access))))).statusCode, 200);
  });

  await t.test('as many at once as one after the other', async (t) => {
    const here = freshAddress();
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(from(here, nothing))));
    t.equal(answers.filter(({ statusCode }) => statusCode === 404).length, 4);
    t.equal(answers.filter(({ statusCode }) => statusCode === 429).length, 16);
    const left = answers
      .filter(({ statusCode }) => statusCode === 404)
      .map((answer) => budget(answer).remaining);
    t.strictSame(left.sort(), ['0', '1', '2', '3']);
  });
}

async function whoseAddress(t: Test, stores: Stores): Promise<void> {
  const env = { RATE_LIMIT_ANON: '2/hour', RATE_LIMIT_LOGIN: '2/minute', RATE_LIMIT_LOGIN_IP: '10/minute' };

  await t.test('IPv6 counts by /64, IPv4 by itself however it is written', async (t) => {
    const { send } = await watchedApp(t, { stores, env });
    for (const request of [nothing, login({ email: 'nobody@example.com' })]) {
      const seconds = request === nothing ? 3600 : 60;
      await send(from('2001:db8:1:2::1', request));
      await send(from('2001:DB8:1:2:ffff:ffff:ffff:ffff', request));
      expectLimited(t, await send(from('2001:db8:0001:0002:abcd::9', request)), 2, seconds);
      expectBudget(t, await send(from('2001:db8:1:3::1', request)), 2, 1, seconds);
      expectBudget(t, await send(from('2001:db8:1:2%eth0', request)), 2, 1, seconds);

      await send(from('198.18.0.1', request));
      await send(from('::ffff:198.18.0.1', request));
      expectLimited(t, await send(from('::ffff:c612:1', request)), 2, seconds);
      expectBudget(t, await send(from('198.18.0.2', request)), 2, 1, seconds);
    }
  });

  await t.test('X-Forwarded-For is believed only from where TRUST_PROXY says', async (t) => {
    const via = (proxy: string, forwarded: string) =>
      from(proxy, { ...nothing, headers: { 'x-forwarded-for': forwarded } });
    const alone = await watchedApp(t, { stores, env });
    for (const n of [1, 2]) {
      t.equal((await alone.send(via('10.1.1.1', `198.19.0.${n}`))).statusCode, 404);
    }
    expectLimited(t, await alone.send(via('10.1.1.1', '198.19.0.3')), 2, 3600);

    const behind = await watchedApp(t, { stores, env: { ...env, TRUST_PROXY: '10.0.0.0/8' } });
    for (const n of [1, 2]) {
      // Whatever the client wrote itself stands to the left of what the proxy added.
      t.equal((await behind.send(via('10.1.1.1', `192.0.2.${n}, 198.19.0.1`))).statusCode, 404);
    }
    expectLimited(t, await behind.send(via('10.2.2.2', '192.0.2.3, 198.19.0.1, 10.1.1.1')), 2, 3600);
    expectBudget(t, await behind.send(via('10.1.1.1', '192.0.2.3, 198.19.0.2')), 2, 1, 3600);
    expectBudget(t, await behind.send(via('203.0.113.5', '198.19.0.9')), 2, 1, 3600);
    expectBudget(t, await behind.send(via('203.0.113.5', '198.19.0.8')), 2, 0, 3600);
    expectLimited(t, await behind.send(via('203.0.113.5', '198.19.0.7')), 2, 3600);
  });
}

t.test('windows end when they said they would; refused tries do not extend them', async (t) => {
  await t.test('embedded, by the clock', async (t) => {
    const app = await watchedApp(t, {
      env: { RATE_LIMIT_LOGIN: '1/minute', RATE_LIMIT_LOGIN_IP: '2/5minute', RATE_LIMIT_ANON: '1/minute' },
    });
    const { send } = app;
    const here = freshAddress();
    const someone = from(here, login({ email: 'someone@example.com' }));
    await send(someone);
    await send(from(here, nothing));
    for (const seconds of [60, 40, 20]) {
      expectLimited(t, await send(someone), 1, seconds);
      expectLimited(t, await send(from(here, nothing)), 1, seconds);
      app.advance(20_000);
    }
    expectBudget(t, await send(from(here, nothing)), 1, 0, 60);
    expectProblem(t, await send(someone), 401, 'invalid_credentials');
    app.advance(MINUTE);
    expectLimited(t, await send(someone), 2, 180);
    app.advance(3 * MINUTE);
    expectBudget(t, await send(someone), 1, 0, 60);
  });

  await t.test("servers, by Redis's own", async (t) => {
    const { send } = await watchedApp(t, {
      stores: 'servers',
      env: { RATE_LIMIT_LOGIN: '1/second', RATE_LIMIT_LOGIN_IP: '10/minute', RATE_LIMIT_ANON: '1/second' },
    });
    const here = freshAddress();
    for (const request of [from(here, nothing), from(here, login({ email: 'someone@example.com' }))]) {
      const start = performance.now();
      const first = await send(request);
      t.ok([401, 404].includes(first.statusCode));
      let refused = 0;
      for (;;) {
        const answer = await send(request);
        if (answer.statusCode !== 429) {
          t.equal(answer.statusCode, first.statusCode);
          break;
        }
        expectProblem(t, answer, 429, 'rate_limited');
        t.equal(answer.headers['retry-after'], '1');
        refused += 1;
        await delay(50);
      }
      const elapsed = performance.now() - start;
      t.ok(refused > 3 && elapsed > 900 && elapsed < 2000, `${refused} refused in ${elapsed} ms`);
    }
  });
});

t.test('two processes on one Redis count together', async (t) => {
  const env = {
    RATE_LIMIT_LOGIN: '3/minute',
    RATE_LIMIT_LOGIN_IP: '5/minute',
    RATE_LIMIT_ANON: '3/minute',
    RATE_LIMIT_USER: '3/minute',
    RATE_LIMIT_REFRESH: '3/minute',
  };
  const one = await watchedApp(t, { stores: 'servers', env });
  const { redisUrl, redisPrefix, databaseUrl } = one.config;
  const shared = { REDIS_URL: redisUrl!, REDIS_PREFIX: redisPrefix, DATABASE_URL: databaseUrl! };
  const two = await watchedApp(t, { env: { ...env, ...shared } });
  const { email, access, refresh }: SignedUp = await signUp(one);
  const [here, there] = [freshAddress(), freshAddress()];

  const inTurn: Record<string, [InjectOptions, number]> = {
    login: [from(here, login({ email })), 401],
    anonymous: [from(there, nothing), 404],
    user: [meOf(access), 200],
  };
  for (const [name, [request, status]] of Object.entries(inTurn)) {
    for (const [n, app] of [one, two, one].entries()) {
      const answer = await app.send(request);
      t.equal(answer.statusCode, status, name);
      expectBudget(t, answer, 3, 2 - n, 60);
    }
    for (const app of [two, one]) expectLimited(t, await app.send(request), 3, 60);
  }
  let token = refresh;
  for (const [n, app] of [two, one, two].entries()) {
    const answer = await app.send(refreshWith(token));
    expectBudget(t, answer, 3, 2 - n, 60);
    token = answer.json().refresh;
  }
  expectLimited(t, await one.send(refreshWith(token)), 3, 60);
  expectBudget(t, await two.send(from(here, login({ email: `x.${email}` }))), 5, 1, 60);
  expectBudget(t, await one.send(from(here, login({ email: `y.${email}` }))), 5, 0, 60);
  for (const app of [two, one]) {
    expectLimited(t, await app.send(from(here, login({ email: `z.${email}` }))), 5, 60);
  }
});

t.test('off is off', async (t) => {
  const app = await watchedApp(t, { env: { RATE_LIMIT_LOGIN: 'off', RATE_LIMIT_LOGIN_IP: '1/hour' } });
  const { send } = app;
  const { email, access, refresh } = await signUp(app);
  let token = refresh;
  for (let n = 0; n < 12; n += 1) {
    const refreshed = await send(refreshWith(token));
    token = refreshed.json().refresh;
    const answers = [refreshed, await send(meOf(access)), await send(nothing), await send(meOf('nonsense'))];
    // Each costs a hash.
    if (n < 3) answers.push(await send(login({ email })));
    const statuses = answers.map(({ statusCode }) => statusCode);
    t.strictSame(statuses, [200, 200, 404, 401, 401].slice(0, statuses.length));
    for (const answer of answers) t.strictSame(budget(answer), { limit: undefined, remaining: undefined });
  }
});

t.test('defaults', async (t) => {
  // An empty variable is one that is not set.
  const unset = { RATE_LIMIT_LOGIN: '', RATE_LIMIT_REFRESH: '', RATE_LIMIT_ANON: '', RATE_LIMIT_USER: '' };
  const app = await watchedApp(t, { env: unset });
  const { email, access, refresh } = await signUp(app);
  const here = freshAddress();
  expectBudget(t, await app.send(from(here, nothing)), 100, 99, 3600);
  expectBudget(t, await app.send(from(here, login({ email }))), 5, 4, 60);
  expectBudget(t, await app.send(from(here, meOf(access))), 1000, 999, 3600);
  expectBudget(t, await app.send(from(here, refreshWith(refresh))), 10, 9, 60);
  for (let n = 0; n < 4; n += 1) await app.send(from(here, login({ email })));
  expectLimited(t, await app.send(from(here, login({ email }, PASSWORD))), 5, 60);
});
