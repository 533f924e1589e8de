import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fastifyCookie from '@fastify/cookie';
import fastifyCors from '@fastify/cors';
import fastifyHelmet from '@fastify/helmet';
import fastifyRateLimit from '@fastify/rate-limit';
import fastifySwagger from '@fastify/swagger';
import Fastify, { type FastifyInstance, type FastifyServerOptions, type InjectOptions } from 'fastify';
import Database from 'libsql';
import t, { type Test } from 'tap';
import latchkey, { AuthError, ConfigError, type LatchkeyOptions } from '../src/index.js';
import { readOptions } from '../src/options.js';
import { databaseFile } from '../src/stores/sql/database.js';
import { decode, expectProblem } from './http/answers.js';
import { bearer, PASSWORD, TEST_KEY } from './support/app.js';

function dataDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-plugin-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const settings = (t: Test): LatchkeyOptions => ({
  dataDir: dataDir(t),
  jwtSigningKey: TEST_KEY,
  rateLimitLogin: 'off',
  rateLimitAnon: 'off',
});

type Options = LatchkeyOptions & { prefix?: string };

/** Somebody else's application with Latchkey in it; `fill` adds what is theirs, after Latchkey. */
async function hostApp(
  t: Test,
  options: Options = {},
  fill: (app: FastifyInstance) => unknown = () => undefined,
  server: FastifyServerOptions = {},
): Promise<FastifyInstance> {
  const app = Fastify(server);
  t.teardown(() => app.close());
  await app.register(latchkey, { ...settings(t), ...options });
  await fill(app);
  await app.ready();
  return app;
}

let people = 0;

async function signUp(app: FastifyInstance, prefix = '') {
  people += 1;
  const payload = { email: `guest${people}@example.com`, password: PASSWORD };
  const response = await app.inject({ method: 'POST', url: `${prefix}/api/auth/register`, payload });
  if (response.statusCode !== 201) throw new Error(`register answered ${response.body}`);
  return response.json<{ access: string; refresh: string; user: { id: string; email: string } }>();
}

const refusedWith = (code: string) => ({ name: 'AuthError', code });

t.test('the application gets four names and nothing else', async (t) => {
  const bare = Fastify();
  t.teardown(() => bare.close());
  const app = await hostApp(t);
  const added = Object.keys(app).filter((name) => !Object.keys(bare).includes(name));
  t.strictSame(added.sort(), ['authenticate', 'authorize', 'latchkey']);
  t.ok(app.hasRequestDecorator('auth'));
  for (const name of ['client', 'locale', 'cookies', 'wantsCookie', 'corsPreflightEnabled']) {
    t.notOk(app.hasRequestDecorator(name), `request.${name}`);
  }
  for (const name of ['setCookie', 'setRefreshCookie', 'helmet']) t.notOk(app.hasReplyDecorator(name));
  t.strictSame(app.getSchemas(), {});
});

/** An application with ways of its own in everything that Latchkey has ways in, too. */
function opinionated(app: FastifyInstance): void {
  app.decorateRequest('client', null);
  app.decorateRequest('locale', 'nl');
  for (const name of ['database', 'sessions', 'accounts', 'events', 'clock', 'jwt']) app.decorate(name, name);
  app.addSchema({ $id: 'User', type: 'object', properties: { pet: { type: 'string' } } });
  app.setValidatorCompiler(() => () => ({ error: new Error('theirs') }));
  app.setSerializerCompiler(() => () => '"theirs"');
  app.setReplySerializer((payload) => `theirs ${JSON.stringify(payload)}`);
  app.setErrorHandler((error, _request, reply) => reply.code(418).send({ theirs: String(error) }));
  app.setNotFoundHandler((_request, reply) => reply.code(410).send({ theirs: 'nothing' }));
  app.addContentTypeParser('text/plain', { parseAs: 'string' }, async (_: unknown, body: string) => body);
}

