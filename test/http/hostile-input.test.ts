import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { InjectOptions } from 'fastify';
import { sql } from 'kysely';
import t from 'tap';
import { bearer, PASSWORD, STORES, signUp, TEST_KEY, type TestApp } from '../support/app.js';
import { type ServerProcess, withServer } from '../support/server-process.js';
import { decode, encode, expectProblem, forge, meOf, type Pair, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

type Kind = 'access' | 'refresh';
type Json = Record<string, unknown>;

const WRONG_VALUES = [undefined, null, '', ' ', true, false, [], ['x'], {}, { $gt: '' }, 1.5, -1, 0, 1e300];
const LIES = [
  "' OR '1'='1' --",
  "'; DROP TABLE users; --",
  '" OR ""="',
  '{"$gt":""}',
  '*)(uid=*))(|(uid=*',
  '%{jndi:ldap://evil.example/a}',
  '{{7*7}}',
  '<script>alert(1)</script>',
  '../../../../etc/passwd',
  '__proto__',
  'constructor',
  'null',
  'undefined',
  'true',
  '0',
];

// It takes ten seconds, of which it uses next to nothing: it runs beside all the rest.
const slow = withServer(t).then((server) => attackSlowly(server));
slow.catch(() => undefined);

t.test('forged and malformed tokens', async (t) => {
  const app = await watchedApp(t);
  const good = await signUp(app);
  await app.send(meOf(good.access));
  const before = await everyRow(app);

  for (const kind of ['access', 'refresh'] as const) {
    await t.test(`made of ${kind} tokens`, async (t) => {
      const tokens = { ...badClaims(good, kind), ...badHeaders(good, kind), ...badTexts(good, kind) };
      t.ok(Object.keys(tokens).length > 150);
      for (const [name, token] of Object.entries(tokens)) {
        for (const request of targets(kind, token)) {
          const answer = await app.send(request);
          const { statusCode } = answer;
          if (statusCode === 401 && answer.json().code === 'token_invalid') continue;
          t.fail(`${name} at ${request.url}: ${statusCode} ${answer.body}`);
        }
      }
      expectProblem(t, await app.send(verifyOf(tokens['alg none'])), 401, 'token_invalid');
    });
  }

  await t.test('one kind in place of the other', async (t) => {
    for (const request of targets('access', good.refresh)) {
      if (request.url === '/api/auth/verify') continue;
      expectProblem(t, await app.send(request), 401, 'token_invalid');
    }
    for (const request of targets('refresh', good.access)) {
      if (request.url === '/api/auth/verify') continue;
      expectProblem(t, await app.send(request), 401, 'token_invalid');
    }
  });

  await t.test('a token that is no string is a bad request', async (t) => {
    for (const value of [null, 1, 0, true, false, [], [good.refresh], {}, { refresh: good.refresh }]) {
      const wrong = { fields: ['token:invalid_type'] };
      expectProblem(t, await app.send(verifyOf(value)), 400, 'invalid_request', wrong);
      for (const url of ['/api/auth/refresh', '/api/auth/logout']) {
        const answer = await app.send({ method: 'POST', url, payload: { refresh: value } });
        expectProblem(t, answer, 400, 'invalid_request', { fields: ['refresh:invalid_type'] });
      }
    }
    const missing = { fields: ['token:required'] };
    expectProblem(t, await app.send(verifyOf(undefined)), 400, 'invalid_request', missing);
  });

  await t.test('Authorization headers of any sort', async (t) => {
    const pick = seeded(20_260_105);
    const seen = { token_missing: 0, token_invalid: 0 };
    for (let n = 0; n < 400; n += 1) {
      const { header, code } = randomAuthorization(pick, good);
      const answer = await app.send({ url: '/api/auth/me', headers: { authorization: header } });
      seen[code] += 1;
      if (answer.statusCode === 401 && answer.json().code === code) continue;
      t.fail(`${JSON.stringify(header)}: ${answer.statusCode} ${answer.body}`);
    }
    t.ok(seen.token_missing > 50 && seen.token_invalid > 50, JSON.stringify(seen));
  });

  await t.test('the scheme is Bearer in any case, then one token', async (t) => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR', 'Bearer   ']) {
      const headers = { authorization: `${scheme} ${good.access}` };
      t.equal((await app.send({ url: '/api/auth/me', headers })).statusCode, 200, scheme);
    }
  });

  t.strictSame(await everyRow(app), before, 'nobody and nothing has changed');
  t.equal((await app.send(refreshWith(good.refresh))).statusCode, 200);
});

