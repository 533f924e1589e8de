import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { bearer, PASSWORD, STORES, signUp, type TestApp } from '../support/app.js';
import { withRedis } from '../support/redis-server.js';
import { decode, expectProblem, forge, meOf, type Pair, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

const NAME = 'latchkey_refresh';
/** Comes with every login and is no credential. */
const DEVICE = 'latchkey_device=';
const PUBLIC_ORIGIN = 'http://localhost:8000';
const LISTED = ['https://shop.example.com', 'https://admin.example.com:8443'];
const CORS_ORIGINS = LISTED.join(',');
const MINUTE = 60_000;

const byCookie = { 'x-auth-transport': 'cookie' };
const proven = { ...byCookie, origin: PUBLIC_ORIGIN };

const post = (url: string, headers: Record<string, string>, token?: string, payload?: object) =>
  ({
    method: 'POST',
    url,
    headers,
    ...(token !== undefined && { cookies: { [NAME]: token } }),
    ...(payload && { payload }),
  }) as const;
const refresh = (token: string, headers: Record<string, string> = proven, payload?: object) =>
  post('/api/auth/refresh', headers, token, payload);
const logout = (token: string, headers: Record<string, string> = proven, payload?: object) =>
  post('/api/auth/logout', headers, token, payload);

const cookieLines = ({ headers }: LightMyRequestResponse): string[] =>
  [headers['set-cookie'] ?? []].flat().filter((line) => !line.startsWith(DEVICE));

/** The cookie as a browser would store it, attribute by attribute. */
function readCookie(t: Test, response: LightMyRequestResponse) {
  const lines = cookieLines(response);
  t.equal(lines.length, 1, 'one cookie');
  const [pair = '', ...attributes] = (lines[0] ?? '').split('; ');
  t.ok(pair.startsWith(`${NAME}=`));
  return { value: pair.slice(NAME.length + 1), attributes: attributes.sort() };
}

async function signInByCookie(t: Test, { send }: TestApp, email: string) {
  const credentials = { email, password: PASSWORD };
  const response = await send(post('/api/auth/login', byCookie, undefined, credentials));
  const { access } = response.json() as Pair;
  return { access, refresh: readCookie(t, response).value };
}

function expectNoCookie(t: Test, response: LightMyRequestResponse): void {
  t.strictSame(cookieLines(response), [], 'no Set-Cookie');
}

for (const stores of STORES) {
  t.test(stores, async (t) => {
    const app = await watchedApp(t, { stores, env: { CORS_ORIGINS } });
    await t.test('the token goes into the cookie', (t) => handingOut(t, app));
    await t.test('a foreign page gets nothing', (t) => forgedRequests(t, app));
    await t.test('the body wins', (t) => bodyWins(t, app));
    await t.test('a refusal never touches the cookie', (t) => refusals(t, app));
    await t.test('logging out clears it', (t) => clearing(t, app));
  });
}

async function handingOut(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { email } = await signUp(app);
  const newcomer = { email: `new.${email}`, password: PASSWORD };
  const attributes = ['HttpOnly', 'Max-Age=604800', 'Path=/', 'SameSite=Strict'];

  const answers: Record<string, LightMyRequestResponse> = {};
  answers.register = await send(post('/api/auth/register', byCookie, undefined, newcomer));
  answers.login = await send(post('/api/auth/login', byCookie, undefined, { email, password: PASSWORD }));
  answers.refresh = await send(refresh(readCookie(t, answers.login).value));
  for (const [name, answer] of Object.entries(answers)) {
    await t.test(name, async (t) => {
      t.equal(answer.statusCode, name === 'register' ? 201 : 200);
      t.equal(answer.headers['cache-control'], 'no-store');
      const cookie = readCookie(t, answer);
      t.strictSame(cookie.attributes, attributes);
      const { user, ...body } = answer.json();
      t.equal(user === undefined, name === 'refresh');
      t.strictSame(Object.keys(body).sort(), ['access', 'expires_in', 'refresh_expires_in', 'token_type']);
      t.equal(decode(cookie.value).claims.token_type, 'refresh');
      t.equal(decode(cookie.value).claims.sid, decode(body.access).claims.sid);
    });
  }

  await t.test('its life is that of the token', async (t) => {
    const { refresh: token } = await signInByCookie(t, app, email);
    await send(refresh(token));
    app.advance(1000 * 3600);
    const again = await send(refresh(token));
    const left = again.json().refresh_expires_in;
    t.ok(left <= 604_800 - 3600 && left > 604_800 - 3605);
    t.ok(readCookie(t, again).attributes.includes(`Max-Age=${left}`));
  });

  await t.test('only when asked for by that very word', async (t) => {
    for (const value of ['', 'Cookie', 'body', 'cookie,body', 'true']) {
      const headers = { 'x-auth-transport': value };
      const answer = await send(post('/api/auth/login', headers, undefined, { email, password: PASSWORD }));
      t.equal(answer.statusCode, 200);
      t.type(answer.json().refresh, 'string');
      expectNoCookie(t, answer);
    }
  });

  await t.test('a cookie alone is no credential elsewhere', async (t) => {
    const { refresh: token } = await signInByCookie(t, app, email);
    const cookies = { [NAME]: token };
    expectProblem(t, await send({ url: '/api/auth/me', headers: proven, cookies }), 401, 'token_missing');
    expectProblem(t, await send(post('/api/auth/logout-all', proven, token)), 401, 'token_missing');
    expectProblem(t, await send(post('/api/auth/verify', proven, token, {})), 400, 'invalid_request');
    expectProblem(t, await send(post('/api/auth/refresh', proven, '')), 401, 'token_missing');
    const other = { ...post('/api/auth/refresh', proven), cookies: { refresh: token, [`x${NAME}`]: token } };
    expectProblem(t, await send(other), 401, 'token_missing');
  });
}

async function forgedRequests(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { email, user } = await signUp(app);
  const events = async () => {
    await app.app.events.flush();
    return (await app.app.database.events.listOfUser(user.id, { limit: 50 })).map(({ type }) => type);
  };

  await t.test('refresh and logout need the header and an origin we know', async (t) => {
    const { access, refresh: token } = await signInByCookie(t, app, email);
    const before = await events();
    const origins = [
      'https://evil.example',
      'null',
      '',
      'http://localhost',
      'http://localhost:8001',
      'https://localhost:8000',
      'http://localhost:8000.evil.example',
      'http://localhost:8000/',
      'HTTP://LOCALHOST:8000',
      'http://127.0.0.1:8000',
      'http://localhost:5173',
      'https://shop.example.com.evil.example',
      'https://evil-shop.example.com',
      'http://shop.example.com',
      'https://admin.example.com',
      `${LISTED[0]}, ${LISTED[1]}`,
    ];
    const unproven: Record<string, string>[] = [
      {},
      byCookie,
      { origin: PUBLIC_ORIGIN },
      { origin: LISTED[0]! },
      { origin: PUBLIC_ORIGIN, 'x-auth-transport': 'Cookie' },
      { referer: `${PUBLIC_ORIGIN}/login`, ...byCookie },
      ...origins.map((origin) => ({ ...byCookie, origin })),
    ];
    for (const headers of unproven) {
      for (const request of [refresh, logout]) {
        const answer = await send(request(token, headers));
        expectProblem(t, answer, 403, 'csrf_failed');
        expectNoCookie(t, answer);
      }
    }
    t.strictSame(await events(), before, 'nothing was rotated, nothing ended');
    t.equal((await send(meOf(access))).statusCode, 200);
    t.equal((await send(verifyOf(token))).statusCode, 200);
  });

  await t.test('with both, from each of ours', async (t) => {
    for (const origin of [PUBLIC_ORIGIN, ...LISTED]) {
      const { refresh: token } = await signInByCookie(t, app, email);
      const answer = await send(refresh(token, { ...byCookie, origin }));
      t.equal(answer.statusCode, 200, origin);
      const successor = readCookie(t, answer).value;
      t.not(decode(successor).claims.jti, decode(token).claims.jti);
      t.equal((await send(logout(successor, { ...byCookie, origin }))).statusCode, 200);
      expectProblem(t, await send(verifyOf(successor)), 401, 'session_ended', { reason: 'logout' });
    }
  });
}

async function bodyWins(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { email, ...inBody } = await signUp(app);
  const inCookie = await signInByCookie(t, app, email);
  const sid = ({ access }: { access: string }) => decode(access).claims.sid;

  const plain = await send(refresh(inCookie.refresh, {}, { refresh: inBody.refresh }));
  t.equal(plain.statusCode, 200, 'a token in the body needs no proof of origin');
  t.equal(sid(plain.json()), sid(inBody));
  expectNoCookie(t, plain);

  const moved = await send(refresh(inCookie.refresh, byCookie, { refresh: plain.json().refresh }));
  t.equal(sid(moved.json()), sid(inBody));
  t.equal(decode(readCookie(t, moved).value).claims.sid, sid(inBody), 'the answer goes by cookie if asked');

  const bad = await send(refresh(inCookie.refresh, proven, { refresh: 'nonsense' }));
  expectProblem(t, bad, 401, 'token_invalid');
  expectNoCookie(t, bad);
  const empty = await send(refresh(inCookie.refresh, proven, { refresh: '' }));
  expectProblem(t, empty, 401, 'token_invalid');

  const answer = await send(logout(inCookie.refresh, {}, { refresh: readCookie(t, moved).value }));
  t.equal(answer.statusCode, 200);
  expectProblem(t, await send(verifyOf(inBody.access)), 401, 'token_revoked');
  t.equal((await send(meOf(inCookie.access))).statusCode, 200, 'the session of the cookie goes on');
}

async function refusals(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { email } = await signUp(app);
  async function expectRefused(t: Test, token: string, status: number, code: string, reason?: string) {
    const answer = await send(refresh(token));
    expectProblem(t, answer, status, code, { reason });
    expectNoCookie(t, answer);
  }

  await t.test('a token that is none', async (t) => {
    const { refresh: token } = await signInByCookie(t, app, email);
    const { header, claims } = decode(token);
    const forged = forge(header, claims, { key: 'another key, also of thirty-two bytes' });
    for (const bad of ['nonsense', 'a.b.c', '%zz', '%00', '"x"', forged]) {
      await expectRefused(t, bad, 401, 'token_invalid');
      const out = await send(logout(bad));
      expectProblem(t, out, 401, 'token_invalid');
      expectNoCookie(t, out);
    }
    t.equal((await send(verifyOf(token))).statusCode, 200);
  });

  await t.test('a race: the loser holds the same successor, never an empty cookie', async (t) => {
    const { refresh: token } = await signInByCookie(t, app, email);
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(refresh(token))));
    const jtis = answers.map((answer) => decode(readCookie(t, answer).value).claims.jti);
    t.equal(new Set(jtis).size, 1);
  });

  await t.test('theft, an ended session, an expired token', async (t) => {
    const { refresh: token } = await signInByCookie(t, app, email);
    const successor = readCookie(t, await send(refresh(token))).value;
    await send(refresh(successor));
    app.advance(MINUTE + 1000);
    await expectRefused(t, token, 401, 'token_reused', 'reuse');
    await expectRefused(t, successor, 401, 'session_ended', 'reuse');
    app.advance(8 * 24 * 60 * MINUTE);
    await expectRefused(t, successor, 401, 'token_expired');
  });
}