function theirRoutes(app: FastifyInstance): void {
  const answer = { type: 'object', properties: { a: { type: 'string' } } };
  app.get('/plain', async () => ({ a: 1, b: 2 }));
  app.get('/serialized', { schema: { response: { 200: answer } } }, async () => ({ a: 1, b: 2 }));
  app.get('/fails', async () => {
    throw new Error('theirs');
  });
  app.post('/echo', async (request) => ({ got: request.body ?? null }));
  app.post('/checked', { schema: { body: answer } }, async (request) => ({ got: request.body }));
  app.options('/own-options', async () => ({ own: true }));
}

const THEIR_REQUESTS: InjectOptions[] = [
  { url: '/plain' },
  { url: '/plain/' },
  { method: 'HEAD', url: '/plain' },
  { url: '/serialized' },
  { url: '/fails' },
  { url: '/%zz' },
  { method: 'POST', url: '/echo', payload: { a: 1 } },
  { method: 'POST', url: '/echo', payload: { a: 'x'.repeat(100_000) } },
  { method: 'POST', url: '/echo', headers: { 'content-type': 'text/plain' }, payload: 'text' },
  { method: 'POST', url: '/echo', headers: { 'content-type': 'application/json' }, payload: '' },
  { method: 'POST', url: '/echo', headers: { 'content-type': 'application/xml' }, payload: '<a/>' },
  { method: 'POST', url: '/checked', payload: { a: 1, b: 2 } },
  { method: 'OPTIONS', url: '/own-options' },
  ...['/plain', '/api/auth/nothing', '/api/authors', '/'].flatMap((url): InjectOptions[] => [
    { url, headers: { origin: 'http://localhost:5173', authorization: 'Bearer nonsense' } },
    {
      method: 'OPTIONS',
      url,
      headers: { origin: 'http://localhost:5173', 'access-control-request-method': 'GET' },
    },
  ]),
  { url: '/docs' },
  { url: '/healthz' },
  { url: '/openapi.json' },
];

t.test('the routes of the application answer byte for byte as without Latchkey', async (t) => {
  const applications: Record<string, { prepare(app: FastifyInstance): void; server: FastifyServerOptions }> =
    {
      'as Fastify comes': { prepare: () => undefined, server: {} },
      'with ways of its own': {
        prepare: opinionated,
        server: { bodyLimit: 50_000, routerOptions: { ignoreTrailingSlash: true } },
      },
    };
  for (const [name, { prepare, server }] of Object.entries(applications)) {
    await t.test(name, async (t) => {
      let theirLines = '';
      const logger = { level: 'info', stream: { write: (line: string) => (theirLines += line) } };
      const build = async (withLatchkey: boolean): Promise<FastifyInstance> => {
        const app = Fastify({ ...server, logger });
        t.teardown(() => app.close());
        prepare(app);
        if (withLatchkey) await app.register(latchkey, settings(t));
        theirRoutes(app);
        await app.ready();
        return app;
      };
      const observe = async (app: FastifyInstance): Promise<unknown[]> => {
        theirLines = '';
        const answers: unknown[] = [];
        for (const request of THEIR_REQUESTS) {
          const { statusCode, headers, body } = await app.inject(request);
          const { date: _, ...lasting } = headers;
          answers.push({ request: `${request.method ?? 'GET'} ${request.url}`, statusCode, lasting, body });
        }
        return [...answers, theirLines.split('\n').map(withoutTimes)];
      };
      t.strictSame(await observe(await build(true)), await observe(await build(false)));
    });
  }
});