/** The requests that read a token of this kind; what no header can carry goes into bodies only. */
function targets(kind: Kind, token: string): InjectOptions[] {
  const inBody = [verifyOf(token), ...(kind === 'refresh' ? [refreshWith(token), logoutWith(token)] : [])];
  if (kind === 'refresh' || !/^[\x21-\x7e]+$/.test(token)) return inBody;
  const headers = bearer(token);
  return [
    ...inBody,
    meOf(token),
    { method: 'POST', url: '/api/auth/logout', headers },
    { method: 'POST', url: '/api/auth/logout-all', headers },
    { method: 'GET', url: '/api/auth/sessions', headers },
  ];
}

const logoutWith = (refresh: unknown) =>
  ({ method: 'POST', url: '/api/auth/logout', payload: { refresh } }) as const;

/** Well signed, badly filled. */
function badClaims(good: Pick<Pair, Kind>, kind: Kind): Record<string, string> {
  const { header, claims } = decode(good[kind]);
  const other = kind === 'access' ? 'refresh' : 'access';
  const changes: Record<string, Json> = {
    'iss of another': { iss: 'latchkey.evil.example' },
    'iss as a list': { iss: ['latchkey'] },
    'sub too long': { sub: 'x'.repeat(65), user_id: 'x'.repeat(65) },
    'user_id of another': { user_id: '0197f3a1-7c00-7d3e-9a51-3f0c2b6e8d14' },
    'jti in capitals': { jti: claims.jti.toUpperCase().replace(/\d/g, 'A') },
    'jti too short': { jti: claims.jti.slice(1) },
    'jti with a brace': { jti: `}${claims.jti.slice(1)}` },
    'sid too long': { sid: `${claims.sid}0` },
    'sid of another key': { sid: `${claims.sid.slice(0, 30)}:u` },
    'sid as UUID': { sid: claims.sid.replace(/^(.{8})(.{4})/, '$1-$2-') },
    'iat in the future': { iat: claims.iat + 3600, exp: claims.exp + 3600 },
    'iat as text': { iat: String(claims.iat) },
    'iat in fractions': { iat: claims.iat + 0.5 },
    'exp before iat': { exp: claims.iat - 1 },
    'exp at iat': { exp: claims.iat },
    'exp as text': { exp: String(claims.exp) },
    'exp in fractions': { exp: claims.exp + 0.5 },
    'exp in milliseconds of the far future': { exp: 8.64e15 },
    'exp beyond integers': { exp: 2 ** 53 },
    'nbf in the future': { nbf: claims.iat + 3600 },
    'nbf as text': { nbf: String(claims.iat) },
    'nbf null': { nbf: null },
    'nbf negative': { nbf: -1 },
    'token_type swapped': { token_type: other },
    'token_type in capitals': { token_type: kind.toUpperCase() },
    'token_type of others': { token_type: 'sliding' },
  };
  for (const claim of ['iss', 'sub', 'user_id', 'jti', 'iat', 'exp', 'token_type', 'sid']) {
    for (const value of WRONG_VALUES) {
      // Numbers are a legacy user id, which `JWT_USER_ID` may have put there.
      if (claim === 'user_id' && Number.isSafeInteger(value)) continue;
      changes[`${claim} ${JSON.stringify(value)}`] = { [claim]: value };
    }
    for (const lie of LIES)
      changes[`${claim} ${lie}`] = claim === 'sub' ? { [claim]: `${lie} ` } : { [claim]: lie };
  }
  const tokens = Object.entries(changes).map(([name, change]) => [
    name,
    forge(header, { ...claims, ...change }),
  ]);
  const payloads = [[], [claims], 'text', 1, null, true].map((payload) => JSON.stringify(payload));
  for (const payload of [...payloads, '', '{', 'not JSON', '{}', `${JSON.stringify(claims)}}`]) {
    tokens.push([`payload ${payload.slice(0, 20)}`, forge(header, payload)]);
  }
  return Object.fromEntries(tokens);
}

