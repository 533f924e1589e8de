import { createHmac, createPrivateKey, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify from 'fastify';
import t, { type Test } from 'tap';
import { newTokenId } from '../src/lib/ids.js';
import { generateKey, type StoredJwk } from '../src/tokens/key-rotation.js';
import { ALGORITHMS, type Algorithm, isHmac } from '../src/tokens/key-set.js';
import { AuthError, createTokenVerifier, type TokenVerifierOptions, tokenVerifier } from '../src/verify.js';
import { decode, encode, forge, meOf } from './http/answers.js';
import { bearer, signUp, TEST_KEY, testApp } from './support/app.js';
import { freePort } from './support/free-port.js';
import { withRedis } from './support/redis-server.js';
import { countTrips } from './support/trip-counter.js';

const MINUTE = 60_000;

/** A verifier that ends with the test, and a clock that stands until it is moved. */
function verifierFor(t: Test, options: Omit<TokenVerifierOptions, 'issuer'> & { issuer?: string }) {
  let time = Date.now();
  const troubles: string[] = [];
  const verifier = createTokenVerifier({
    issuer: 'latchkey',
    now: () => time,
    onTrouble: ({ message }) => troubles.push(message),
    ...options,
  });
  t.teardown(() => verifier.close());
  return {
    ...verifier,
    troubles,
    advance: (ms: number) => {
      time += ms;
    },
    /** `ok`, or the code of the refusal. */
    async ask(token: string): Promise<string> {
      try {
        await verifier.verify(token);
        return 'ok';
      } catch (error) {
        if (!(error instanceof AuthError)) throw error;
        t.notMatch(error.message, /ECONN|Error|redis/i);
        return error.code;
      }
    },
  };
}

/** An issuer of the test's own: it publishes what it is told to, and counts how often it is asked. */
async function withIssuer(t: Test) {
  let asked = 0;
  let answer: (response: ServerResponse, request: IncomingMessage) => void = () => undefined;
  const server = createServer((request, response) => {
    asked += 1;
    answer(response, request);
  });
  await once(server.listen(await freePort(), '127.0.0.1'), 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const publishJson = (body: string, headers: Record<string, string> = {}) => {
    answer = (response) =>
      response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(body);
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
    asked: () => asked,
    publishJson,
    publish: (keys: object[], cacheControl = 'public, max-age=300') =>
      publishJson(JSON.stringify({ keys: keys.map(publicHalf) }), { 'cache-control': cacheControl }),
    answerWith: (how: typeof answer) => {
      answer = how;
    },
    fail: (status = 500) => {
      answer = (response) => response.writeHead(status).end('no');
    },
  };
}

const PRIVATE = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi']);

const publicHalf = (jwk: object): object =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => !PRIVATE.has(name)));

const newKey = (algorithm: Algorithm = 'ES256'): StoredJwk => generateKey(algorithm, 0);

const claimsNow = () => {
  const iat = Math.floor(Date.now() / 1000);
  return {
    iss: 'latchkey',
    sub: 'u1',
    user_id: 'u1',
    jti: newTokenId(),
    sid: newTokenId(),
    token_type: 'access',
    iat,
    exp: iat + 900,
  };
};

/** An access token of the key, as an issuer would sign it. */
function signWith(
  key: StoredJwk,
  { claims = {}, header = {} }: { claims?: object; header?: object } = {},
): string {
  const input = [
    encode({ alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header }),
    encode({ ...claimsNow(), ...claims }),
  ].join('.');
  const privateKey = createPrivateKey({ key, format: 'jwk' });
  const digest = key.alg === 'EdDSA' ? null : 'sha256';
  const signature = sign(digest, Buffer.from(input), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
    ...(key.alg === 'PS256' && { padding: 6, saltLength: 32 }),
  });
  return `${input}.${signature.toString('base64url')}`;
}

