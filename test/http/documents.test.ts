import { Validator } from '@seriousme/openapi-schema-validator';
import Fastify, { type InjectOptions, type RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import t, { type Test } from 'tap';
import { Value } from 'typebox/value';
import { LoginBody, ProfileBody, RegisterBody } from '../../src/contract/accounts.js';
import { CODES } from '../../src/contract/codes.js';
import { fieldMessage, type Locale, MESSAGES } from '../../src/contract/messages.js';
import { User } from '../../src/contract/user.js';
import { latchkey } from '../../src/latchkey.js';
import { PATHS } from '../../src/pages/paths.js';
import { bearer, signUp, type TestApp, testApp } from '../support/app.js';
import { withRedis } from '../support/redis-server.js';
import { decode, expectProblem, forge, meOf, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

interface Operation {
  operationId?: string;
  tags?: string[];
  summary?: string;
  security?: Record<string, string[]>[];
  requestBody?: { content: Record<string, unknown> };
  responses: Record<string, { description: string; content?: Record<string, { schema: { $ref?: string } }> }>;
}

interface OpenApi {
  openapi: string;
  tags: { name: string }[];
  security: Record<string, string[]>[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties: Record<string, { enum?: string[] }> }> };
}

/** The operations of old systems, whose failures are no problem documents. */
const isCompat = ({ tags = [] }: Operation): boolean =>
  tags.some((tag) => ['simplejwt', 'neuralflow', 'phone-otp', 'pycoder'].includes(tag));

/** For people. */
const PAGES = new Set<string>([
  ...Object.values(PATHS),
  ...['/admin', '/admin/users/:id'],
  ...['/templates/auth/jwt_login.html', '/core/enhanced-dashboard'],
]);

/** Asks no store, reads no body, counts nothing: cannot fail in any way worth naming. */
const CANNOT_FAIL = new Set(['health', 'jwks', 'openapi']);

t.test('the OpenAPI document', async (t) => {
  const { send } = await watchedApp(t);
  const answer = await send({ url: '/openapi.json' });
  const document: OpenApi = answer.json();
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
  );
  const codesOf = (operation: Operation, status: string) =>
    [...(operation.responses[status]?.description ?? '').matchAll(/`(\w+)`/g)].map(([, code]) => code);

  await t.test('is valid OpenAPI 3.1', async (t) => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(answer.json());
    t.ok(valid, JSON.stringify(errors));
    t.equal(validator.version, '3.1');
    t.match(document.openapi, /^3\.1\./);
    t.strictSame((await send({ url: '/docs/json' })).json(), document, 'and the page shows the same one');
  });

  await t.test('holds every route that the application has, and no other', async (t) => {
    const routes = await registeredRoutes(t);
    const registered = routes
      .filter(({ schema }) => !(schema as { hide?: boolean } | undefined)?.hide)
      .flatMap(({ method, url }) =>
        [method]
          .flat()
          .filter((name) => name !== 'HEAD')
          .map((name) => `${name.toLowerCase()} ${url.replace(/:(\w+)/g, '{$1}')}`),
      );
    t.ok(registered.length > 15);
    t.strictSame(operations.map(({ name }) => name).sort(), [...registered].sort());
    const hidden = routes.filter(
      ({ schema, config }) => (schema as { hide?: boolean } | undefined)?.hide && !config?.refusesMethod,
    );
    t.strictSame(
      hidden
        .map(({ url }) => url)
        .filter((url) => url !== '/' && url !== '*' && !/^\/(docs|static\/|assets\/)/.test(url))
        .filter((url) => !PAGES.has(url)),
      [],
      'only pages and preflights are left out',
    );
  });

  await t.test('says of each operation what a caller must know', async (t) => {
    const ids = operations.map(({ operation }) => operation.operationId);
    t.equal(new Set(ids).size, operations.length, 'every operation has an id of its own');
    const tags = new Set(document.tags.map(({ name }) => name));
    t.strictSame(document.security, [{ bearer: [] }]);

    for (const { name, operation } of operations) {
      const guarded = (operation.security ?? document.security).some(
        (one) => 'bearer' in one || 'client' in one,
      );
      const statuses = Object.keys(operation.responses);
      t.strictSame(
        {
          operationId: /^[a-z][A-Za-z]+$/.test(operation.operationId ?? ''),
          tag: operation.tags?.length === 1 && tags.has(operation.tags[0]!),
          summary: (operation.summary ?? '').length > 8,
          successes: statuses.filter((status) => /^2\d\d$/.test(status)).length,
          undescribed: statuses.filter((status) => !operation.responses[status]!.description),
        },
        { operationId: true, tag: true, summary: true, successes: 1, undescribed: [] },
        name,
      );
      t.equal(guarded || operation.security?.length === 0, true, `${name}: open only where it says so`);
      if (CANNOT_FAIL.has(operation.operationId!)) {
        t.strictSame(statuses, ['200'], name);
        continue;
      }
      const expected = ['400', '429', '500', '503'];
      if (guarded) expected.push('401');
      if (operation.requestBody) expected.push('413', '415');
      t.strictSame(
        expected.filter((status) => !statuses.includes(status)),
        [],
        `${name} tells of these failures`,
      );
      if (isCompat(operation)) continue;
      t.ok(codesOf(operation, '503').includes('store_unavailable'));
      if (operation.security === undefined) {
        const refusals = ['token_missing', 'token_invalid', 'token_expired', 'token_revoked'];
        t.strictSame(
          refusals.filter((code) => !codesOf(operation, '401').includes(code)),
          [],
          `${name} tells of refused tokens`,
        );
      }
    }
  });

  await t.test('declares failures as problems, by codes of the closed list', async (t) => {
    t.strictSame(document.components.schemas.Problem?.properties.code?.enum, [...CODES]);
    for (const { name, operation } of operations) {
      for (const [status, response] of Object.entries(operation.responses)) {
        if (status.startsWith('2')) continue;
        if (isCompat(operation)) {
          t.strictSame(Object.keys(response.content ?? {}), ['application/json'], `${name} ${status}`);
          continue;
        }
        t.strictSame(
          Object.entries(response.content ?? {}).map(([type, { schema }]) => [type, schema.$ref]),
          [['application/problem+json', '#/components/schemas/Problem']],
          `${name} ${status}`,
        );
        const codes = codesOf(operation, status);
        t.ok(codes.length > 0);
        t.strictSame(
          codes.filter((code) => !(CODES as readonly string[]).includes(code!)),
          [],
        );
      }
    }
  });

  await t.test('its examples are what it describes', async (t) => {
    for (const schema of [User, RegisterBody, LoginBody, ProfileBody]) {
      const { examples } = schema as unknown as { examples: unknown[] };
      t.ok(examples.length > 0);
      for (const example of examples) t.ok(Value.Check(schema, example), JSON.stringify(example));
    }
  });
});