/** The right claims under a header that is not ours, signed as well as can be. */
function badHeaders(good: Pick<Pair, Kind>, kind: Kind): Record<string, string> {
  const { header, claims } = decode(good[kind]);
  const tokens: Record<string, string> = {};
  const unsigned = (alg: unknown) => `${encode({ ...header, alg })}.${encode(claims)}.`;
  for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
    tokens[`alg ${alg}`] = unsigned(alg);
    tokens[`alg ${alg}, signed`] = forge({ ...header, alg }, claims);
  }
  for (const alg of ['hs256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'EdDSA', 'A128KW', 'toString']) {
    tokens[`alg ${alg}`] = forge({ ...header, alg }, claims);
  }
  tokens['a true HS384'] = forge({ ...header, alg: 'HS384' }, claims, { hash: 'sha384' });
  tokens['a true HS512'] = forge({ ...header, alg: 'HS512' }, claims, { hash: 'sha512' });
  tokens['HS384 called HS256'] = forge(header, claims, { hash: 'sha384' });
  for (const alg of WRONG_VALUES) tokens[`alg ${JSON.stringify(alg)}`] = forge({ ...header, alg }, claims);
  for (const typ of [...WRONG_VALUES, 'JWT', 'jwt', 'AT+JWT', 'at+jwt ', 'application/at+jwt', ['at+jwt']]) {
    tokens[`typ ${JSON.stringify(typ)}`] = forge({ ...header, typ }, claims);
  }
  tokens['typ swapped'] = forge({ ...header, typ: kind === 'access' ? 'rt+jwt' : 'at+jwt' }, claims);
  for (const crit of [['exp'], ['x-mine'], [], 'exp', [''], { exp: true }, null]) {
    tokens[`crit ${JSON.stringify(crit)}`] = forge({ ...header, crit, 'x-mine': 1 }, claims);
  }
  tokens['b64 false'] = forge({ ...header, b64: false }, claims);
  tokens['b64 false, critical'] = forge({ ...header, b64: false, crit: ['b64'] }, claims);
  tokens['a key of its own'] = forge({ ...header, jwk: { kty: 'oct', k: encode('x'.repeat(32)) } }, claims, {
    key: 'x'.repeat(32),
  });
  tokens['a key from elsewhere'] = forge({ ...header, jku: 'https://evil.example/keys', kid: '1' }, claims, {
    key: 'x'.repeat(32),
  });
  for (const kid of ['../../dev/null', '/dev/null', "' UNION SELECT 'x'", '']) {
    tokens[`kid ${kid}`] = forge({ ...header, kid }, claims, { key: 'x'.repeat(32) });
  }
  for (const raw of [
    '',
    '{',
    'null',
    '[]',
    '"HS256"',
    '1',
    '{"alg":"HS256"',
    '{"__proto__":{"alg":"HS256"}}',
  ]) {
    tokens[`header ${raw}`] = forge(raw, claims);
  }
  for (const key of ['x'.repeat(32), `${TEST_KEY} `, TEST_KEY.toLowerCase(), 'secret', '0']) {
    tokens[`key ${key}`] = forge(header, claims, { key });
  }
  return tokens;
}

/** A good token spoilt, and texts that never were one. */
function badTexts(good: Pick<Pair, Kind>, kind: Kind): Record<string, string> {
  const token = good[kind];
  const [header, payload, signature] = token.split('.') as [string, string, string];
  const { header: fields, claims } = decode(token);
  const texts = [
    '..',
    '.',
    '...',
    'a.b.c',
    'a..b',
    `.${payload}.${signature}`,
    `${header}..${signature}`,
    `${header}.${payload}.`,
    `${header}.${payload}`,
    header,
    `${token}.`,
    `.${token}`,
    `${token}.${signature}`,
    `${token}=`,
    `${token}==`,
    `${header}=.${payload}=.${signature}=`,
    token.slice(0, -1),
    `${token}A`,
    `${token}+/`,
    `${token},${token}`,
    `"${token}"`,
    `Bearer%20${token}`,
    encodeURIComponent(`${token} `),
    [header, payload, otherSpelling(signature)].join('.'),
    `${header}.${payload}.${Buffer.from(signature, 'base64url').toString('base64')}`,
    `${header}.${payload}.${signature.split('').reverse().join('')}`,
    `${header}.${payload}.${'A'.repeat(signature.length)}`,
    forge(fields, { ...claims, padding: 'x'.repeat(8192) }),
    `${header}.${payload}.${'A'.repeat(60_000)}`,
    'A'.repeat(60_000),
    '.'.repeat(10_000),
    'eyJ',
    ...LIES,
  ];
  const inBodiesOnly = [
    '',
    ' ',
    `${token} `,
    ` ${token}`,
    `${token}\n`,
    `${token}\u0000`,
    `\ufeff${token}`,
    `${token}\u200b`,
    `${header}. ${payload}.${signature}`,
    token.replaceAll('.', '\uff0e'),
    '🔑.🔑.🔑',
    '\ud800.\udfff.\ud800',
    'ａｂｃ.ａｂｃ.ａｂｃ',
    `Bearer ${token}`,
    '\u0000',
  ];
  return Object.fromEntries([...texts, ...inBodiesOnly].map((text) => [text.slice(-60), text]));
}