t.test('every algorithm that Latchkey signs with', async (t) => {
  for (const algorithm of ALGORITHMS) {
    await t.test(algorithm, async (t) => {
      const secret = 'k0Jm5v1n8Qw2rT7yU4iO9pA6sD3fG0hJ'.repeat(2);
      const env: Record<string, string> = isHmac(algorithm)
        ? { JWT_ALGORITHM: algorithm, JWT_SIGNING_KEY: secret }
        : { JWT_KEYSET: JSON.stringify({ keys: [newKey(algorithm)] }) };
      const app = await testApp(t, { env: { ...env, JWT_AUDIENCE: 'shop' } });
      const { access, refresh, user } = await signUp(app);
      const issuer = await withIssuer(t);
      issuer.publishJson((await app.send({ url: '/.well-known/jwks.json' })).body);

      const source = isHmac(algorithm) ? { key: secret, algorithm } : { jwksUrl: issuer.url };
      const { verify, ask } = verifierFor(t, { ...source, audience: 'shop' });
      const { claims } = decode(access);
      t.strictSame(await verify(access), {
        userId: user.id,
        sessionId: claims.sid,
        jti: claims.jti,
        expiresAt: claims.exp,
        claims,
      });
      t.equal(await ask(refresh), 'token_invalid', 'a refresh token opens nothing');
      const other = algorithm === 'HS256' ? 'HS384' : 'HS256';
      const hash = other === 'HS256' ? 'sha256' : 'sha384';
      const input = `${encode({ ...decode(access).header, alg: other })}.${access.split('.')[1]}`;
      const confused = `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`;
      t.equal(await ask(confused), 'token_invalid', 'the algorithm is the key’s, not the token’s');
      t.equal(await ask(`${access.slice(0, -8)}AAAAAAAA`), 'token_invalid');

      const forAll = verifierFor(t, source);
      t.equal(await forAll.ask(access), 'token_invalid', 'RFC 7519 §4.1.3: it is for somebody else');
    });
  }
});

t.test('what is not a good access token', async (t) => {
  const { ask, verify, advance } = verifierFor(t, { key: TEST_KEY, leeway: 10 });
  const header = { alg: 'HS256', typ: 'at+jwt' };
  const good = claimsNow();
  t.equal(await ask(forge(header, good)), 'ok');

  const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
  const refused: Record<string, string> = {
    'no token at all': 'x',
    'two parts': 'a.b',
    'alg none': `${encode({ ...header, alg: 'none' })}.${encode(good)}.`,
    'alg none with a signature': forge({ ...header, alg: 'none' }, good),
    'another key': forge(header, good, { key: 'z'.repeat(32) }),
    'another alg': forge({ ...header, alg: 'HS512' }, good, { hash: 'sha512' }),
    'a kid of nobody': forge({ ...header, kid: 'x' }, good),
    'no typ': forge({ alg: 'HS256' }, good),
    'typ JWT': forge({ ...header, typ: 'JWT' }, good),
    'typ of a refresh token': forge({ ...header, typ: 'rt+jwt' }, good),
    'a refresh token': forge({ ...header, typ: 'rt+jwt' }, { ...good, token_type: 'refresh' }),
    crit: forge({ ...header, crit: ['exp'] }, good),
    'an array': forge(header, '[]'),
    'no JSON': forge(header, 'x'),
    'a header that is no object': forge('[]', good),
    'another issuer': forge(header, { ...good, iss: 'x' }),
    'an audience': forge(header, { ...good, aud: 'x' }),
    'not yet': forge(header, { ...good, nbf: good.iat + 60 }),
    'from the future': forge(header, { ...good, iat: good.iat + 60 }),
    'exp no number': forge(header, { ...good, exp: '9999999999' }),
    'too long': forge(header, { ...good, pad: 'x'.repeat(8192) }),
    'a signature spelt otherwise': `${forge(header, good).slice(0, -1)}_`,
  };
  for (const name of ['iss', 'sub', 'user_id', 'sid', 'jti', 'iat', 'exp', 'token_type'])
    refused[`without ${name}`] = forge(header, without(name));
  for (const [name, token] of Object.entries(refused)) t.equal(await ask(token), 'token_invalid', name);
  t.equal(await ask(''), 'token_missing');

  const { exp } = good;
  advance((exp - good.iat) * 1000);
  t.equal(await ask(forge(header, good)), 'ok', 'within the leeway');
  advance(11_000);
  t.equal(await ask(forge(header, good)), 'token_expired');
  await t.rejects(verify(forge(header, good)), { name: 'AuthError', code: 'token_expired' });
});