/** A log line but for what differs from run to run. */
const withoutTimes = (line: string): string =>
  line.replace(/"(time|pid|responseTime|stack)":("[^"]*"|[\d.]+),?/g, '').replace(/\(?\/\S+\)?/g, '');

t.test("Latchkey's routes are as they are in the service, whatever the application does", async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  opinionated(app);
  await app.register(fastifyCookie, { parseOptions: { domain: 'example.com', path: '/x' } });
  await app.register(fastifyHelmet);
  await app.register(fastifyRateLimit, { max: 1000 });
  await app.register(fastifySwagger);
  await app.register(latchkey, {
    ...settings(t),
    publicUrl: 'https://app.example.com',
    corsOrigins: ['https://app.example.com'],
    rateLimitAnon: '3/minute',
  });
  await app.ready();

  const { access, refresh, user } = await signUp(app);
  const me = await app.inject({ url: '/api/auth/me', headers: bearer(access) });
  t.equal(me.statusCode, 200);
  t.match(me.json(), { id: user.id, email: user.email, role: 'viewer' });
  t.match(me.headers, { 'x-auth-status': 'authenticated', 'cache-control': 'no-store' });

  const wrong = { method: 'POST', url: '/api/auth/login', payload: { email: 1, x: 2 } } as const;
  expectProblem(t, await app.inject(wrong), 400, 'invalid_request');
  const large = { ...wrong, payload: { email: 'x'.repeat(70_000) } };
  expectProblem(t, await app.inject(large), 413, 'body_too_large');
  const text = { ...wrong, headers: { 'content-type': 'text/plain' }, payload: 'x' };
  expectProblem(t, await app.inject(text), 415, 'unsupported_media_type');

  const byCookie = await app.inject({
    method: 'POST',
    url: '/api/auth/refresh',
    headers: { 'x-auth-transport': 'cookie' },
    payload: { refresh },
  });
  t.match(
    byCookie.headers['set-cookie'],
    /^latchkey_refresh=[^;]+; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  );

  await t.test('its limits are counted in its own store', async (t) => {
    const asked = { url: '/api/auth/me', remoteAddress: '192.0.2.9' };
    for (let n = 0; n < 3; n += 1) expectProblem(t, await app.inject(asked), 401, 'token_missing');
    expectProblem(t, await app.inject(asked), 429, 'rate_limited');
  });
  await t.test("the application's OpenAPI document is its own", async (t) => {
    t.strictSame(app.swagger().paths, {});
  });
});

t.test('both spellings of each path, under a prefix', async (t) => {
  const app = await hostApp(t, { prefix: '/id' });
  const { access } = await signUp(app, '/id');
  for (const url of ['/id/api/auth/me', '/id/api/auth/me/', '/id/.well-known/jwks.json/']) {
    const { statusCode } = await app.inject({ url, headers: bearer(access) });
    t.equal(statusCode, 200, url);
  }
  for (const method of ['HEAD', 'GET'] as const) {
    expectProblem(t, await app.inject({ url: '/id/api/auth/sessions/' }), 401, 'token_missing');
    t.equal((await app.inject({ method, url: '/api/auth/me' })).statusCode, 404, 'only there');
  }
  for (const url of ['/id/api/user', '/id/api/user/', '/id/core/api/dashboard/']) {
    t.equal((await app.inject({ url, headers: bearer(access) })).statusCode, 200, url);
  }
  const refused = { username: ['This field is required.'], password: ['This field is required.'] };
  for (const url of ['/id/api/token', '/id/api/token/']) {
    t.strictSame((await app.inject({ method: 'POST', url, payload: {} })).json(), refused, url);
    t.equal((await app.inject({ url })).statusCode, 404, 'a path may have other methods of the application');
  }
  t.equal((await app.inject({ url: '/id/healthz' })).statusCode, 404);
  t.equal((await app.inject({ url: '/id/docs' })).statusCode, 404);

  const without = await hostApp(t, { compatRoutes: false });
  t.equal((await without.inject({ method: 'POST', url: '/api/token/', payload: {} })).statusCode, 404);
});