/** The last character of a signature of 32 bytes carries two bits that decoders ignore. */
function otherSpelling(signature: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(signature.at(-1)!);
  const spelling = signature.slice(0, -1) + alphabet[last ^ 1];
  if (!Buffer.from(spelling, 'base64url').equals(Buffer.from(signature, 'base64url')))
    throw new Error('differs');
  return spelling;
}

/** mulberry32: the same numbers in every run. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function randomAuthorization(pick: (below: number) => number, good: Pick<Pair, Kind>) {
  const schemes = [
    'Bearer',
    'bearer',
    'BEARER',
    'Basic',
    'Token',
    'JWT',
    'Digest',
    'Bearer:',
    'BearerX',
    '',
    '=',
  ];
  const gaps = [' ', ' ', ' ', '  ', '', '\t', ',', '=', ': '];
  const noise = (length: number) =>
    Array.from({ length }, () => String.fromCharCode(0x21 + pick(0x5e))).join('');
  const token = good[(['access', 'refresh'] as const)[pick(2)]!];
  const at = pick(token.length);
  const changed = token[at] === 'x' ? 'y' : 'x';
  const spoilt = [
    noise(pick(60)),
    noise(1 + pick(2000)),
    `${noise(pick(20))}.${noise(pick(20))}.${noise(pick(20))}`,
    token.slice(0, at) + changed + token.slice(at + 1),
    token.slice(0, at),
    token.slice(at + 1),
    `${token.slice(0, at)} ${token.slice(at)}x`,
    good.refresh,
  ];
  const scheme = schemes[pick(schemes.length)]!;
  const header = scheme + gaps[pick(gaps.length)]! + spoilt[pick(spoilt.length)]!;
  // RFC 6750 §2.1: the word, at least one space, and then something.
  const code = /^bearer +[^ ]/i.test(header) ? ('token_invalid' as const) : ('token_missing' as const);
  return { header, code };
}

async function everyRow({ app }: TestApp): Promise<unknown> {
  await app.events.flush();
  const { db } = app.database;
  const rows: Record<string, unknown> = {};
  for (const { name } of await db.introspection.getTables()) {
    rows[name] = (await sql`select * from ${sql.table(name)}`.execute(db)).rows;
  }
  return rows;
}

t.test('bodies', async (t) => {
  const app = await watchedApp(t);
  const { access, refresh, email } = await signUp(app);
  await app.send(meOf(access));
  const before = await everyRow(app);
  const auth = bearer(access);
  const routes: {
    method: 'POST' | 'PATCH' | 'DELETE';
    url: string;
    headers?: Record<string, string>;
    body: Json;
    optional?: true;
  }[] = [
    { method: 'POST', url: '/api/auth/register', body: { email: `x.${email}`, password: PASSWORD } },
    { method: 'POST', url: '/api/auth/login', body: { email, password: PASSWORD } },
    { method: 'POST', url: '/api/auth/refresh', body: { refresh }, optional: true },
    { method: 'POST', url: '/api/auth/verify', body: { token: access } },
    { method: 'POST', url: '/api/auth/logout', headers: auth, body: { refresh }, optional: true },
    { method: 'POST', url: '/api/auth/logout-all', headers: auth, body: {}, optional: true },
    { method: 'PATCH', url: '/api/auth/me', headers: auth, body: { first_name: 'X' } },
    { method: 'DELETE', url: '/api/auth/me', headers: auth, body: { password: PASSWORD } },
  ];
  const json = { 'content-type': 'application/json' };
  const types = [
    undefined,
    '',
    'text/plain',
    'text/json',
    'text/html; charset=utf-8',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/octet-stream',
    'application/jsonx',
    'application/json5',
    'application/problem+json',
    'application/json, text/plain',
    'application/json text/plain',
    'application/',
    'json',
    '*/*',
    '\u00ff',
  ];
  const broken: [string, string | Buffer][] = [
    ['half an object', '{'],
    ['no JSON', 'email=x&password=y'],
    ['a comma too many', '{"email":"a@b.example",}'],
    ['single quotes', "{'email':'a'}"],
    ['something after it', '{} {}'],
    ['NaN', '{"password":NaN}'],
    ['a list', '[]'],
    ['a list of bodies', '[{"email":"a@b.example","password":"x"}]'],
    ['a text', '"email"'],
    ['a number', '1'],
    ['null', 'null'],
    ['true', 'true'],
    ['an unknown field', '{"zzz":1}'],
    ['a field of the prototype', '{"toString":1,"hasOwnProperty":1}'],
    ['__proto__', '{"__proto__":{"is_staff":true}}'],
    ['__proto__ by another spelling', '{"\\u005f_proto_\\u005f":{"is_staff":true}}'],
    ['constructor', '{"constructor":{"prototype":{"is_staff":true}}}'],
    ['depth of a list', '['.repeat(30_000) + ']'.repeat(30_000)],
    ['depth below a field', `{"zzz":${'['.repeat(30_000)}${']'.repeat(30_000)}}`],
    ['depth of objects', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
    [
      'a thousand unknown fields',
      JSON.stringify(Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`f${n}`, n]))),
    ],
    ['a long name', JSON.stringify({ ['x'.repeat(60_000)]: 1 })],
    ['bytes that are no UTF-8', Buffer.from([...Buffer.from('{"zzz":"'), 0xff, 0xfe, ...Buffer.from('"}')])],
    ['an overlong slash', Buffer.from([...Buffer.from('{"zzz":"'), 0xc0, 0xaf, ...Buffer.from('"}')])],
    [
      'a surrogate in bytes',
      Buffer.from([...Buffer.from('{"zzz":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')]),
    ],
    ['UTF-16', Buffer.from('{"zzz":1}', 'utf16le')],
    ['zero bytes', Buffer.alloc(100)],
    ['exactly 64 KiB', `{"zzz":"${'x'.repeat(65_536 - 10)}"}`],
  ];

  for (const { method, url, headers = {}, body, optional } of routes) {
    await t.test(`${method} ${url}`, async (t) => {
      const send = (payload: string | Buffer, extra: Record<string, string>) =>
        app.send({ method, url, payload, headers: { ...headers, ...extra } });
      for (const type of types) {
        const extra = type === undefined ? {} : { 'content-type': type };
        const answer = await send(Buffer.from(JSON.stringify(body)), extra as Record<string, string>);
        expectProblem(t, answer, 415, 'unsupported_media_type');
      }
      for (const [name, payload] of broken) {
        await t.test(name, async (t) => expectProblem(t, await send(payload, json), 400, 'invalid_request'));
      }
      for (const size of [65_537, 1_000_000]) {
        const payload = `{"zzz":"${'x'.repeat(size - 10)}"}`;
        expectProblem(t, await send(payload, json), 413, 'body_too_large');
      }
      for (const field of Object.keys(body)) {
        for (const value of [null, 1, true, [], ['x'], {}, { $ne: null }, [[]]]) {
          const answer = await send(JSON.stringify({ ...body, [field]: value }), json);
          expectProblem(t, answer, 400, 'invalid_request', { fields: [`${field}:invalid_type`] });
        }
        const extra = await send(JSON.stringify({ ...body, [`${field} `]: 'x' }), json);
        expectProblem(t, extra, 400, 'invalid_request', { fields: [`${field} :unknown`] });
      }
      if (optional) return;
      expectProblem(t, await send('', json), 400, 'invalid_request');
      expectProblem(t, await app.send({ method, url, headers }), 400, 'invalid_request');
    });
  }

  await t.test('what was named is cut, and many are a sample', async (t) => {
    const long = { ['x'.repeat(60_000)]: 1 };
    const { errors } = expectProblem(
      t,
      await app.send({ method: 'PATCH', url: '/api/auth/me', headers: auth, payload: long }),
      400,
      'invalid_request',
    );
    t.strictSame(
      errors!.map(({ field }) => field.length),
      [64],
    );
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`f${n}`, n]));
    const answer = await app.send({ method: 'PATCH', url: '/api/auth/me', headers: auth, payload: many });
    t.equal(expectProblem(t, answer, 400, 'invalid_request').errors!.length, 8);
    const odd = { 'a/b': 1, 'c~d': 1, '': 1, 'e.f': 1, '🔑': 1 };
    const named = await app.send({ method: 'PATCH', url: '/api/auth/me', headers: auth, payload: odd });
    expectProblem(t, named, 400, 'invalid_request', {
      fields: Object.keys(odd).map((name) => `${name}:unknown`),
    });
  });

  await t.test('of two fields with one name the last is the only one', async (t) => {
    const payload = `{"token":"nonsense","token":${JSON.stringify(access)}}`;
    const answer = await app.send({ method: 'POST', url: '/api/auth/verify', headers: json, payload });
    t.equal(answer.statusCode, 200);
  });

  await t.test('JSON by every name it has', async (t) => {
    for (const type of [
      'application/json',
      'Application/JSON',
      'application/json; charset=utf-8',
      'application/json;',
    ]) {
      const headers = { 'content-type': type };
      const payload = JSON.stringify({ token: access });
      const answer = await app.send({ method: 'POST', url: '/api/auth/verify', headers, payload });
      t.equal(answer.statusCode, 200, type);
    }
  });

  t.strictSame(await everyRow(app), before, 'nobody and nothing has changed');
  t.equal(Object.hasOwn(Object.prototype, 'is_staff'), false);
});