t.test('options that cannot be used', async (t) => {
  const jwksUrl = 'https://auth.example.com/.well-known/jwks.json';
  const wrong: [object, RegExp][] = [
    [{}, /one of them/],
    [{ jwksUrl, key: TEST_KEY }, /one of them/],
    [{ jwksUrl: 'http://auth.example.com/jwks' }, /https/],
    [{ jwksUrl: 'http://localhost.example.com/jwks' }, /https/],
    [{ jwksUrl: 'file:///etc/passwd' }, /https/],
    [{ jwksUrl: 'nonsense' }, /https/],
    [{ key: 'short' }, /shorter than 32 bytes/],
    [{ key: TEST_KEY, algorithm: 'HS512' }, /shorter than 64 bytes/],
    [{ key: TEST_KEY, algorithm: 'ES256' }, /needs jwksUrl/],
    [{ key: `-----BEGIN PUBLIC KEY-----\n${TEST_KEY}` }, /PEM/],
    [{ key: TEST_KEY, issuer: '' }, /issuer/],
  ];
  for (const [options, message] of wrong) {
    const make = () => createTokenVerifier({ issuer: 'latchkey', ...options });
    t.throws(make, { message }, JSON.stringify(Object.keys(options)));
  }
  for (const url of [jwksUrl, 'http://localhost:1/jwks', 'http://127.0.0.1:1/jwks', 'http://[::1]:1/jwks'])
    t.doesNotThrow(() => createTokenVerifier({ issuer: 'latchkey', jwksUrl: url }));
});

