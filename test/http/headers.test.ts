import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { bearer, PASSWORD, signUp, type TestApp } from '../support/app.js';
import { withRedis } from '../support/redis-server.js';
import { decode, expectProblem, meOf, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

const EXPOSED = [
  'x-auth-status',
  'x-token-expires-at',
  'x-token-expires-in',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
  'retry-after',
  'www-authenticate',
  'x-request-id',
];

const words = (header: unknown): string[] =>
  String(header ?? '')
    .toLowerCase()
    .split(/\s*,\s*/);

/** One answer of every sort: what hooks, parsers, validators, handlers and the router itself send. */
async function everySort(app: TestApp): Promise<Record<string, { request: InjectOptions; status: number }>> {
  const { access, refresh } = await signUp(app);
  const credentials = { email: 'nobody@example.com', password: 'not the password' };
  const login = { method: 'POST', url: '/api/auth/login' } as const;
  const json = { 'content-type': 'application/json' };
  return {
    'a read': { request: meOf(access), status: 200 },
    'a refresh': { request: refreshWith(refresh), status: 200 },
    'nothing there': { request: { url: '/nothing/here' }, status: 404 },
    'a method not there': { request: { method: 'PUT', url: '/api/auth/me' }, status: 404 },
    'an unreadable URL': { request: { url: '/api/%zz' }, status: 400 },
    'no token': { request: { url: '/api/auth/me' }, status: 401 },
    'wrong credentials': { request: { ...login, payload: credentials }, status: 401 },
    'a refused field': { request: { ...login, payload: { x: 1 } }, status: 400 },
    'broken JSON': { request: { ...login, headers: json, payload: '{' }, status: 400 },
    'another content type': {
      request: { ...login, headers: { 'content-type': 'text/plain' }, payload: 'x' },
      status: 415,
    },
    'a large body': { request: { ...login, payload: { email: 'x'.repeat(70_000) } }, status: 413 },
    'no content': {
      request: {
        method: 'DELETE',
        url: `/api/auth/sessions/${decode(access).claims.sid}`,
        headers: bearer(access),
      },
      status: 204,
    },
    health: { request: { url: '/healthz' }, status: 200 },
    keys: { request: { url: '/.well-known/jwks.json' }, status: 200 },
    document: { request: { url: '/openapi.json' }, status: 200 },
    page: { request: { url: '/docs' }, status: 200 },
    script: { request: { url: '/docs/static/swagger-ui-bundle.js' }, status: 200 },
    'a missing file': { request: { url: '/docs/static/nothing.js' }, status: 404 },
    redirect: { request: { url: '/' }, status: 302 },
    'OPTIONS from no page': { request: { method: 'OPTIONS', url: '/api/auth/register' }, status: 404 },
  };
}

t.test('security headers stand on every answer', async (t) => {
  const settings = [
    ['http://localhost:8000', undefined],
    ['https://id.example.com', 'max-age=31536000; includeSubDomains'],
  ] as const;
  for (const [PUBLIC_URL, hsts] of settings) {
    const app = await watchedApp(t, { env: { PUBLIC_URL } });
    for (const [name, { request, status }] of Object.entries(await everySort(app))) {
      const { statusCode, headers } = await app.send(request);
      const isPage = String(headers['content-type']).startsWith('text/html');
      t.equal(isPage, name === 'page');
      const csp = String(headers['content-security-policy']);
      t.strictSame(
        {
          status: statusCode,
          sniff: headers['x-content-type-options'],
          frame: headers['x-frame-options'],
          referrer: headers['referrer-policy'],
          hsts: headers['strict-transport-security'],
          csp:
            !isPage ||
            (/^default-src '(none|self)'/.test(csp) && !/unsafe-(eval|inline)|\*|https?:/.test(csp)),
          software: [headers.server, headers['x-powered-by']],
          requestId: /^[0-9a-f-]{36}$/.test(String(headers['x-request-id'])),
        },
        {
          status,
          sniff: 'nosniff',
          frame: 'DENY',
          referrer: 'no-referrer',
          hsts,
          csp: true,
          software: [undefined, undefined],
          requestId: true,
        },
        `${name} (${PUBLIC_URL})`,
      );
    }
  }
});

t.test('request ids are ours', async (t) => {
  const { send } = await watchedApp(t);
  const seen = new Set<string>();
  for (let n = 0; n < 3; n += 1) {
    const headers = { 'x-request-id': 'mine', 'request-id': 'mine', traceparent: 'mine' };
    const { request_id } = expectProblem(t, await send({ url: '/nope', headers }), 404, 'not_found');
    t.match(request_id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    seen.add(request_id);
  }
  t.equal(seen.size, 3);
});

t.test('which pages may call', async (t) => {
  const listed = ['https://shop.example.com', 'https://admin.example.com:8443'];
  const foreign = [
    'https://evil.example',
    'null',
    'https://shop.example.com.evil.example',
    'https://evil-shop.example.com',
    'http://shop.example.com',
    'https://shop.example.com:444',
    'https://SHOP.example.com',
    'http://localhost.evil.example',
    'http://localhost:5173.evil.example',
    'http://evil.example/http://localhost:5173',
    'http://127.0.0.1.evil.example',
    'http://127.0.0.12:80',
    'http://localhost:5173\nhttp://evil.example',
    '*',
  ];
  const local = ['http://localhost', 'http://localhost:5173', 'http://127.0.0.1:3000'];

  await t.test('embedded: those listed, and any port of this machine', async (t) => {
    const app = await watchedApp(t, { env: { CORS_ORIGINS: listed.join(',') } });
    await expectOrigins(t, app, [...listed, ...local], foreign);
  });
  await t.test('on servers: those listed and nobody else', async (t) => {
    const app = await watchedApp(t, { stores: 'servers', env: { CORS_ORIGINS: listed.join(',') } });
    await expectOrigins(t, app, listed, [...foreign, ...local]);
  });
  await t.test('on servers with an empty list: none', async (t) => {
    await expectOrigins(t, await watchedApp(t, { stores: 'servers' }), [], [...foreign, ...listed, ...local]);
  });
});

async function expectOrigins(t: Test, app: TestApp, allowed: string[], refused: string[]): Promise<void> {
  const sorts = await everySort(app);
  const preflight = (origin: string) => ({
    method: 'OPTIONS' as const,
    url: '/api/auth/me',
    headers: {
      origin,
      'access-control-request-method': 'PATCH',
      'access-control-request-headers': 'authorization,content-type,x-auth-transport',
    },
  });
  const grants = ({ headers }: LightMyRequestResponse) => ({
    origin: headers['access-control-allow-origin'],
    varies: words(headers.vary).includes('origin'),
    star: Object.entries(headers).filter(
      ([name, value]) => name.startsWith('access-control-') && String(value).includes('*'),
    ),
  });

  for (const origin of allowed) {
    for (const [name, { request, status }] of Object.entries(sorts)) {
      const answer = await app.send({ ...request, headers: { ...request.headers, origin } });
      // What could be done once only has been done for the first origin; OPTIONS from a page is a preflight.
      if (origin === allowed[0] && request.method !== 'OPTIONS') t.equal(answer.statusCode, status, name);
      t.strictSame(grants(answer), { origin, varies: true, star: [] }, `${name} for ${origin}`);
      t.equal(answer.headers['access-control-allow-credentials'], 'true');
      t.strictSame(words(answer.headers['access-control-expose-headers']).sort(), [...EXPOSED].sort());
    }
    const answer = await app.send(preflight(origin));
    t.equal(answer.statusCode, 204);
    t.strictSame(grants(answer), { origin, varies: true, star: [] }, `preflight of ${origin}`);
    t.strictSame(words(answer.headers['access-control-allow-methods']), [
      'get',
      'post',
      'put',
      'patch',
      'delete',
    ]);
    const headers = words(answer.headers['access-control-allow-headers']);
    for (const name of ['authorization', 'content-type', 'x-auth-transport']) t.ok(headers.includes(name));
    t.match(answer.headers['access-control-max-age'], /^[1-9]\d*$/);
  }
  for (const origin of refused) {
    for (const request of [preflight(origin), { url: '/nope', headers: { origin } }]) {
      const answer = await app.send(request);
      t.strictSame(grants(answer), { origin: undefined, varies: true, star: [] }, `nothing for ${origin}`);
    }
  }
}

t.test('the caller is told how things stand', async (t) => {
  const app = await watchedApp(t);
  const { send } = app;
  const person = await signUp(app);
  const standing = async (request: InjectOptions) => {
    const { headers } = await send(request);
    const [at, left] = [headers['x-token-expires-at'], headers['x-token-expires-in']];
    return { status: headers['x-auth-status'], at, left };
  };
  const told = (status: string) => ({ status, at: undefined, left: undefined });
  const iso = (token: string) => new Date(decode(token).claims.exp * 1000).toISOString().replace('.000', '');
  const near = (t: Test, left: unknown, seconds: number) =>
    t.ok(Number(left) <= seconds && Number(left) > seconds - 5, `${left} is about ${seconds}`);

  await t.test('authenticated, with how long the token still lives', async (t) => {
    app.advance(100_000);
    for (const [request, token, lifetime] of [
      [meOf(person.access), person.access, 900],
      [verifyOf(person.access), person.access, 900],
      [verifyOf(person.refresh), person.refresh, 604_800],
    ] as const) {
      const { left, ...rest } = await standing(request);
      t.strictSame(rest, { status: 'authenticated', at: iso(token) });
      near(t, left, lifetime - 100);
    }
    const answer = await send(refreshWith(person.refresh));
    const { access } = answer.json();
    t.equal(answer.headers['x-auth-status'], 'authenticated');
    t.equal(answer.headers['x-token-expires-at'], iso(access), 'a refresh tells of the new access token');
    near(t, answer.headers['x-token-expires-in'], 900);
    const refused = { ...meOf(access), method: 'DELETE', payload: { password: 'wrong password' } } as const;
    t.match(
      await standing(refused),
      { status: 'authenticated', at: iso(access) },
      'a good token, a bad password',
    );
  });

  await t.test('anonymous', async (t) => {
    const login = { method: 'POST', url: '/api/auth/login' } as const;
    for (const request of [
      { url: '/healthz' },
      { url: '/nope' },
      { url: '/api/auth/me' },
      { url: '/api/auth/me', headers: { authorization: 'Basic bm90IGEgdG9rZW4=' } },
      { ...login, payload: { email: person.email, password: PASSWORD } },
      { ...login, payload: { email: person.email, password: 'wrong password' } },
      { ...login, payload: {} },
    ]) {
      t.strictSame(await standing(request), told('anonymous'));
    }
  });

  await t.test('invalid, expired, revoked', async (t) => {
    const requests = (token: string) => [meOf(token), verifyOf(token), refreshWith(token)];
    for (const request of requests('nonsense')) t.strictSame(await standing(request), told('invalid'));

    const { access } = await signUp(app);
    app.advance(900_000);
    for (const request of requests(access).slice(0, 2))
      t.strictSame(await standing(request), told('expired'));

    const ended = await signUp(app);
    await send({ method: 'POST', url: '/api/auth/logout', headers: bearer(ended.access) });
    t.strictSame(await standing(meOf(ended.access)), told('revoked'));
    for (const request of requests(ended.refresh).slice(1)) {
      t.strictSame(await standing(request), told('revoked'));
    }
  });

  await t.test('what needs no token says nothing about caching that it should not', async (t) => {
    const keys = await send({ url: '/.well-known/jwks.json' });
    t.strictSame(keys.json(), { keys: [] }, 'an HMAC key is never published');
    t.match(keys.headers['cache-control'], /^public, max-age=\d+$/);
    t.strictSame((await send({ url: '/healthz' })).json(), { status: 'ok' });
    t.strictSame((await send({ url: '/readyz' })).json(), { status: 'ok' });
  });
});

t.test('a store that is away is no verdict on a token', async (t) => {
  const redis = await withRedis(t);
  const app = await watchedApp(t, { stores: 'servers', env: { REDIS_URL: redis.url } });
  const { access, refresh } = await signUp(app);
  await redis.kill();
  const origin = 'http://localhost:8000';
  for (const request of [meOf(access), verifyOf(access), refreshWith(refresh)]) {
    const answer = await app.send({
      ...request,
      headers: { ...('headers' in request && request.headers), origin },
    });
    expectProblem(t, answer, 503, 'store_unavailable');
    t.equal(answer.headers['x-auth-status'], 'anonymous', 'neither revoked nor invalid');
    t.equal(answer.headers['x-frame-options'], 'DENY');
  }
  t.equal((await app.send({ url: '/healthz' })).statusCode, 200);
  expectProblem(t, await app.send({ url: '/readyz' }), 503, 'store_unavailable');
});