/** What is registered when Latchkey is built, hidden routes included. */
async function registeredRoutes(t: Test): Promise<RouteOptions[]> {
  const { config } = await testApp(t);
  const routes: RouteOptions[] = [];
  const app = Fastify();
  app.addHook('onRoute', (route) => {
    routes.push(route);
  });
  await app.register(fp(latchkey), { config, now: Date.now });
  await app.ready();
  await app.close();
  return routes;
}

t.test('every sort of answer is one that the document declares', async (t) => {
  // The watched application throws at any answer that is not.
  const app = await watchedApp(t, { env: { RATE_LIMIT_LOGIN: '2/minute', RATE_LIMIT_USER: '5/minute' } });
  const { send } = app;
  const ended = await signUp(app);
  await send({ method: 'POST', url: '/api/auth/logout', headers: bearer(ended.access) });
  const { header, claims } = decode(ended.access);
  const expired = forge(header, { ...claims, iat: claims.iat - 1000, exp: claims.iat - 100 });
  const { paths }: OpenApi = (await send({ url: '/openapi.json/' })).json();

  const seen = new Set<string>();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [name, { requestBody }] of Object.entries(methods)) {
      const { email, access } = await signUp(app);
      const url = path.replace('{id}', '0'.repeat(32));
      const tokens = [undefined, 'nonsense', expired, ended.access, ended.refresh];
      const asks: InjectOptions[] = tokens.map((token) => ({ headers: token ? bearer(token) : {} }));
      if (requestBody) {
        const headers = bearer(access);
        const payloads = [
          { zzz: 'x'.repeat(70_000) },
          { refresh: 'x' },
          { refresh: ended.refresh },
          { token: expired },
          { token: ended.refresh },
          { email, password: 'x' },
          { password: 'x' },
          { username: '@' },
          {},
        ];
        asks.push({ headers: { ...headers, 'content-type': 'text/plain' }, payload: 'x' });
        asks.push({ headers: { ...headers, 'content-type': 'application/json' }, payload: '{' });
        for (const payload of payloads) asks.push({ headers, payload });
      } else {
        for (let n = 0; n < 6; n += 1) asks.push({ headers: bearer(access) });
        if (name === 'delete') {
          const { access } = await signUp(app);
          asks.push({ headers: { ...bearer(access), 'content-type': 'text/plain' }, payload: 'x' });
          asks.push({ headers: bearer(access), payload: { zzz: 'x'.repeat(70_000) } });
        }
      }
      for (const ask of asks) {
        const answer = await send({ ...ask, method: name.toUpperCase() as 'GET', url });
        t.ok(answer.statusCode < 500, `${name} ${path} ${answer.statusCode}`);
        if (answer.statusCode >= 400) seen.add(`${name} ${path} ${answer.json().code}`);
      }
    }
  }
  t.ok(seen.size > 70, `${seen.size} kinds of failures`);
});