t.test('published keys', async (t) => {
  const [first, second] = [newKey(), newKey('EdDSA')];

  await t.test('are fetched once for all, and kept as long as the issuer allows', async (t) => {
    const issuer = await withIssuer(t);
    issuer.publish([first], 'public, max-age=120');
    const { ask, advance } = verifierFor(t, { jwksUrl: issuer.url });
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(signWith(first))));
    t.ok(answers.every((answer) => answer === 'ok'));
    t.equal(issuer.asked(), 1, 'fifty tokens wait for one fetch');
    advance(119_000);
    t.equal(await ask(signWith(first)), 'ok');
    t.equal(issuer.asked(), 1);
    advance(2_000);
    const fetched = new Promise<void>((resolve) => {
      issuer.answerWith((response) => {
        response.writeHead(200).end(JSON.stringify({ keys: [publicHalf(first), publicHalf(second)] }));
        response.once('close', resolve);
      });
    });
    t.equal(await ask(signWith(first)), 'ok', 'it does not wait for the new ones');
    await fetched;
    t.equal(issuer.asked(), 2);
    t.equal(await ask(signWith(second)), 'ok');
    t.equal(issuer.asked(), 2);
  });

  await t.test('count the time they spent in a cache on the way', async (t) => {
    const issuer = await withIssuer(t);
    const body = JSON.stringify({ keys: [publicHalf(first)] });
    issuer.publishJson(body, { 'cache-control': 'max-age=300', age: '290' });
    const { ask, advance } = verifierFor(t, { jwksUrl: issuer.url });
    await ask(signWith(first));
    advance(20_000);
    await ask(signWith(first));
    t.equal(issuer.asked(), 2, 'ten seconds were left, and another ten of grace');
  });

  await t.test('that were taken back do not verify after a quiet night', async (t) => {
    const issuer = await withIssuer(t);
    issuer.publish([first]);
    const { ask, advance } = verifierFor(t, { jwksUrl: issuer.url });
    t.equal(await ask(signWith(first)), 'ok');
    issuer.publish([second]);
    advance(11 * MINUTE);
    t.equal(await ask(signWith(first)), 'token_invalid', 'the first question waits for the new set');
    t.equal(await ask(signWith(second)), 'ok');
  });

  await t.test('are asked for when one is new, but not at every stranger’s wish', async (t) => {
    const issuer = await withIssuer(t);
    issuer.publish([first]);
    const { ask, advance } = verifierFor(t, { jwksUrl: issuer.url });
    t.equal(await ask(signWith(first)), 'ok');
    issuer.publish([first, second]);
    for (let n = 0; n < 20; n += 1) t.equal(await ask(signWith(newKey())), 'token_invalid');
    t.equal(issuer.asked(), 1, 'it has been asked a moment ago');
    advance(6_000);
    const answers = await Promise.all([second, second, newKey(), first].map((key) => ask(signWith(key))));
    t.strictSame(answers, ['ok', 'ok', 'token_invalid', 'ok']);
    t.equal(issuer.asked(), 2);
  });

  await t.test('go on verifying while the issuer cannot be reached', async (t) => {
    const issuer = await withIssuer(t);
    issuer.publish([first]);
    const { ask, advance, troubles } = verifierFor(t, { jwksUrl: issuer.url });
    t.equal(await ask(signWith(first)), 'ok');
    const breakages: (() => void)[] = [
      () => issuer.fail(500),
      () => issuer.fail(404),
      () => issuer.publishJson('{'),
      () => issuer.publishJson('{"keys":5}'),
      () => issuer.publishJson(`{"keys":[${' '.repeat(300_000)}]}`),
      () => issuer.answerWith((response) => response.writeHead(302, { location: issuer.url }).end()),
      () => issuer.answerWith((response) => response.destroy()),
    ];
    for (const breakIt of breakages) {
      breakIt();
      advance(10 * MINUTE);
      const fresh = { claims: { exp: claimsNow().iat + 90_000 } };
      t.equal(await ask(signWith(first, fresh)), 'ok');
    }
    t.equal(troubles.length, breakages.length, troubles.join(' / '));
    advance(6_000);
    t.equal(await ask(signWith(second)), 'store_unavailable', 'whether this is a new key nobody can tell');
    issuer.publish([second]);
    advance(6_000);
    t.equal(await ask(signWith(second, { claims: { exp: claimsNow().iat + 90_000 } })), 'ok');
  });

  await t.test('that could never be fetched are no verdict on a token', async (t) => {
    const issuer = await withIssuer(t);
    issuer.fail();
    const { ask, verify, advance } = verifierFor(t, { jwksUrl: issuer.url });
    t.equal(await ask(signWith(first)), 'store_unavailable');
    await t.rejects(verify(signWith(first)), { code: 'store_unavailable', retryAfter: 5 });
    t.equal(issuer.asked(), 1, 'it is not asked again at once');
    issuer.publish([first]);
    advance(6_000);
    t.equal(await ask(signWith(first)), 'ok');
  });

  await t.test('of other kinds are passed over', async (t) => {
    const issuer = await withIssuer(t);
    const weak = { kty: 'RSA', alg: 'RS256', kid: 'weak', n: 'AQAB'.repeat(30), e: 'AQAB' };
    const secret = { kty: 'oct', alg: 'HS256', kid: 'oct', k: Buffer.from(TEST_KEY).toString('base64url') };
    issuer.publishJson(
      JSON.stringify({
        keys: [
          secret,
          weak,
          { kty: 'XX', alg: 'ZZ999', kid: 'zz' },
          { ...publicHalf(second), use: 'enc' },
          { ...publicHalf(second), kid: 7 },
          {},
          publicHalf(first),
        ],
      }),
    );
    const { ask } = verifierFor(t, { jwksUrl: issuer.url });
    t.equal(await ask(signWith(first)), 'ok');
    t.equal(await ask(signWith(second)), 'token_invalid');
    const bySecret = forge({ alg: 'HS256', typ: 'at+jwt', kid: 'oct' }, claimsNow());
    t.equal(await ask(bySecret), 'token_invalid', 'a secret that somebody published is no key');
  });

  await t.test('are none where the issuer signs by a shared key', async (t) => {
    const issuer = await withIssuer(t);
    issuer.publish([]);
    const { ask, troubles } = verifierFor(t, { jwksUrl: issuer.url });
    t.equal(await ask(forge({ alg: 'HS256', typ: 'at+jwt' }, claimsNow())), 'store_unavailable');
    t.match(troubles, [/publishes no key/]);
  });
});