t.test('pages may call as the settings say', async (t) => {
  const preflight = (url: string, origin: string): InjectOptions => ({
    method: 'OPTIONS',
    url,
    headers: { origin, 'access-control-request-method': 'POST' },
  });
  const app = await hostApp(t, { corsOrigins: ['https://shop.example.com'] });
  for (const url of ['/api/auth/login', '/api/auth/login/', '/api/auth/sessions/x']) {
    const granted = await app.inject(preflight(url, 'https://shop.example.com'));
    t.equal(granted.statusCode, 204, url);
    t.equal(granted.headers['access-control-allow-origin'], 'https://shop.example.com');
    const refused = await app.inject(preflight(url, 'https://evil.example'));
    t.equal(refused.statusCode, 404);
    t.notOk(refused.headers['access-control-allow-origin']);
  }

  await t.test('or as the application says, when it has rules around Latchkey', async (t) => {
    const app = Fastify();
    t.teardown(() => app.close());
    await app.register(fastifyCors, { origin: 'https://theirs.example', methods: ['POST'] });
    await app.register(latchkey, settings(t));
    const { headers, statusCode } = await app.inject(preflight('/api/auth/login', 'https://theirs.example'));
    t.equal(statusCode, 204);
    t.equal(headers['access-control-allow-origin'], 'https://theirs.example');
  });
});

t.test('documentation and health, when asked for', async (t) => {
  const app = await hostApp(t, { prefix: '/id', docs: true, health: true });
  for (const url of ['/id/healthz', '/id/readyz/', '/id/docs']) {
    t.equal((await app.inject({ url })).statusCode, 200, url);
  }
  t.equal((await app.inject({ url: '/id/' })).statusCode, 404, 'no start page');
  const { paths } = (await app.inject({ url: '/id/openapi.json' })).json<{ paths: object }>();
  t.ok('/id/api/auth/login' in paths);
  t.ok('/id/api/token/' in paths);
  t.notOk('/id/api/auth/login/' in paths);
  t.notOk(app.hasDecorator('swagger'));
});

t.test('guards on routes of the application', async (t) => {
  const dir = dataDir(t);
  let handled = 0;
  const app = await hostApp(t, { dataDir: dir, defaultRole: 'editor' }, (host) => {
    host.setErrorHandler((_error, _request, reply) => reply.code(418).send('theirs'));
    host.addHook('onSend', async (_request, _reply, payload) => payload);
    const handler = async () => {
      handled += 1;
      return 'in';
    };
    host.get('/mine', { onRequest: host.authenticate }, async ({ auth }) => ({
      email: auth.user.email,
      permissions: auth.permissions,
      left: auth.limit?.remaining,
      sid: auth.claims.sessionId,
    }));
    host.get('/write', { preHandler: [host.authenticate, host.authorize('posts:write')] }, handler);
    host.get('/both', { onRequest: host.authorize('posts:write', 'posts:drop') }, handler);
    host.register(async (scope) => {
      scope.addHook('onRequest', scope.authorize('posts:drop'));
      scope.get('/scoped', handler);
    });
    t.throws(() => host.authorize(...([] as unknown as [string])), TypeError);
    t.throws(() => host.authorize(undefined as unknown as string), TypeError);
  });
  const sql = new Database(databaseFile(dir));
  sql.exec(`insert into roles (name, permissions) values ('editor', '["posts:write"]')`);
  const { access, user } = await signUp(app);

  const mine = await app.inject({ url: '/mine', headers: bearer(access) });
  t.strictSame(mine.json(), {
    email: user.email,
    permissions: ['posts:write'],
    left: 999,
    sid: decode(access).claims.sid,
  });
  t.match(mine.headers, { 'x-auth-status': 'authenticated', 'ratelimit-remaining': '999' });
  t.notOk('cache-control' in mine.headers, 'what the application answers stays its own');

  const guarded = ['/mine', '/write', '/both', '/scoped'];
  type Ask = [url: string, headers: Record<string, string>, status: number, code: string];
  const asks: Ask[] = [
    ...guarded.map((url): Ask => [url, {}, 401, 'token_missing']),
    ...guarded.map((url): Ask => [url, bearer('x.y.z'), 401, 'token_invalid']),
    ['/both', bearer(access), 403, 'forbidden'],
    ['/scoped', bearer(access), 403, 'forbidden'],
  ];
  for (const [url, headers, status, code] of asks) {
    const answer = await app.inject({ url, headers });
    t.equal(answer.statusCode, status, `${url} ${code}`);
    t.match(answer.headers['content-type'], /^application\/problem\+json/);
    t.match(answer.json(), { code, status });
    if (status === 401) t.match(answer.headers['www-authenticate'], /^Bearer realm="latchkey"/);
    t.equal(
      answer.headers['x-auth-status'],
      { token_missing: 'anonymous', token_invalid: 'invalid', forbidden: 'authenticated' }[code],
    );
  }
  t.equal(handled, 0, 'no handler ran');
  t.equal((await app.inject({ url: '/write', headers: bearer(access) })).body, 'in');

  const fa = await app.inject({ url: '/mine', headers: { 'accept-language': 'fa' } });
  t.equal(fa.headers['content-language'], 'fa');

  sql.exec(`update users set is_superuser = 1, version = version + 1 where id = '${user.id}'`);
  sql.close();
  const login = { email: user.email, password: PASSWORD };
  const superuser = (await app.inject({ method: 'POST', url: '/api/auth/login', payload: login })).json();
  for (const url of ['/write', '/both', '/scoped']) {
    t.equal((await app.inject({ url, headers: bearer(superuser.access) })).body, 'in', url);
  }
});