t.test('URLs, queries and methods', async (t) => {
  const app = await watchedApp(t);
  const { access } = await signUp(app);
  const headers = bearer(access);
  await app.send(meOf(access));
  const before = await everyRow(app);

  const urls: [string, number, string][] = [
    ['/api/%zz', 400, 'invalid_request'],
    ['/%', 400, 'invalid_request'],
    ['/api/auth/me%', 400, 'invalid_request'],
    ['/%c0%ae%c0%ae/', 400, 'invalid_request'],
    ['/api/auth/sessions/%ff', 400, 'invalid_request'],
    ['/nothing', 404, 'not_found'],
    ['/api', 404, 'not_found'],
    ['/api/auth', 404, 'not_found'],
    ['/api/auth//me', 404, 'not_found'],
    ['/API/AUTH/ME', 404, 'not_found'],
    ['/api/auth/me;x=1', 404, 'not_found'],
    ['/api/auth/me%00', 404, 'not_found'],
    ['/api/auth/me%2f', 404, 'not_found'],
    ['/api%2fauth%2fme', 404, 'not_found'],
    ['/api/auth/%6de/', 200, ''],
    ['/api/auth/me?%zz=%zz&__proto__=1', 200, ''],
    ['/api/auth/me?access_token=x', 200, ''],
    ['/docs/static/..%2f..%2f..%2fpackage.json', 404, 'not_found'],
    ['/docs/static/%2e%2e/%2e%2e/package.json', 404, 'not_found'],
    ['/.env', 404, 'not_found'],
    ['/.latchkey/signing-key', 404, 'not_found'],
    [`/${'x'.repeat(100_000)}`, 404, 'not_found'],
    [`/${'x/'.repeat(10_000)}`, 404, 'not_found'],
    [`/api/auth/me?${'x'.repeat(100_000)}`, 200, ''],
  ];
  for (const [url, status, code] of urls) {
    const answer = await app.send({ url, headers });
    if (status === 200) t.equal(answer.statusCode, status, url);
    else await t.test(url.slice(0, 60), async (t) => expectProblem(t, answer, status, code));
  }

  const ids: [string, number, string][] = [
    ['x', 404, 'not_found'],
    ['%00', 404, 'not_found'],
    ['*', 404, 'not_found'],
    ['%2e%2e', 404, 'not_found'],
    ["'%20OR%20'1'='1", 404, 'not_found'],
    ['%7B%7D:u', 404, 'not_found'],
    ['%F0%9F%94%91', 404, 'not_found'],
    [decode(access).claims.sid.toUpperCase().replace(/\d/g, 'A'), 404, 'not_found'],
    ['x'.repeat(65), 400, 'invalid_request'],
    ['x'.repeat(1000), 400, 'invalid_request'],
    ['%zz', 400, 'invalid_request'],
  ];
  for (const [id, status, code] of ids) {
    const answer = await app.send({ method: 'DELETE', url: `/api/auth/sessions/${id}`, headers });
    await t.test(`session ${id.slice(0, 40)}`, async (t) => expectProblem(t, answer, status, code));
  }

  const queries: [string, string[]][] = [
    ['limit=0', ['limit:too_small']],
    ['limit=-1', ['limit:too_small']],
    ['limit=101', ['limit:too_large']],
    ['limit=1e99', ['limit:too_large']],
    ['limit=abc', ['limit:invalid_type']],
    ['limit=1&limit=2', ['limit:invalid_type']],
    ['cursor=abc', ['cursor:invalid_format']],
    ['cursor=0', ['cursor:invalid_format']],
    ['cursor=-1', ['cursor:invalid_format']],
    ['cursor=1%20or%201=1', ['cursor:invalid_format']],
    ['cursor=', ['cursor:invalid_format']],
    ['cursor=99999999999999999', ['cursor:too_long']],
    ['page=2', ['page:unknown']],
    ['user_id=1', ['user_id:unknown']],
    ['constructor=1', ['constructor:unknown']],
    ['__proto__=1', ['__proto__:unknown']],
  ];
  for (const [query, fields] of queries) {
    const answer = await app.send({ url: `/api/auth/activity?${query}`, headers });
    await t.test(query, async (t) => expectProblem(t, answer, 400, 'invalid_request', { fields }));
  }

  const methods = ['PUT', 'TRACE', 'PROPFIND', 'SEARCH', 'LINK', 'PURGE', 'MKCOL', 'POST'] as const;
  for (const method of methods) {
    const answer = await app.send({ method: method as 'PUT', url: '/api/auth/me', headers });
    await t.test(method, async (t) => expectProblem(t, answer, 404, 'not_found'));
  }
  for (const url of ['login', 'register', 'refresh', 'verify', 'logout', 'logout-all']) {
    expectProblem(t, await app.send({ url: `/api/auth/${url}`, headers }), 404, 'not_found');
  }
  const head = await app.send({ method: 'HEAD', url: '/api/auth/me' });
  t.equal(head.statusCode, 401);
  t.equal(head.body, '');
  t.strictSame(await everyRow(app), before, 'nobody and nothing has changed');
});