t.test('with the issuer’s Redis', async (t) => {
  const redis = await withRedis(t);
  const counted = await countTrips(t, redis.url);
  const app = await testApp(t, { stores: 'servers', env: { REDIS_URL: redis.url } });
  const { verify, ask, advance } = verifierFor(t, {
    key: TEST_KEY,
    redisUrl: counted.url,
    redisPrefix: app.config.redisPrefix,
  });
  const one = await signUp(app);
  t.equal(await ask(one.access), 'ok');

  counted.reset();
  await Promise.all([verify(one.access), verify(one.access)]);
  for (let n = 0; n < 3; n += 1) await verify(one.access);
  t.ok(counted.trips() <= 4, `${counted.trips()} trips for five tokens`);
  counted.reset();
  t.equal(await ask('x.y.z'), 'token_invalid');
  t.equal(counted.trips(), 0, 'what is no token of the issuer’s asks nobody');

  const other = await signUp(app);
  await app.app.blacklist.revoke(other.access);
  t.equal(await ask(other.access), 'token_revoked', 'one token');
  await app.send({ method: 'POST', url: '/api/auth/logout', headers: bearer(one.access) });
  t.equal(await ask(one.access), 'token_revoked', 'a session');
  const third = await signUp(app);
  await app.send({ method: 'POST', url: '/api/auth/logout-all', headers: bearer(third.access) });
  t.equal(await ask(third.access), 'token_revoked', 'all sessions');
  const fourth = await signUp(app);
  await app.app.accounts.setActive(fourth.user.id, false);
  t.equal(await ask(fourth.access), 'token_revoked', 'an account');

  const fifth = await signUp(app);
  await app.app.stateStore.fenceUser({ userId: fifth.user.id, fenceId: newTokenId(), now: Date.now() });
  t.equal(await ask(fifth.access), 'store_unavailable', 'an account that is changing');
  advance(2 * MINUTE);
  app.advance(2 * MINUTE);
  t.equal(await ask(fifth.access), 'store_unavailable', 'whose change was given up: only SQL can tell');
  t.equal((await app.send(meOf(fifth.access))).statusCode, 200);
  t.equal(await ask(fifth.access), 'ok', 'until somebody has asked the issuer');

  await redis.kill();
  t.equal(await ask(fifth.access), 'store_unavailable', 'never good while nobody can tell');
  t.equal(await ask('x.y.z'), 'token_invalid');
});

t.test('the plugin for Fastify', async (t) => {
  const redis = await withRedis(t);
  const app = await testApp(t, { stores: 'servers', env: { REDIS_URL: redis.url } });
  const { access, user } = await signUp(app);
  const shop = Fastify();
  t.teardown(() => shop.close());
  await shop.register(tokenVerifier, {
    issuer: 'latchkey',
    key: TEST_KEY,
    redisUrl: redis.url,
    redisPrefix: app.config.redisPrefix,
  });
  shop.get('/orders', { onRequest: shop.requireAccessToken }, async ({ accessToken }) => ({
    of: accessToken.userId,
    role: accessToken.claims.role,
  }));
  shop.get('/open', async () => 'open');
  const get = (headers: Record<string, string>, url = '/orders') => shop.inject({ url, headers });

  const answer = await get(bearer(access));
  t.strictSame([answer.statusCode, answer.json()], [200, { of: user.id, role: 'viewer' }]);
  t.equal((await get({}, '/open')).body, 'open');
  const refusals: [Record<string, string>, string, string][] = [
    [{}, 'token_missing', 'Bearer realm="latchkey"'],
    [{ authorization: 'Basic x' }, 'token_missing', 'Bearer realm="latchkey"'],
    [bearer('nonsense'), 'token_invalid', 'Bearer realm="latchkey", error="invalid_token"'],
  ];
  for (const [headers, code, challenge] of refusals) {
    const refused = await get(headers);
    t.equal(refused.headers['www-authenticate'], challenge);
    t.strictSame(refused.json(), { statusCode: 401, code, error: 'Unauthorized', message: code });
  }
  await redis.kill();
  const away = await get(bearer(access));
  t.equal(away.headers['retry-after'], '1');
  t.strictSame(away.json(), {
    statusCode: 503,
    code: 'store_unavailable',
    error: 'Service Unavailable',
    message: 'store_unavailable',
  });
});