async function clearing(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { email } = await signUp(app);
  const cleared = (t: Test, answer: LightMyRequestResponse) =>
    t.strictSame(readCookie(t, answer), {
      value: '',
      attributes: [
        'Expires=Thu, 01 Jan 1970 00:00:00 GMT',
        'HttpOnly',
        'Max-Age=0',
        'Path=/',
        'SameSite=Strict',
      ],
    });

  await t.test('logout by cookie, again and again, and beside a bearer token', async (t) => {
    const [first, second] = [await signInByCookie(t, app, email), await signInByCookie(t, app, email)];
    for (let n = 0; n < 2; n += 1) {
      const answer = await send(logout(first.refresh));
      t.equal(answer.statusCode, 200);
      cleared(t, answer);
    }
    const third = await signInByCookie(t, app, email);
    const both = await send(logout(second.refresh, { ...proven, ...bearer(third.access) }));
    t.equal(both.statusCode, 200);
    cleared(t, both);
    for (const { access } of [first, second, third]) {
      expectProblem(t, await send(meOf(access)), 401, 'token_revoked');
    }
  });

  await t.test('logout by other means clears only for who uses cookies', async (t) => {
    const { access, refresh: token } = await signInByCookie(t, app, email);
    expectNoCookie(t, await send(post('/api/auth/logout', bearer(access))));
    cleared(t, await send(post('/api/auth/logout', { ...byCookie, ...bearer(access) })));
    cleared(t, await send(post('/api/auth/logout', byCookie, undefined, { refresh: token })));
  });

  await t.test('logout everywhere and the end of the account', async (t) => {
    const { access } = await signInByCookie(t, app, email);
    cleared(t, await send(post('/api/auth/logout-all', { ...byCookie, ...bearer(access) })));
    const again = await signInByCookie(t, app, email);
    const remove = { method: 'DELETE', url: '/api/auth/me' } as const;
    const headers = { ...byCookie, ...bearer(again.access) };
    const refused = await send({ ...remove, headers, payload: { password: 'wrong password' } });
    expectProblem(t, refused, 401, 'invalid_credentials');
    expectNoCookie(t, refused);
    const gone = await send({ ...remove, headers, payload: { password: PASSWORD } });
    t.equal(gone.statusCode, 204);
    cleared(t, gone);
  });
}

