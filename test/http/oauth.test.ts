import { createHash } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { createOauthClientService, makeOauthClient } from '../../src/accounts/oauth-clients.js';
import { createOauthClient } from '../../src/commands/oauth-clients.js';
import type { ProblemDocument } from '../../src/contract/problem.js';
import { storeUnavailable } from '../../src/errors.js';
import { bearer, PASSWORD, type SignedUp, type Stores, signUp, type TestApp } from '../support/app.js';
import { freshDatabase } from '../support/postgres-server.js';
import { withRedis } from '../support/redis-server.js';
import { countStatements } from '../support/statement-counter.js';
import { countTrips } from '../support/trip-counter.js';
import { decode, forge, meOf, refreshWith } from './answers.js';
import { watchedApp } from './watched-app.js';

const FORM = 'application/x-www-form-urlencoded';
const CHALLENGE = 'Basic realm="latchkey", charset="UTF-8"';

interface OauthClient {
  id: string;
  secret: string;
}

const basic = (id: string, secret: string): string =>
  `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

async function makeClient({ app }: TestApp, name = 'orders'): Promise<OauthClient> {
  const made = await createOauthClient(app.database.clients, { name, json: true, now: Date.now() });
  return JSON.parse(made);
}

const withoutEmpty = (headers: Record<string, string>) =>
  Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ''));

interface Oauth extends TestApp {
  client: OauthClient;
  ask(
    path: 'introspect' | 'revoke',
    body: string,
    headers?: Record<string, string>,
  ): Promise<LightMyRequestResponse>;
  introspect(token: string): Promise<Record<string, unknown>>;
  revoke(token: string, hint?: string): Promise<void>;
}

async function oauthApp(
  t: Test,
  options: { stores?: Stores; env?: Record<string, string> } = {},
): Promise<Oauth> {
  const app = await watchedApp(t, options);
  const client = await makeClient(app);
  const ask: Oauth['ask'] = (path, payload, headers = {}) =>
    app.send({
      method: 'POST',
      url: `/oauth/${path}`,
      headers: withoutEmpty({
        'content-type': FORM,
        authorization: basic(client.id, client.secret),
        ...headers,
      }),
      payload,
    });
  return {
    ...app,
    client,
    ask,
    async introspect(token) {
      const answer = await ask('introspect', new URLSearchParams({ token }).toString());
      t.equal(answer.statusCode, 200);
      t.match(answer.headers['content-type'], /^application\/json/);
      t.equal(answer.headers['cache-control'], 'no-store');
      return answer.json();
    },
    async revoke(token, hint) {
      const body = new URLSearchParams({ token, ...(hint && { token_type_hint: hint }) });
      const answer = await ask('revoke', body.toString());
      t.strictSame([answer.statusCode, answer.body], [200, '{}']);
    },
  };
}

/** A problem document that also speaks OAuth. */
function expectOauthProblem(
  t: Test,
  answer: LightMyRequestResponse,
  status: number,
  code: string,
  error: string | undefined,
): void {
  const body: ProblemDocument = answer.json();
  t.strictSame(
    {
      status: answer.statusCode,
      code: body.code,
      error: body.error,
      type: answer.headers['content-type'],
      challenge: answer.headers['www-authenticate'],
      retry: answer.headers['retry-after'] !== undefined,
      kept: answer.headers['cache-control'],
    },
    {
      status,
      code,
      error,
      type: 'application/problem+json; charset=utf-8',
      challenge: status === 401 ? CHALLENGE : undefined,
      retry: status === 429 || status === 503,
      kept: 'no-store',
    },
    `${status} ${code}`,
  );
  t.notMatch(answer.body, /ECONN|ioredis|stack|node_modules|Error:|redis|postgres|sqlite|secret_hash/i);
}

const INACTIVE = { active: false };

for (const stores of ['embedded', 'servers'] as const) {
  t.test(`introspection, ${stores}`, async (t) => {
    const app = await oauthApp(t, { stores, env: { JWT_AUDIENCE: 'shop' } });
    const { introspect, send } = app;
    const ada = await signUp(app, { username: 'ada', first_name: 'Ada' });

    await t.test('tells of an access token what it says, under the names of RFC 7662', async (t) => {
      const { token_type: _, ...claims } = decode(ada.access).claims;
      t.strictSame(await introspect(ada.access), {
        ...claims,
        active: true,
        token_type: 'Bearer',
        token_use: 'access',
        username: 'ada',
      });
      t.match(claims, {
        iss: 'latchkey',
        aud: 'shop',
        sub: ada.user.id,
        user_id: ada.user.id,
        role: 'viewer',
      });
    });

    await t.test('tells of a refresh token that it is none for resources', async (t) => {
      const { token_type: _, ...claims } = decode(ada.refresh).claims;
      t.strictSame(await introspect(ada.refresh), {
        ...claims,
        active: true,
        token_use: 'refresh',
        username: 'ada',
      });
    });

    await t.test('says what is so now, not what was so when the token was signed', async (t) => {
      const change = { method: 'PATCH', url: '/api/auth/me', headers: bearer(ada.access) } as const;
      await send({ ...change, payload: { username: 'countess', first_name: 'Augusta' } });
      t.match(await introspect(ada.access), { active: true, username: 'countess', first_name: 'Augusta' });
      const nameless = await signUp(app);
      t.equal((await introspect(nameless.access)).username, nameless.email);
    });

    await t.test('tells nothing of what is not good now', async (t) => {
      const { header, claims } = decode(ada.access);
      const past = { ...claims, iat: claims.iat - 1000, exp: claims.iat - 100 };
      const ended = await signUp(app);
      await send({ method: 'POST', url: '/api/auth/logout', headers: bearer(ended.access) });
      const everywhere = await signUp(app);
      await send({ method: 'POST', url: '/api/auth/logout-all', headers: bearer(everywhere.access) });
      const gone = await signUp(app);
      await send({
        method: 'DELETE',
        url: '/api/auth/me',
        headers: bearer(gone.access),
        payload: { password: PASSWORD },
      });
      const disabled = await signUp(app);
      await app.app.accounts.setActive(disabled.user.id, false);
      const blacklisted = await signUp(app);
      await app.app.blacklist.revoke(blacklisted.access);

      const spent = await signUp(app);
      const next = (await send(refreshWith(spent.refresh))).json();
      await send(meOf(next.access));
      app.advance(61_000);

      const tokens: Record<string, string> = {
        nonsense: 'nonsense',
        'a JWS of nothing': forge({}, {}),
        'another key': forge(header, claims, { key: 'x'.repeat(32) }),
        expired: forge(header, past),
        'another issuer': forge(header, { ...claims, iss: 'somebody' }),
        'another audience': forge(header, { ...claims, aud: 'elsewhere' }),
        'no such session': forge(header, { ...claims, sid: '0'.repeat(32) }),
        'too long': 'x'.repeat(9000),
        ended: ended.access,
        'ended, refresh': ended.refresh,
        'logged out everywhere': everywhere.access,
        'of a deleted account': gone.access,
        'of a disabled account': disabled.access,
        'of a disabled account, refresh': disabled.refresh,
        blacklisted: blacklisted.access,
        'a spent refresh token': spent.refresh,
      };
      for (const [name, token] of Object.entries(tokens))
        t.strictSame(await introspect(token), INACTIVE, name);
      t.match(await introspect(next.refresh), { active: true }, 'and asking about a spent one ends nothing');
      app.advance(900_000);
      t.strictSame(await introspect(ada.access), INACTIVE, 'expired by now');
    });
  });

  t.test(`revocation, ${stores}`, async (t) => {
    const app = await oauthApp(t, { stores });
    const { introspect, revoke, send } = app;
    const isActive = async (token: string) => (await introspect(token)).active;

    await t.test('of an access token ends that token only', async (t) => {
      const { access, refresh } = await signUp(app);
      for (const hint of [undefined, 'access_token', 'refresh_token', 'saml']) await revoke(access, hint);
      t.strictSame([await isActive(access), await isActive(refresh)], [false, true]);
      const answer = await send(refreshWith(refresh));
      t.equal(answer.statusCode, 200, 'the session goes on');
    });

    await t.test('of a refresh token ends the session with its access tokens', async (t) => {
      const one = await signUp(app);
      const other = (
        await send({
          method: 'POST',
          url: '/api/auth/login',
          payload: { email: one.email, password: PASSWORD },
        })
      ).json() as SignedUp;
      await revoke(one.refresh, 'access_token');
      await revoke(one.refresh);
      t.strictSame([await isActive(one.access), await isActive(one.refresh)], [false, false]);
      t.strictSame([await isActive(other.access), await isActive(other.refresh)], [true, true]);
      const activity = await send({ url: '/api/auth/activity', headers: bearer(other.access) });
      t.match(activity.json().events[0], { type: 'logout', reason: 'logout' }, 'and its owner can see it');
    });

    await t.test('of anything else is 200 too', async (t) => {
      const { access } = await signUp(app);
      const { header, claims } = decode(access);
      for (const token of [
        'nonsense',
        forge(header, claims, { key: 'y'.repeat(32) }),
        forge(header, { ...claims, iat: claims.iat - 1000, exp: claims.iat - 1 }),
      ])
        await revoke(token);
      t.equal(await isActive(access), true);
    });
  });
}

t.test('who is no client learns nothing', async (t) => {
  const app = await oauthApp(t);
  const { client, ask } = app;
  const { access } = await signUp(app);
  const refused: Record<string, string> = {
    none: '',
    'a bearer token': `Bearer ${access}`,
    'nothing after the scheme': 'Basic',
    'no base64': 'Basic %%%',
    'no colon': `Basic ${Buffer.from(client.id).toString('base64')}`,
    'no id': basic('', client.secret),
    'no secret': basic(client.id, ''),
    'a wrong secret': basic(client.id, `${client.secret.slice(0, -1)}~`),
    'a longer secret': basic(client.id, `${client.secret}x`),
    'an unknown client': basic('0'.repeat(32), client.secret),
    'a property of every object': basic('__proto__', client.secret),
    'bad form-encoding': basic(client.id, '%zz'),
    'bytes that are no text': `Basic ${Buffer.from([0xff, 0x3a, 0xfe]).toString('base64')}`,
    'two words': `${basic(client.id, client.secret)} x`,
    'a secret in another case': basic(client.id, client.secret.toUpperCase()),
  };
  for (const path of ['introspect', 'revoke'] as const) {
    for (const [name, authorization] of Object.entries(refused)) {
      await t.test(`${path}: ${name}`, async (t) => {
        const answer = await ask(path, `token=${access}`, { authorization });
        expectOauthProblem(t, answer, 401, 'invalid_credentials', 'invalid_client');
      });
    }
  }
  t.equal((await app.introspect(access)).active, true, 'and nothing was revoked');

  const encoded = [...client.secret].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('');
  for (const authorization of [
    basic(client.id, client.secret).replace('Basic', 'bAsIc '),
    basic(client.id, encoded),
  ]) {
    const answer = await ask('introspect', `token=${access}`, { authorization });
    t.equal(answer.json().active, true, 'but any spelling of the right credentials is right');
  }
});

t.test('the RFCs’ own requests', async (t) => {
  const app = await oauthApp(t);
  // RFC 6749 §2.3.1, RFC 7009 §2.1 and RFC 7662 §2.1 all use this client.
  await app.app.database.clients.insert({
    id: 's6BhdRkqt3',
    name: 'RFC 6749',
    secretHash: createHash('sha256').update('gX1fBat3bV').digest('hex'),
    createdAt: 0,
  });
  const authorization = 'Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW';
  const hinted = 'token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token';
  const revoked = await app.ask('revoke', hinted, { authorization });
  t.equal(revoked.statusCode, 200);
  const asked = await app.ask('introspect', 'token=mF_9.B5f-4.1JqM&token_type_hint=access_token', {
    authorization,
  });
  t.strictSame([asked.statusCode, asked.json()], [200, INACTIVE]);
  const unhinted = await app.ask('introspect', 'token=2YotnFZFEjr1zCsicMWpAA', { authorization });
  t.strictSame([unhinted.statusCode, unhinted.json()], [200, INACTIVE]);
});

t.test('clients come and go', async (t) => {
  const app = await oauthApp(t);
  const { app: service, ask, client, advance } = app;
  const { access } = await signUp(app);
  await app.introspect(access);
  const later = await makeClient(app, 'billing');
  const asLater = { authorization: basic(later.id, later.secret) };
  expectOauthProblem(
    t,
    await ask('introspect', 'token=x', asLater),
    401,
    'invalid_credentials',
    'invalid_client',
  );
  advance(5000);
  t.equal((await ask('introspect', 'token=x', asLater)).statusCode, 200, 'known within five seconds');
  t.equal(await service.database.clients.remove(client.id), true);
  t.equal(await service.database.clients.remove(client.id), false);
  advance(5000);
  expectOauthProblem(t, await ask('introspect', 'token=x'), 401, 'invalid_credentials', 'invalid_client');

  const [stored] = await service.database.clients.list();
  t.strictSame(
    stored?.secretHash,
    createHash('sha256').update(later.secret).digest('hex'),
    'only a hash is kept',
  );
  t.ok(Buffer.from(later.secret, 'base64url').length >= 24, 'of at least 192 random bits');
});

t.test('while SQL is away the clients that are known go on', async (t) => {
  const { client, secret } = makeOauthClient('orders', 0);
  let time = 0;
  let away = true;
  let reads = 0;
  const troubles: unknown[] = [];
  const store = {
    insert: async () => undefined,
    remove: async () => false,
    async list() {
      reads += 1;
      if (away) throw storeUnavailable(new Error('connection refused'));
      return [client];
    },
  };
  const now = () => time;
  const clients = createOauthClientService({ store, now, onTrouble: (error) => troubles.push(error) });
  await t.rejects(
    clients.authenticate(client.id, secret),
    { code: 'store_unavailable' },
    'none is known yet',
  );
  away = false;
  const all = await Promise.all(Array.from({ length: 9 }, () => clients.authenticate(client.id, secret)));
  t.ok(all.every(({ id }) => id === client.id));
  t.equal(reads, 2, 'one read for all');
  away = true;
  time += 60_000;
  t.equal((await clients.authenticate(client.id, secret)).name, 'orders');
  await t.rejects(clients.authenticate(client.id, `${secret}x`), { code: 'invalid_credentials' });
  t.match(troubles, [{ code: 'store_unavailable' }]);
});

t.test('what may be sent', async (t) => {
  const app = await oauthApp(t);
  const { ask } = app;
  const { access } = await signUp(app);
  const json = { 'content-type': 'application/json' };

  const good: [string, Record<string, string>][] = [
    [`token=${access}`, {}],
    [`token=${access}&token_type_hint=`, {}],
    [`token=${access}&client_id=someone&unknown=1`, {}],
    [`token=${access}`, { 'content-type': `${FORM}; charset=UTF-8` }],
    [JSON.stringify({ token: access, token_type_hint: 'access_token' }), json],
  ];
  for (const [body, headers] of good)
    t.equal((await ask('introspect', body, headers)).json().active, true, body);

  const bad: [string, Record<string, string>, number, string][] = [
    ['', {}, 400, 'invalid_request'],
    ['token=', {}, 400, 'invalid_request'],
    ['token_type_hint=access_token', {}, 400, 'invalid_request'],
    [`token=${access}&token=${access}`, {}, 400, 'invalid_request'],
    [`token=${access}&a=1&a=2`, {}, 400, 'invalid_request'],
    [`token=${access}&__proto__=1&__proto__=2`, {}, 400, 'invalid_request'],
    ['{}', json, 400, 'invalid_request'],
    ['{', json, 400, 'invalid_request'],
    ['[]', json, 400, 'invalid_request'],
    [JSON.stringify({ token: 5 }), json, 400, 'invalid_request'],
    [JSON.stringify({ token: access, unknown: 1 }), json, 400, 'invalid_request'],
    ['x', { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    [`token=${'x'.repeat(70_000)}`, {}, 413, 'body_too_large'],
    ['&a'.repeat(40_000), {}, 413, 'body_too_large'],
  ];
  for (const path of ['introspect', 'revoke'] as const) {
    for (const [body, headers, status, code] of bad) {
      expectOauthProblem(t, await ask(path, body, headers), status, code, 'invalid_request');
    }
  }
  t.equal((await app.introspect(access)).active, true);

  const elsewhere = await app.send({
    method: 'POST',
    url: '/api/auth/verify',
    headers: { 'content-type': FORM },
    payload: `token=${access}`,
  });
  t.equal(elsewhere.statusCode, 415, 'forms are taken under /oauth only');
});

t.test('guesses are counted against their address, and nobody else', async (t) => {
  const app = await oauthApp(t, { env: { RATE_LIMIT_ANON: '3/minute', RATE_LIMIT_USER: '2/minute' } });
  const { send, client } = app;
  const { access } = await signUp(app);
  const guess = (remoteAddress: string, authorization = basic(client.id, 'guess')) =>
    send({
      method: 'POST',
      url: '/oauth/introspect',
      headers: { 'content-type': FORM, authorization },
      payload: `token=${access}`,
      remoteAddress,
    });
  for (let n = 0; n < 3; n += 1) t.equal((await guess('192.0.2.1')).statusCode, 401);
  expectOauthProblem(t, await guess('192.0.2.1'), 429, 'rate_limited', undefined);
  t.equal((await guess('192.0.2.2')).statusCode, 401, 'another address has its own');
  const right = basic(client.id, client.secret);
  for (let n = 0; n < 5; n += 1) {
    const answer = await guess('192.0.2.1', right);
    t.equal(answer.json().active, true, 'a client is not limited, nor the user it asks about');
  }
  t.equal((await send(meOf(access))).headers['ratelimit-remaining'], '1');
});

t.test('what it costs, and what it says while a store is away', async (t) => {
  const own = await withRedis(t);
  const redis = await countTrips(t, own.url);
  const sql = await countStatements(t, await freshDatabase(t));
  const app = await oauthApp(t, { stores: 'servers', env: { REDIS_URL: redis.url, DATABASE_URL: sql.url } });
  const { ask, introspect } = app;
  const { access, refresh } = await signUp(app);
  await introspect(access);
  await app.app.events.flush();

  redis.reset();
  sql.reset();
  for (let n = 0; n < 5; n += 1) t.equal((await introspect(access)).active, true);
  t.equal((await introspect(refresh)).active, true);
  t.equal(redis.trips(), 6, 'one trip each');
  t.strictSame(sql.statements(), [], 'and no SQL');
  const unknown = { authorization: basic('f'.repeat(32), 'x') };
  for (let n = 0; n < 5; n += 1) t.equal((await ask('introspect', 'token=x', unknown)).statusCode, 401);
  t.strictSame(sql.statements(), [], 'nor for guesses');

  await own.kill();
  for (const token of [access, refresh]) {
    expectOauthProblem(t, await ask('introspect', `token=${token}`), 503, 'store_unavailable', undefined);
    expectOauthProblem(t, await ask('revoke', `token=${token}`), 503, 'store_unavailable', undefined);
  }
  t.strictSame(await introspect('nonsense'), INACTIVE, 'what is no token needs no store');
});

t.test('the metadata of RFC 8414', async (t) => {
  const url = '/.well-known/oauth-authorization-server';
  const plain = await watchedApp(t);
  t.equal((await plain.send({ url })).statusCode, 404, 'not for an issuer that is no https URL');

  const issuer = 'https://auth.example.com';
  const { send } = await watchedApp(t, {
    env: { JWT_ISSUER: issuer, PUBLIC_URL: 'https://auth.example.com' },
  });
  const answer = await send({ url });
  t.equal(answer.headers['cache-control'], 'public, max-age=300');
  t.strictSame(answer.json(), {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    introspection_endpoint: `${issuer}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic'],
    revocation_endpoint: `${issuer}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: ['client_secret_basic'],
    response_types_supported: [],
    grant_types_supported: [],
  });
  t.ok((await send({ url: '/openapi.json' })).json().paths[url], 'and it is documented');

  const odd = await watchedApp(t, { env: { JWT_ISSUER: 'https://auth.example.com/?tenant=1' } });
  t.equal((await odd.send({ url })).statusCode, 404, 'RFC 8414 §2: no query');
});