for (const stores of STORES) {
  t.test(`texts that mean something to a database, ${stores}`, async (t) => {
    const app = await watchedApp(t, { stores });
    const { send } = app;
    const login = (payload: object, headers = {}) =>
      send({ method: 'POST', url: '/api/auth/login', payload, headers });
    const { email, access } = await signUp(app, {
      first_name: "'; DROP TABLE users; --",
      last_name: '🔑 "\\"',
    });

    for (const lie of LIES.slice(0, 9)) {
      expectProblem(t, await login({ email, password: lie }), 401, 'invalid_credentials');
      expectProblem(t, await login({ username: lie, password: lie }), 401, 'invalid_credentials');
    }
    for (const text of ['\u0000', 'a\u0000b@example.com', '\ud800', '\uffff', '%', '_%']) {
      expectProblem(t, await login({ email: text, password: text }), 401, 'invalid_credentials');
    }
    // As long as columns allow, in letters that grow when they are folded or encoded.
    const letters = { x: 200, ü: 200, İ: 400, 𝒳: 200, ﷺ: 400 };
    for (const [letter, asUsername] of Object.entries(letters)) {
      const patch = (payload: object) =>
        send({ method: 'PATCH', url: '/api/auth/me', headers: bearer(access), payload });
      const name = letter.repeat(150);
      const named = await patch({ first_name: name, last_name: name });
      t.equal(named.json().first_name, name);
      t.equal((await patch({ username: name })).statusCode, asUsername, `a username of ${letter}`);
    }

    await t.test('a user agent is cut and cleaned', async (t) => {
      const agent = `${'\u00ff'.repeat(10)}${'x'.repeat(5000)}`;
      const answer = await login({ email, password: PASSWORD }, { 'user-agent': agent });
      t.equal(answer.statusCode, 200);
      const headers = bearer(answer.json().access);
      const { sessions } = (await send({ url: '/api/auth/sessions', headers })).json();
      t.equal(sessions[0].user_agent, `${'?'.repeat(10)}${'x'.repeat(182)}`);
      t.equal(sessions[0].device, 'Unknown device');
    });

    await t.test('an address is not what a header says', async (t) => {
      const own = async (app: TestApp, forwarded: string) => {
        const headers = {
          'x-forwarded-for': forwarded,
          forwarded: 'for=192.0.2.1',
          'x-real-ip': '192.0.2.1',
        };
        const payload = { email: `${randomUUID()}@example.com`, password: PASSWORD };
        const answer = await app.send({ method: 'POST', url: '/api/auth/register', headers, payload });
        t.equal(answer.statusCode, 201);
        const list = { url: '/api/auth/sessions', headers: bearer(answer.json().access) };
        return (await app.send(list)).json().sessions[0].ip;
      };
      t.equal(await own(app, '203.0.113.1'), '127.0.0.1');
      const proxied = await watchedApp(t, { stores, env: { TRUST_PROXY: '127.0.0.1' } });
      t.equal(await own(proxied, '192.0.2.1, 203.0.113.1'), '203.0.113.1');
      for (const nonsense of ['x'.repeat(5000), "' OR 1=1", '\u00ff', '::1::1']) {
        t.ok((await own(proxied, nonsense)).length <= 45, 'no longer than its column');
      }
    });
    t.match((await send(meOf(access))).json(), { email });
  });
}