t.test('problems speak the language of the caller', async (t) => {
  const said = (locale: Locale) => ({
    language: locale,
    title: MESSAGES[locale].invalid_request.title,
    detail: MESSAGES[locale].invalid_request.detail,
    message: fieldMessage(locale, 'too_long', { limit: 1024 }),
  });
  const ask = async ({ send }: TestApp, header: string | undefined) => {
    const answer = await send({
      method: 'POST',
      url: '/api/auth/login',
      headers: header === undefined ? {} : { 'accept-language': header },
      payload: { password: 'x'.repeat(1025) },
    });
    const { title, detail, errors } = expectProblem(t, answer, 400, 'invalid_request');
    return { language: answer.headers['content-language'], title, detail, message: errors![0]!.message };
  };
  const cases: [string | undefined, Locale | 'default'][] = [
    [undefined, 'default'],
    ['', 'default'],
    ['*', 'default'],
    ['de', 'default'],
    ['de-DE,*;q=0.5', 'default'],
    ['fa', 'fa'],
    ['fa-IR', 'fa'],
    ['FA-ir', 'fa'],
    ['en', 'en'],
    ['en-US,en;q=0.9', 'en'],
    ['fa,en', 'fa'],
    ['en,fa', 'en'],
    ['en;q=0.5, fa;q=0.9', 'fa'],
    ['fa;q=0.5, en;q=0.9', 'en'],
    ['de, fa;q=0.1', 'fa'],
    ['fa;q=0, en', 'en'],
    ['en;q=0, fa', 'fa'],
    ['*, fa;q=0.2', 'fa'],
    ['fa;q=', 'default'],
    ['fa;q=2', 'default'],
    ['fa;level=1', 'default'],
    [';;;===,,,', 'default'],
    ['__proto__', 'default'],
    ['constructor;q=1', 'default'],
    [`${'x'.repeat(5000)},fa`, 'default'],
    ['\u00ff\u00fe', 'default'],
  ];
  for (const fallback of ['en', 'fa'] as const) {
    const app = await watchedApp(t, { env: { DEFAULT_LOCALE: fallback } });
    for (const [header, expected] of cases) {
      const locale = expected === 'default' ? fallback : expected;
      t.strictSame(await ask(app, header), said(locale), `${header} where ${fallback} is the default`);
    }

    // Whoever answers: the router, a hook, a parser, a handler.
    const headers = { 'accept-language': fallback === 'en' ? 'fa' : 'en' };
    const locale = headers['accept-language'] as Locale;
    const asks: [
      InjectOptions,
      number,
      'not_found' | 'invalid_request' | 'token_missing' | 'token_invalid',
    ][] = [
      [{ url: '/nothing' }, 404, 'not_found'],
      [{ url: '/%zz' }, 400, 'invalid_request'],
      [{ url: '/api/auth/me' }, 401, 'token_missing'],
      [verifyOf('nonsense'), 401, 'token_invalid'],
    ];
    for (const [request, status, code] of asks) {
      const answer = await app.send({ ...request, headers });
      const { title, detail } = expectProblem(t, answer, status, code);
      t.strictSame({ title, detail }, MESSAGES[locale][code]);
      t.equal(answer.headers['content-language'], locale);
    }
  }
});

