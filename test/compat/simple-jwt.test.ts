import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { importDjango } from '../../src/commands/import-django.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import { createImportStore } from '../../src/stores/sql/import-store.js';
import { PLAIN } from '../resilience/people.js';
import { TEST_KEY } from '../support/app.js';
import { type Django, startDjango } from '../support/django-server.js';
import { makeTempDir } from '../support/process-records.js';
import { withServer } from '../support/server-process.js';
import { DIFFERENCES } from './differences.js';

const PASSWORD = 'correct horse battery';

const FIXTURE = `
def user(name, **fields):
    return User.objects.create_user(name, email=name + '@example.com', password='${PASSWORD}', **fields)
for name in ['anna', 'ben', 'carl', 'dora']:
    user(name)
user('idle', is_active=False)
User.objects.create_user('nopass', email='nopass@example.com')
User.objects.create_user('mixedCase', email='Mixed@Example.com', password='${PASSWORD}')
User.objects.create_user('spaced', email='spaced@example.com', password='  kept within  ')
for kind in ['refresh', 'verify']:
    spent = RefreshToken.for_user(User.objects.get(username='dora'))
    spent.blacklist()
    open(kind + '.token', 'w').write(str(spent))
User.objects.create_user('09121112233', password='${PASSWORD}')
User.objects.create_user('نام', email='nam@example.com', password='گذرواژهٔ من')
`;

type Claims = Record<string, unknown>;
interface Case {
  name: string;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
}
interface Answer {
  status: number;
  type: string;
  challenge: string | null;
  allow: string | null;
  body: unknown;
}

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token as SimpleJWT signs it, or as nobody should. */
function sign(claims: Claims, { header = {}, key = TEST_KEY, hash = 'sha256' } = {}): string {
  const text = `${base64({ typ: 'JWT', alg: 'HS256', ...header })}.${base64(claims)}`;
  return `${text}.${createHmac(hash, key).update(text).digest('base64url')}`;
}

const now = Math.floor(Date.now() / 1000);
let serial = 0;
function claimsOf(userId: unknown, type: string, changes: Claims = {}): Claims {
  serial += 1;
  const jti = serial.toString(16).padStart(32, '0');
  const claims = { token_type: type, exp: now + 600, iat: now - 5, jti, user_id: userId, ...changes };
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}

/** Tokens that both take or refuse; made anew at each call, because a refresh token can be used once. */
const tokens = (ids: Record<string, number>): Record<string, () => unknown> => {
  const of =
    (changes: Claims = {}, options = {}) =>
    () =>
      sign(claimsOf(ids.anna, 'refresh', changes), options);
  const access =
    (changes: Claims = {}, options = {}) =>
    () =>
      sign(claimsOf(ids.anna, 'access', changes), options);
  return {
    'a refresh token': of(),
    'an access token': access(),
    'a refresh token of a text id': of({ user_id: String(ids.anna) }),
    'a refresh token of an inactive user': of({ user_id: ids.idle }),
    'an access token of an inactive user': access({ user_id: ids.idle }),
    'a refresh token of nobody': of({ user_id: 999_999 }),
    'an access token of nobody': access({ user_id: 999_999 }),
    'an expired refresh token': of({ exp: now - 10 }),
    'an expired access token': access({ exp: now - 10 }),
    'without exp': of({ exp: undefined }),
    'without jti': of({ jti: undefined }),
    'without token_type': of({ token_type: undefined }),
    'of another token_type': of({ token_type: 'sliding' }),
    'without user_id': of({ user_id: undefined }),
    'a user_id that is a list': of({ user_id: [1] }),
    'an exp that is text': of({ exp: 'tomorrow' }),
    'an iat in the future': of({ iat: now + 500 }),
    'an nbf in the future': of({ nbf: now + 500 }),
    'without iat': of({ iat: undefined }),
    'of another key': of({}, { key: 'x'.repeat(32) }),
    'of HS512': of({}, { header: { alg: 'HS512' }, hash: 'sha512' }),
    'of alg none': () => `${base64({ typ: 'JWT', alg: 'none' })}.${base64(claimsOf(ids.anna, 'refresh'))}.`,
    'an aud': of({ aud: 'somebody else' }),
    'a header of no typ': of({}, { header: { typ: undefined } }),
    tampered: () =>
      sign(claimsOf(ids.anna, 'refresh')).replace(/\.[^.]+\./, `.${base64(claimsOf(ids.ben, 'refresh'))}.`),
    'a signature with padding': () => `${sign(claimsOf(ids.anna, 'refresh'))}=`,
    garbage: () => 'garbage',
    'two dots': () => 'a.b.c',
    empty: () => '',
    blank: () => '   ',
    null: () => null,
    'a number': () => 42,
    true: () => true,
    'a list': () => ['x'],
    'an object': () => ({ x: 1 }),
    'surrounded by spaces': () => `  ${sign(claimsOf(ids.anna, 'refresh'))} `,
    'very long': () => 'x'.repeat(9000),
    'with a null character': () => 'a\0b',
  };
};