t.test('custom claims are added at login and refresh, and overwrite nothing', async (t) => {
  let calls = 0;
  const app = await hostApp(t, {
    claims: async (user) => {
      calls += 1;
      if (user.firstName === 'Broken') throw new Error('no plan for this user');
      return { plan: 'pro', calls, sub: 'evil', role: 'admin', permissions: ['*'], exp: 9e9, phone: '+1' };
    },
  });
  const { access, refresh, user } = await signUp(app);
  const { claims } = decode(access);
  t.match(claims, { plan: 'pro', calls: 1, sub: user.id, role: 'viewer', permissions: [] });
  t.notOk('phone' in claims);
  t.equal(claims.exp - claims.iat, 900);
  t.notOk('plan' in decode(refresh).claims);

  const next = await app.latchkey.refreshTokens(refresh);
  t.match(decode(next.access).claims, { plan: 'pro', calls: 2 });
  const { claims: read } = await app.latchkey.verifyToken(next.access);
  t.match(read.payload, { plan: 'pro' });

  const broken = await app.inject({
    method: 'POST',
    url: '/api/auth/register',
    payload: { email: 'broken@example.com', password: PASSWORD, first_name: 'Broken' },
  });
  const { detail } = expectProblem(t, broken, 500, 'internal_error');
  t.notMatch(detail, /plan/);
  const plain = await hostApp(t, { claims: () => ({ plan: 'free' }) });
  t.match(decode((await signUp(plain)).access).claims, { plan: 'free' }, 'need not be asynchronous');
});