interface SlowAttack {
  server: ServerProcess;
  /** Seconds until each slow connection was closed, and what it was told. */
  cutOff: { name: string; seconds: number; told: string }[];
  /** The slowest answer to an honest caller meanwhile (ms). */
  slowestAnswer: number;
  answers: number;
}

async function attackSlowly(server: ServerProcess): Promise<SlowAttack> {
  const post = 'POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';
  const attacks = {
    silent: '',
    'slow headers': 'GET /api/auth/me HTTP/1.1\r\nHost: localhost\r\nX-Slow: ',
    'slow body': `${post}Content-Length: 1000\r\n\r\n{"email":"`,
    'slow chunks': `${post}Transfer-Encoding: chunked\r\n\r\n`,
  };
  let over = false;
  const honest = (async () => {
    const times: number[] = [];
    while (!over) {
      const start = performance.now();
      const answer = await fetch(`${server.url}/api/auth/me`);
      await answer.arrayBuffer();
      if (answer.status !== 401) throw new Error(`an honest caller was answered ${answer.status}`);
      times.push(performance.now() - start);
      await delay(200);
    }
    return times;
  })();
  const cutOff = await Promise.all(
    Object.entries(attacks)
      .flatMap((attack) => Array.from({ length: 10 }, () => attack))
      .map(async ([name, start]) => ({ name, ...(await dribble(server.port, start, name)) })),
  );
  over = true;
  const times = await honest;
  return { server, cutOff, slowestAnswer: Math.max(...times), answers: times.length };
}