const BOUNDARY = '-----------------------------9051914041544843365972754266';
const JSON_TYPE = { 'content-type': 'application/json' };

function* cases(ids: Record<string, number>, blacklisted: (kind: string) => string): Generator<Case> {
  const request = (name: string, path: string, body: unknown, more: Partial<Case> = {}): Case => ({
    name,
    path,
    method: 'POST',
    headers: JSON_TYPE,
    body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body),
    ...more,
  });
  const obtain = (name: string, body: unknown, more: Partial<Case> = {}) =>
    request(`obtain: ${name}`, '/api/token/', body, more);
  const right = { username: 'anna', password: PASSWORD };

  yield obtain('right', right);
  yield obtain('wrong password', { ...right, password: 'wrong' });
  yield obtain('unknown user', { ...right, username: 'nobody' });
  yield obtain('inactive user', { ...right, username: 'idle' });
  yield obtain('inactive user, wrong password', { username: 'idle', password: 'wrong' });
  yield obtain('a user without a password', { ...right, username: 'nopass' });
  yield obtain('in other letters', { ...right, username: 'MIXEDCASE' });
  yield obtain('in its own letters', { ...right, username: 'mixedCase' });
  yield obtain('Persian', { username: 'نام', password: 'گذرواژهٔ من' });
  yield obtain('a username in another form', { ...right, username: 'ａｎｎａ' });
  yield obtain('spaces around the username', { ...right, username: ' anna ' });
  yield obtain('spaces around the password', { ...right, password: ` ${PASSWORD} ` });
  yield obtain('a password that has spaces around it', { username: 'spaced', password: '  kept within  ' });
  yield obtain('a phone number as username', { ...right, username: '09121112233' });
  yield obtain('a phone number in another spelling', { ...right, username: '+98 (912) ۱۱۱-2233' });
  yield obtain('a phone number of nobody', { ...right, username: '09121112234' });
  yield obtain('digits that are no phone number', { ...right, username: '12345' });
  yield obtain('an address as username', { ...right, username: 'anna@example.com' });
  yield obtain('by e-mail', { email: 'anna@example.com', password: PASSWORD });
  yield obtain('fields it does not know', { ...right, remember: true, x: [1] });
  for (const field of ['username', 'password'] as const) {
    const { [field]: _, ...rest } = right;
    yield obtain(`no ${field}`, rest);
    for (const value of [
      '',
      '  ',
      null,
      42,
      4.5,
      true,
      false,
      ['anna'],
      { a: 1 },
      'x'.repeat(2000),
      'a\0b',
      '\ud800',
    ])
      yield obtain(`${field} ${JSON.stringify(value)?.slice(0, 20)}`, { ...right, [field]: value });
  }
  yield obtain('nothing in it', {});
  yield obtain('no body', undefined);
  yield obtain('no body, no type', undefined, { headers: {} });
  yield obtain('an empty body', '');
  yield obtain('spaces', '  ');
  for (const body of [
    '[]',
    'null',
    '"x"',
    '1',
    '1.5',
    'true',
    '{',
    '{"username":',
    '[{"username":"anna"}]',
    'NaN',
  ])
    yield obtain(`body ${body}`, body);
  yield obtain('a key twice', `{"username":"nobody","username":"anna","password":"${PASSWORD}"}`);
  yield obtain('__proto__', `{"__proto__":{},"username":"anna","password":"${PASSWORD}"}`);
  yield obtain('bytes that are no UTF-8', '{"username":"\xff"}');
  const form = new URLSearchParams(right).toString();
  yield obtain('a form', form, { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  yield obtain('a form, something missing', 'username=anna', {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  yield obtain('an empty form', '', { headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  const part = (name: string, value: string) =>
    `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  yield obtain(
    'a form in parts',
    `${part('username', 'anna')}${part('password', PASSWORD)}--${BOUNDARY}--\r\n`,
    {
      headers: { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` },
    },
  );
  for (const type of [
    'text/plain',
    'text/plain;charset=UTF-8',
    'application/xml',
    'application/octet-stream',
    'nonsense',
    'application/JSON',
  ])
    yield obtain(`as ${type}`, right, { headers: { 'content-type': type } });
  yield obtain('as JSON of a charset', right, {
    headers: { 'content-type': 'application/json; charset=utf-8' },
  });
  for (const type of ['text/plain;charset=UTF-8', 'application/xml'])
    yield obtain(`nothing, as ${type}`, '', { headers: { 'content-type': type } });
  yield obtain('an answer as XML asked for', right, { headers: { ...JSON_TYPE, accept: 'application/xml' } });
  yield obtain('an expired bearer token along', right, {
    headers: {
      ...JSON_TYPE,
      authorization: `Bearer ${sign(claimsOf(ids.anna, 'access', { exp: now - 9 }))}`,
    },
  });
  for (const path of ['/api/token/', '/api/token/refresh/', '/api/token/verify/']) {
    for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
      yield request(`${method} ${path}`, path, undefined, { method, headers: {} });
    yield request(`POST ${path} without its slash`, path.slice(0, -1), right);
  }
  yield request('no such path', '/api/token/nothing/', right);

  for (const [path, field] of [
    ['refresh', 'refresh'],
    ['verify', 'token'],
  ] as const) {
    for (const [name, make] of Object.entries(tokens(ids)))
      yield request(`${path}: ${name}`, `/api/token/${path}/`, { [field]: make() });
    yield request(`${path}: nothing`, `/api/token/${path}/`, {});
    yield request(`${path}: no body`, `/api/token/${path}/`, undefined);
    yield request(`${path}: a list for a body`, `/api/token/${path}/`, '[]');
    yield request(`${path}: blacklisted`, `/api/token/${path}/`, { [field]: blacklisted(path) });
    const once = sign(claimsOf(ids.ben, 'refresh'));
    yield request(`${path}: of ben, fresh`, '/api/token/refresh/', { refresh: once });
    yield request(`${path}: of ben, spent`, `/api/token/${path}/`, { [field]: once });
    yield request(
      `${path}: as a form`,
      `/api/token/${path}/`,
      `${field}=${sign(claimsOf(ids.ben, 'refresh'))}`,
      {
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
    );
  }

  const bearer = (name: string, authorization: string | undefined) =>
    request(`bearer: ${name}`, '/api/token/revoke-all/', undefined, {
      headers: authorization === undefined ? {} : { authorization },
    });
  const carl = () => sign(claimsOf(ids.carl, 'access'));
  yield bearer('none', undefined);
  yield bearer('empty', '');
  yield bearer('the scheme alone', 'Bearer');
  yield bearer('of two words', 'Bearer a b');
  yield bearer('another scheme', 'Basic YTpi');
  yield bearer('without a scheme', carl());
  yield bearer('garbage', 'Bearer garbage');
  yield bearer('a refresh token', `Bearer ${sign(claimsOf(ids.carl, 'refresh'))}`);
  for (const [name, make] of Object.entries(tokens(ids))) {
    const token = make();
    if (name.includes('access token') && name !== 'an access token') yield bearer(name, `Bearer ${token}`);
  }
  yield bearer('in small letters', `bearer ${sign(claimsOf(999_998, 'access'))}`);
  yield bearer('good', `Bearer ${carl()}`);
  // It looks at no body.
  for (const [name, body] of [
    ['spaced', '[]'],
    ['mixedCase', 'null'],
  ] as const) {
    const authorization = `Bearer ${sign(claimsOf(ids[name], 'access'))}`;
    yield request(`bearer: good, with ${body}`, '/api/token/revoke-all/', body, {
      headers: { ...JSON_TYPE, authorization },
    });
  }
}

async function ask(base: string, { method, path, headers, body }: Case): Promise<Answer> {
  const response = await fetch(base + path, {
    method,
    headers: { 'accept-language': 'en', ...headers },
    // Latin-1, so that a case can hold any byte; what is above it goes as UTF-8.
    body: body === undefined ? undefined : /[\u0100-\uffff]/.test(body) ? body : Buffer.from(body, 'latin1'),
    redirect: 'manual',
  });
  const text = await response.text();
  return {
    status: response.status,
    type: (response.headers.get('content-type') ?? '').replace(/; ?charset=utf-8$/i, ''),
    challenge: response.headers.get('www-authenticate'),
    // DRF sends it with every answer; RFC 9110 §15.5.6 asks for it with this one.
    allow: response.status === 405 ? response.headers.get('allow') : null,
    body: shapeOf(text),
  };
}

/** A token is as good as another of its kind. */
function shapeOf(text: string): unknown {
  try {
    return JSON.parse(text, (_key, value) => {
      // What follows is Python's own.
      if (/^JSON parse error - /.test(value)) return 'JSON parse error';
      if (typeof value !== 'string' || !/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(value)) return value;
      const claims = JSON.parse(Buffer.from(value.split('.')[1]!, 'base64url').toString());
      return `<${claims.token_type} token>`;
    });
  } catch {
    return text;
  }
}

/** Both, with the same users. */
async function startBoth(
  t: Test,
): Promise<{ django: Django; latchkey: string; ids: Record<string, number> }> {
  const django = await startDjango(t, { signingKey: TEST_KEY, fixture: FIXTURE });
  const dump = join(django.dir, 'dump.json');
  writeFileSync(dump, django.manage('dumpdata', 'auth.user', 'token_blacklist'));
  const rows = JSON.parse(readFileSync(dump, 'utf8')) as {
    model: string;
    pk: number;
    fields: { username: string };
  }[];
  const users = rows.filter(({ model }) => model === 'auth.user');
  const dataDir = makeTempDir('data');
  const database = openDatabase({ url: undefined, dataDir });
  await database.migrate();
  const screen = { write: () => undefined };
  const store = createImportStore(database.db, database.dialect);
  const needs = { store, defaultRole: 'viewer', phoneRegion: 'IR', screen, now: Date.now };
  const report = JSON.parse(await importDjango(needs, dump, { json: true }));
  t.same(report.faults, []);
  t.equal(report.users.imported, users.length);
  t.same(report.revoked_tokens, { imported: 2, expired: 0 });
  await database.close();
  const { url } = await withServer(t, {
    env: { ...PLAIN, LATCHKEY_DATA_DIR: dataDir, JWT_USER_ID: 'legacy_id', LEGACY_JWT_KEY: TEST_KEY },
  });
  return {
    django,
    latchkey: url,
    ids: Object.fromEntries(users.map(({ pk, fields }) => [fields.username, pk])),
  };
}

t.test('SimpleJWT and Latchkey answer alike', async (t) => {
  const { django, latchkey, ids } = await startBoth(t);
  const blacklisted = (kind: string) => readFileSync(join(django.dir, `${kind}.token`), 'utf8');
  const all = [...cases(ids, blacklisted)];
  t.ok(all.length > 150, `${all.length} requests`);
  t.equal(new Set(all.map(({ name }) => name)).size, all.length, 'each of its own name');
  const expected = new Set(DIFFERENCES.flatMap(({ cases }) => cases));
  const met = new Set<string>();
  for (const each of all) {
    const [theirs, ours] = await Promise.all([ask(django.url, each), ask(latchkey, each)]);
    if (!expected.has(each.name)) t.same(ours, theirs, each.name);
    else if (JSON.stringify(ours) !== JSON.stringify(theirs)) met.add(each.name);
    t.ok(ours.status < 500, `${each.name}: ${ours.status}`);
  }
  t.same(
    [...expected].filter((name) => !met.has(name)),
    [],
    'nothing is said to differ that does not',
  );

  await t.test('and take tokens from each other', async (t) => {
    const obtain = async (base: string, username: string) => {
      const answer = await post(`${base}/api/token/`, { username, password: PASSWORD });
      t.equal(answer.status, 200, username);
      return answer.body as { access: string; refresh: string };
    };
    const me = async (url: string, access: string) => {
      const response = await fetch(url, { headers: { authorization: `Bearer ${access}` } });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const [theirs, ours] = [await obtain(django.url, 'anna'), await obtain(latchkey, 'anna')];
    const atDjango = await me(`${django.url}/api/me/`, ours.access);
    t.same(
      atDjango,
      { status: 200, body: { id: ids.anna, username: 'anna' } },
      'an access token of ours there',
    );
    t.equal((await post(`${django.url}/api/token/verify/`, { token: ours.refresh })).status, 200);
    t.equal((await post(`${django.url}/api/token/refresh/`, { refresh: ours.refresh })).status, 200);
    const here = await me(`${latchkey}/api/auth/me`, theirs.access);
    t.match(here, { status: 200, body: { legacy_id: ids.anna, username: 'anna' } }, 'one of theirs here');
    const renewed = await post(`${latchkey}/api/token/refresh/`, { refresh: theirs.refresh });
    t.equal(renewed.status, 200);
    t.equal((await me(`${django.url}/api/me/`, (renewed.body as { access: string }).access)).status, 200);
  });
});

t.test('the migration guide tells every difference', async (t) => {
  const guide = readFileSync(new URL('../../../docs/migrating-from-django.md', import.meta.url), 'utf8');
  const rows = guide
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.slice(2, -2).split(' | '));
  for (const { what, why } of DIFFERENCES)
    t.ok(
      rows.some(([first, second]) => first === what && second === why),
      what,
    );
});

async function post(url: string, body: object): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}