t.test('tokens by code', async (t) => {
  const app = await hostApp(t);
  const { latchkey: library } = app;
  const { user, access, refresh } = await signUp(app);

  const stored = await library.findUser(user.id);
  t.match(stored, { id: user.id, email: user.email });
  t.equal(await library.findUser('nobody'), undefined);

  const forged = { ...stored!, isSuperuser: true, email: 'evil@example.com' };
  const pair = await library.issueTokens(forged, {
    ip: '192.0.2.7',
    headers: { 'user-agent': 'curl/8' },
  });
  t.match(decode(pair.access).claims, { email: user.email, is_superuser: false }, 'as SQL has it');
  const { user: known, claims } = await library.verifyToken(pair.access);
  t.match(known, { id: user.id, isSuperuser: false });
  const list = await app.inject({ url: '/api/auth/sessions', headers: bearer(pair.access) });
  t.match(list.json().sessions[0], { id: claims.sessionId, ip: '192.0.2.7', device: 'curl' });

  await t.rejects(library.issueTokens('nobody'), refusedWith('not_found'));
  await t.rejects(library.verifyToken(pair.refresh), refusedWith('token_invalid'), 'of the other kind');
  await t.rejects(library.refreshTokens(pair.access), refusedWith('token_invalid'));
  await t.rejects(library.verifyToken(''), refusedWith('token_invalid'));

  const next = await library.refreshTokens(pair.refresh);
  t.equal((await library.revokeToken(next.access)).jti, decode(next.access).claims.jti);
  await t.rejects(library.verifyToken(next.access), refusedWith('token_revoked'));
  t.ok(await library.verifyToken(pair.access), 'the session goes on');
  await t.rejects(library.revokeToken('nonsense'), refusedWith('token_invalid'));

  t.equal(await library.revokeSession(user.id, claims.sessionId), true);
  t.equal(await library.revokeSession(user, claims.sessionId), false);
  await t.rejects(library.verifyToken(pair.access), refusedWith('token_revoked'));
  await t.rejects(library.refreshTokens(next.refresh), { code: 'session_ended', reason: 'admin' });
  t.ok(await library.verifyToken(access), 'and only that session');

  await library.revokeUser(user);
  await t.rejects(library.verifyToken(access), refusedWith('token_revoked'));
  await t.rejects(library.refreshTokens(refresh), { code: 'session_ended', reason: 'admin' });
  await t.rejects(library.revokeUser('nobody'), refusedWith('not_found'));

  const again = await library.issueTokens(user.id);
  const { lastLogin } = (await library.verifyToken(again.access)).user;
  t.ok(lastLogin! > stored!.lastLogin!);
  const activity = await app.inject({ url: '/api/auth/activity', headers: bearer(again.access) });
  t.match(
    activity.json().events.map((event: { type: string; reason: string }) => [event.type, event.reason]),
    [
      ['login', null],
      ['logout_all', 'admin'],
      ['session_deleted', 'admin'],
    ],
  );
  t.match(await library.findUser(user.id), { lastLogin }, 'SQL has heard of it as well');
  t.ok(new AuthError('forbidden') instanceof Error);
});

t.test('two in one application', async (t) => {
  const app = Fastify();
  t.teardown(() => app.close());
  const [one, other] = [settings(t), { ...settings(t), jwtIssuer: 'other' }];
  for (const [prefix, options] of Object.entries({ '/one': one, '/other': other })) {
    await app.register(
      async (scope) => {
        await scope.register(latchkey, options);
        scope.get('/mine', { onRequest: scope.authenticate }, async ({ auth }) => auth.user.email);
      },
      { prefix },
    );
  }
  await app.ready();
  const { access, user } = await signUp(app, '/one');
  t.equal((await app.inject({ url: '/one/mine', headers: bearer(access) })).body, user.email);
  t.match((await app.inject({ url: '/other/mine', headers: bearer(access) })).json(), {
    code: 'token_invalid',
  });

  const same = Fastify();
  t.teardown(() => same.close());
  await same.register(latchkey, { ...settings(t), prefix: '/one' });
  await t.rejects(
    async () => same.register(latchkey, { ...settings(t), prefix: '/other' }),
    /^Latchkey is registered here already\. .*a scope of its own/,
  );
});

t.test('what cannot be registered says why', async (t) => {
  const attempt = async (options: object, prepare = (_: FastifyInstance) => undefined as unknown) => {
    const app = Fastify();
    t.teardown(() => app.close());
    prepare(app);
    await app.register(latchkey, options as LatchkeyOptions);
  };
  const base = settings(t);
  const faults: [object, RegExp][] = [
    [{ ...base, databseUrl: 'postgres://x' }, /- there is no option databseUrl$/],
    [{ ...base, claims: {} }, /- claims must be a function$/],
    [{ ...base, docs: 'yes' }, /- docs must be a boolean$/],
    [{ ...base, corsOrigins: [5] }, /- corsOrigins cannot be of this type$/],
    [{ ...base, dataDir: null }, /- dataDir cannot be of this type$/],
    [{ ...base, corsOrigins: ['*'] }, /- corsOrigins must be a comma-separated list of origins/],
    [
      { ...base, jwtLeeway: -1, registration: 'ajar' },
      /- registration must be one of open, closed\n {2}- jwtLeeway must/,
    ],
    [{ ...base, databaseUrl: 'postgres://secret@h/d' }, /- databaseUrl needs redisUrl beside it/],
    [{ ...base, production: true }, /- databaseUrl and redisUrl are required in production/],
    [
      { ...base, production: true, allowEmbedded: true, jwtSigningKey: 'short' },
      /- jwtSigningKey .*is shorter than 32 bytes/,
    ],
  ];
  for (const [options, message] of faults) {
    const error = await attempt(options).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    t.ok(error instanceof ConfigError, String(message));
    t.match((error as ConfigError)?.message, message);
    t.notMatch((error as ConfigError)?.message, /secret@|short(?!er)/, 'no value');
  }
  await t.rejects(
    attempt(base, (app) => app.decorate('authenticate', async () => undefined)),
    /already a decorator authenticate: register it in a scope/,
  );
  await t.rejects(
    attempt(base, (app) => app.decorateRequest('auth')),
    /already a decorator request\.auth/,
  );
});