/** Sends a byte or so each second, for ever, and tells when it was thrown out. */
async function dribble(
  port: number,
  start: string,
  name: string,
): Promise<{ seconds: number; told: string }> {
  const began = performance.now();
  const socket = connect(port, '127.0.0.1');
  let told = '';
  socket.on('data', (chunk) => {
    told += chunk;
  });
  // A reset is one way to be thrown out.
  socket.on('error', () => undefined);
  socket.write(start);
  const timer = setInterval(() => {
    if (name !== 'silent') socket.write(name === 'slow chunks' ? '1\r\n \r\n' : 'x');
  }, 1000);
  const closed = await Promise.race([
    once(socket, 'close').then(() => true),
    delay(20_000, false, { ref: false }),
  ]);
  clearInterval(timer);
  socket.destroy();
  return { seconds: closed ? (performance.now() - began) / 1000 : Number.POSITIVE_INFINITY, told };
}

/** Sends bytes as they are, and gives what comes back until the server closes. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let told = '';
  socket.on('data', (chunk) => {
    told += chunk;
  });
  socket.on('error', () => undefined);
  socket.write(text);
  await once(socket, 'close');
  return told;
}

t.test('a real server, on the wire', async (t) => {
  const { server, cutOff, slowestAnswer, answers } = await slow;

  await t.test('slow senders are cut off and hurt nobody', async (t) => {
    t.equal(cutOff.length, 40);
    for (const { name, seconds, told } of cutOff) {
      t.ok(seconds > 5 && seconds < 13, `${name}: ${seconds.toFixed(1)} s`);

      t.match(told, /^HTTP\/1\.1 408 /, name);
    }
    t.ok(answers > 10 && slowestAnswer < 1500, `${answers} answers, the slowest after ${slowestAnswer} ms`);
  });

  await t.test('what is no HTTP, or two requests in one', async (t) => {
    const host = 'Host: localhost\r\nConnection: close\r\n';
    const cases: [string, RegExp][] = [
      ['NONSENSE\r\n\r\n', /^HTTP\/1\.1 400 /],
      [`GET / HTTP/9.9\r\n${host}\r\n`, /^HTTP\/1\.1 400 /],
      [`GET /api/auth/me HTTP/1.1\r\n${host}Authorization: a\0b\r\n\r\n`, /^HTTP\/1\.1 400 /],
      [`GET /api/auth/me HTTP/1.1\r\n${host}X-Long: ${'x'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 (400|431) /],
      [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\n${host}\r\n`, /^HTTP\/1\.1 (400|431) /],
      [
        `POST /api/auth/login HTTP/1.1\r\n${host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        /^HTTP\/1\.1 400 /,
      ],
      [
        `POST /api/auth/login HTTP/1.1\r\n${host}Content-Length: 4\r\nContent-Length: 5\r\n\r\nxxxx`,
        /^HTTP\/1\.1 400 /,
      ],
      [
        `POST /api/auth/login HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
        /^HTTP\/1\.1 400 /,
      ],
      [`GET /api/auth/me HTTP/1.1\r\nConnection: close\r\n\r\n`, /^HTTP\/1\.1 400 /],
      [`GET /api/%zz HTTP/1.1\r\n${host}\r\n`, /^HTTP\/1\.1 400 [\s\S]+"code":"invalid_request"/],
      [`GET ${'/x'.repeat(5000)} HTTP/1.1\r\n${host}\r\n`, /^HTTP\/1\.1 404 [\s\S]+"code":"not_found"/],
      [
        `GET http://evil.example/api/auth/me HTTP/1.1\r\n${host}\r\n`,
        /^HTTP\/1\.1 40[14] [\s\S]+"code":"(token_missing|not_found)"/,
      ],
    ];
    for (const [text, expected] of cases) {
      const told = await raw(server.port, text);
      t.match(told, expected, text.slice(0, 60));
      t.notMatch(told, /HPE_|node:|Error/, 'gives nothing away');
    }
    t.equal((await fetch(`${server.url}/readyz`)).status, 200, 'and goes on');
  });
});