t.test('Secure, unless the service is on this machine', async (t) => {
  for (const [url, secure] of [
    ['http://localhost:8000', false],
    ['http://127.0.0.1:9000', false],
    ['http://[::1]:8000', false],
    ['https://id.example.com', true],
    ['http://id.example.com', true],
    ['http://localhost.example.com', true],
  ] as const) {
    const app = await watchedApp(t, { env: { PUBLIC_URL: url } });
    const { email } = await signUp(app);
    const credentials = { email, password: PASSWORD };
    const answer = await app.send(post('/api/auth/login', byCookie, undefined, credentials));
    const { value, attributes } = readCookie(t, answer);
    t.equal(attributes.includes('Secure'), secure, url);
    const { origin } = new URL(url);
    const out = await app.send(logout(value, { ...byCookie, origin }));
    t.equal(out.statusCode, 200, 'its own origin is known');
    t.equal(readCookie(t, out).attributes.includes('Secure'), secure, 'also to clear it');
    const elsewhere = url === PUBLIC_ORIGIN ? 'https://id.example.com' : PUBLIC_ORIGIN;
    expectProblem(t, await app.send(refresh(value, { ...byCookie, origin: elsewhere })), 403, 'csrf_failed');
  }
});

t.test('a store that is away costs nobody the cookie', async (t) => {
  const redis = await withRedis(t);
  const app = await watchedApp(t, { stores: 'servers', env: { REDIS_URL: redis.url } });
  const { email } = await signUp(app);
  const pair = await signInByCookie(t, app, email);
  await redis.kill();
  const asked = [
    refresh(pair.refresh),
    logout(pair.refresh),
    post('/api/auth/logout', { ...byCookie, ...bearer(pair.access) }),
    post('/api/auth/logout-all', { ...byCookie, ...bearer(pair.access) }),
    post('/api/auth/login', byCookie, undefined, { email, password: PASSWORD }),
    refreshWith(pair.refresh),
    meOf(pair.access),
  ];
  for (const request of asked) {
    const answer = await app.send(request);
    expectProblem(t, answer, 503, 'store_unavailable');
    expectNoCookie(t, answer);
  }
});