t.test('options are the settings of the service', async (t) => {
  const dir = dataDir(t);
  const { config } = readOptions({
    dataDir: dir,
    jwtSigningKey: TEST_KEY,
    production: false,
    migrate: false,
    passwordBlocklist: false,
    corsOrigins: ['https://a.example', 'https://b.example'],
    userTypes: ['cat', 'dog'],
    jwtLeeway: 5,
    rateLimitUser: '5/10second',
    rateLimitRefresh: 'off',
    accessTokenLifetimeMinutes: 1,
  });
  t.match(config, {
    dataDir: dir,
    production: false,
    migrate: false,
    passwordBlocklist: false,
    corsOrigins: ['https://a.example', 'https://b.example'],
    userTypes: ['cat', 'dog'],
    accessLifetime: 60,
    jwt: { leeway: 5, signingKey: TEST_KEY },
    limits: { user: { max: 5, windowMs: 10_000 }, refresh: undefined },
  });
  process.env.JWT_ISSUER = 'elsewhere';
  t.teardown(() => delete process.env.JWT_ISSUER);
  t.equal(readOptions({ dataDir: dir }).config.jwt.issuer, 'latchkey', 'not those of the environment');
  const { warnings } = readOptions({ dataDir: dir, jwtSigningKey: 'short' }).config;
  t.match(warnings.join(), /^jwtSigningKey .*anybody may guess it/);

  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const chapter = /^## Settings$(.*?)^## /ms.exec(readme)?.[1] ?? '';
  const variables = Array.from(chapter.matchAll(/^\| (`[^|]+)/gm), ([, cell]) =>
    Array.from(cell!.matchAll(/`([A-Z_]+)`/g), ([, name]) => name!),
  ).flat();
  const missing = variables.filter((name) => !SERVERS.has(name) && !acceptsOption(dir, name));
  t.ok(variables.length > 25);
  t.strictSame(missing, [], 'there is an option for each');
});

/** Settings of a server, or a second name of another. */
const SERVERS = new Set([
  ...['HOST', 'PORT', 'TRUST_PROXY', 'LOG_LEVEL', 'LOG_FORMAT'],
  // An option as well, with another default.
  'PAGES',
  ...['JWT_SECRET_KEY', 'JWT_ACCESS_TOKEN_LIFETIME', 'JWT_REFRESH_TOKEN_LIFETIME'],
]);

function acceptsOption(dir: string, variable: string): boolean {
  const words = variable
    .replace(/^LATCHKEY_/, '')
    .toLowerCase()
    .split('_');
  const name = words.map((word, n) => (n === 0 ? word : word[0]!.toUpperCase() + word.slice(1))).join('');
  try {
    readOptions({ dataDir: dir, [variable === 'NODE_ENV' ? 'production' : name]: '' });
    return true;
  } catch {
    return false;
  }
}

t.test('closing the application closes the stores', async (t) => {
  const dir = dataDir(t);
  const app = await hostApp(t, { dataDir: dir });
  const { access } = await signUp(app);
  const { latchkey: library } = app;
  t.ok(existsSync(databaseFile(dir)));
  await app.close();
  await t.rejects(library.verifyToken(access));

  const again = await hostApp(t, { dataDir: dir });
  t.equal((await again.latchkey.verifyToken(access)).claims.tokenType, 'access', 'and it is all still there');
});