t.test('the log of a whole run', async (t) => {
  const redis = await withRedis(t);
  const app = await testApp(t, { stores: 'servers', env: { REDIS_URL: redis.url, LOG_LEVEL: 'trace' } });
  const { send } = app;
  const secrets = {
    password: 'a-Password-of-this-test',
    wrong: 'another-Password-of-this-test',
    short: 'pw-abc7',
    inBrokenJson: 'password-in-broken-JSON',
    inQuery: 'token-in-the-query',
    inForm: 'password-in-a-form',
    inUnknownField: 'secret-under-another-name',
    basic: Buffer.from('somebody:their-password').toString('base64'),
    cookie: 'a-cookie-of-another-application',
    nonsense: 'nonsense-instead-of-a-token',
  };
  const email = 'someone@example.com';
  const byCookie = { 'x-auth-transport': 'cookie', origin: 'http://localhost:8000' };
  const login = (payload: object, headers = {}) =>
    send({ method: 'POST', url: '/api/auth/login', payload, headers });
  const raw = (type: string, payload: string) =>
    send({ method: 'POST', url: '/api/auth/login', headers: { 'content-type': type }, payload });

  const { access, refresh } = await signUp(app, { email, password: secrets.password });
  const second = await login({ email, password: secrets.password }, byCookie);
  const jar = Object.fromEntries(second.cookies.map(({ name, value }) => [name, value]));
  const { latchkey_refresh: cookie = '', latchkey_device: device = '' } = jar;
  t.ok(cookie && device);
  const third = (await send(refreshWith(refresh))).json();
  const fourth = await send({
    method: 'POST',
    url: '/api/auth/refresh',
    headers: byCookie,
    cookies: { latchkey_refresh: cookie, other: secrets.cookie },
  });
  const changed = `${access.slice(0, -9)}AAAAAAAAA`;
  const answers = [
    await login({ email, password: secrets.wrong }, { cookie: `latchkey_device=${device}` }),
    await login({ email, password: secrets.short, secret: secrets.inUnknownField }),
    await raw('application/json', `{"email":"${email}","password":"${secrets.inBrokenJson}"`),
    await raw('application/x-www-form-urlencoded', `password=${secrets.inForm}`),
    await send({ method: 'POST', url: '/api/auth/register', payload: { email, password: secrets.short } }),
    await send({ url: `/api/auth/me?access_token=${secrets.inQuery}` }),
    await send({ url: `/%zz?access_token=${secrets.inQuery}` }),
    await send({ url: '/api/auth/me', headers: { authorization: `Basic ${secrets.basic}` } }),
    await send(meOf(secrets.nonsense)),
    await send(meOf(changed)),
    await send(verifyOf(secrets.nonsense)),
    await send(refreshWith(third.access)),
    await send(meOf(third.access)),
    await send({
      method: 'DELETE',
      url: '/api/auth/me',
      headers: bearer(access),
      payload: { password: secrets.wrong },
    }),
  ];
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [401, 400, 400, 415, 400, 401, 400, 401, 401, 401, 401, 401, 200, 401],
  );
  await redis.kill();
  for (const request of [meOf(access), refreshWith(third.refresh)]) {
    expectProblem(t, await send(request), 503, 'store_unavailable');
  }
  expectProblem(t, await login({ email, password: secrets.password }), 503, 'store_unavailable');

  const log = app.logs();
  const lines = log.trimEnd().split('\n');
  t.ok(lines.length > 30, `${lines.length} lines`);
  for (const line of lines) {
    const { level, time, msg }: Record<string, unknown> = JSON.parse(line);
    t.match([level, time, msg], [/^(trace|debug|info|warn|error)$/, /^\d{4}-.+Z$/, /./]);
  }
  t.match(log, /"code":"store_unavailable"/, 'it tells what went wrong');
  const tokens = { access, refresh, cookie, device, changed, byCookie: fourth.cookies[0]!.value, ...third };
  const names = Object.entries({ ...secrets, ...tokens })
    .filter(([, secret]) => typeof secret === 'string' && secret !== 'Bearer' && log.includes(secret))
    .map(([name]) => name);
  t.strictSame(names, [], 'none of the secrets');
  const parts = [access, refresh, cookie, third.refresh].map((token) => token.split('.')[2]);
  t.notOk(
    parts.some((signature) => log.includes(signature)),
    'nor a part of one',
  );
  t.notMatch(log, /argon2id|authorization|set-cookie/i);
});
