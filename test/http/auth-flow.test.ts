import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import t, { type Test } from 'tap';
import { bearer, PASSWORD, STORES, signUp, type TestApp } from '../support/app.js';
import { decode, expectProblem, forge, meOf, type Pair, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TOKEN_ID = /^[0-9a-f]{32}$/;
const ISO_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

interface UserBody {
  id: string;
  legacy_id: number;
  email: string;
  username: string | null;
  first_name: string;
  last_login: string;
  date_joined: string;
}

interface EventBody {
  id: number;
  type: string;
  session_id: string | null;
  reason: string | null;
  ip: string;
}

interface SessionBody {
  id: string;
  current: boolean;
}

const post = (url: string, payload?: object, headers: Record<string, string> = {}) =>
  ({ method: 'POST', url, headers, ...(payload && { payload }) }) as const;
const register = (payload: object) => post('/api/auth/register', payload);
const login = (payload: object) => post('/api/auth/login', payload);
const logout = (tokens: { access?: string; refresh?: string }) =>
  post(
    '/api/auth/logout',
    tokens.refresh === undefined ? undefined : { refresh: tokens.refresh },
    tokens.access === undefined ? {} : bearer(tokens.access),
  );
const logoutAll = (access: string) => post('/api/auth/logout-all', undefined, bearer(access));
const get = (url: string, access: string) => ({ url, headers: bearer(access) });

const freshEmail = (): string => `p${randomUUID().slice(0, 13)}@example.com`;
const freshName = (): string => `n${randomUUID().slice(0, 13)}`;

/** A lifetime that is `seconds`, or a little less because time has passed since. */
const about = (t: Test, actual: number, seconds: number, what: string) =>
  t.ok(actual <= seconds && actual > seconds - 5, `${what}: ${actual} is about ${seconds}`);

async function logIn({ send }: TestApp, email: string): Promise<Pair> {
  const response = await send(login({ email, password: PASSWORD }));
  if (response.statusCode !== 200) throw new Error(`login answered ${response.body}`);
  return response.json();
}

async function refreshed({ send }: TestApp, refresh: string): Promise<Pair> {
  const response = await send(refreshWith(refresh));
  if (response.statusCode !== 200) throw new Error(`refresh answered ${response.body}`);
  return response.json();
}

async function eventsOf({ send }: TestApp, access: string): Promise<EventBody[]> {
  return (await send(get('/api/auth/activity?limit=100', access))).json().events;
}

/** Both tokens of a pair are refused as those of a session that ended for this reason. */
async function expectEnded(
  t: Test,
  { send }: TestApp,
  pair: Pick<Pair, 'access' | 'refresh'>,
  reason: string,
) {
  expectProblem(t, await send(meOf(pair.access)), 401, 'token_revoked');
  expectProblem(t, await send(verifyOf(pair.access)), 401, 'token_revoked');
  expectProblem(t, await send(verifyOf(pair.refresh)), 401, 'session_ended', { reason });
  expectProblem(t, await send(refreshWith(pair.refresh)), 401, 'session_ended', { reason });
}

/** Without spending the refresh token: both tokens are good. */
async function expectLive(t: Test, { send }: TestApp, pair: Pick<Pair, 'access' | 'refresh'>) {
  t.equal((await send(meOf(pair.access))).statusCode, 200, 'the access token is good');
  t.equal((await send(verifyOf(pair.refresh))).statusCode, 200, 'the refresh token is good');
}

for (const stores of STORES) {
  t.test(stores, async (t) => {
    const app = await watchedApp(t, { stores });
    await t.test('registering and logging in', (t) => registering(t, app));
    await t.test('what is refused at the door', (t) => refusals(t, app));
    await t.test('claims', (t) => claims(t, app));
    await t.test('the own profile', (t) => profile(t, app));
    await t.test('logging out', (t) => loggingOut(t, app));
    await t.test('sessions', (t) => sessions(t, app));
    await t.test('activity and export', (t) => activity(t, app));
    await t.test('disabled accounts', (t) => disabled(t, app));
    await t.test('deleted accounts', (t) => deleted(t, app));
    await t.test('refreshing', (t) => refreshing(t, app));
    await t.test('lifetimes', (t) => lifetimes(t, app));
  });
}

async function registering(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const email = freshEmail();
  const username = freshName();

  await t.test('a registration answers with a pair and the user, to the last key', async (t) => {
    const names = { first_name: ' Zoë  Ann ', last_name: 'سارا', user_type: 'business' };
    const response = await send(
      register({
        ...names,
        email: email.replace('p', 'P'),
        username: username.toUpperCase(),
        password: PASSWORD,
        password2: PASSWORD,
      }),
    );
    t.equal(response.statusCode, 201);
    t.equal(response.headers['cache-control'], 'no-store');
    const kept = response.cookies.map(({ name }) => name);
    t.strictSame(kept, ['latchkey_device'], 'no token in a cookie unless asked for');
    const { access, refresh, user, ...rest } = response.json();
    t.strictSame(rest, { token_type: 'Bearer', expires_in: 900, refresh_expires_in: 604_800 });
    t.match(access, COMPACT_JWS);
    t.match(refresh, COMPACT_JWS);
    const { id, legacy_id, date_joined, last_login, ...fields } = user;
    t.strictSame(fields, {
      email: email.replace('p', 'P'),
      username: username.toUpperCase(),
      phone: null,
      first_name: 'Zoë Ann',
      last_name: 'سارا',
      user_type: 'business',
      role: 'viewer',
      permissions: [],
      is_staff: false,
      is_superuser: false,
      is_active: true,
      email_verified: false,
      phone_verified: false,
    });
    t.match(id, UUID_V7);
    t.ok(Number.isSafeInteger(legacy_id) && legacy_id > 0);
    t.match(date_joined, ISO_UTC);
    t.equal(last_login, date_joined, 'it is the first login');
  });

  await t.test('legacy ids rise, ids are in order, and what is left out is null or empty', async (t) => {
    const users: UserBody[] = [];
    for (let n = 0; n < 3; n += 1) users.push((await signUp(app)).user as UserBody);
    const [first, second, third] = users as [UserBody, UserBody, UserBody];
    t.ok(first.legacy_id < second.legacy_id && second.legacy_id < third.legacy_id);
    t.strictSame(
      [...users].sort((a, b) => (a.id < b.id ? -1 : 1)),
      users,
    );
    t.match(first, { username: null, phone: null, first_name: '', last_name: '', user_type: null });
  });

  await t.test('login takes the e-mail address or the username in any case', async (t) => {
    app.advance(2 * SECOND);
    for (const names of [
      { email },
      { email: email.toUpperCase() },
      { email: ` ${email} ` },
      { username },
      { username: username.toUpperCase() },
    ]) {
      const response = await send(login({ ...names, password: PASSWORD }));
      t.equal(response.statusCode, 200, JSON.stringify(names));
      t.equal(response.headers['cache-control'], 'no-store');
      const { access, refresh, user, ...rest } = response.json();
      t.strictSame(rest, { token_type: 'Bearer', expires_in: 900, refresh_expires_in: 604_800 });
      t.match([access, refresh], [COMPACT_JWS, COMPACT_JWS]);
      t.equal(user.email, email.replace('p', 'P'), 'as it was written at the registration');
      t.ok(user.last_login > user.date_joined);
      t.strictSame((await send(meOf(access))).json(), user, 'and /me says the same');
    }
  });

  await t.test('a trailing slash never matters', async (t) => {
    const password = PASSWORD;
    t.equal((await send(post('/api/auth/register/', { email: freshEmail(), password }))).statusCode, 201);
    const answer = await send(post('/api/auth/login/', { email, password }));
    t.equal(answer.statusCode, 200);
    const pair: Pair = answer.json();
    for (const url of ['me', 'me/export', 'sessions', 'activity', 'activity/?limit=1']) {
      const path = url.includes('?') ? url : `${url}/`;
      t.equal((await send(get(`/api/auth/${path}`, pair.access))).statusCode, 200, path);
    }
    t.equal((await send(post('/api/auth/verify/', { token: pair.access }))).statusCode, 200);
    t.equal((await send(post('/api/auth/refresh/', { refresh: pair.refresh }))).statusCode, 200);
    t.equal((await send(post('/api/auth/logout/', undefined, bearer(pair.access)))).statusCode, 200);
    for (const url of ['/healthz/', '/readyz/', '/.well-known/jwks.json/']) {
      t.equal((await send({ url })).statusCode, 200, url);
    }
  });

  await t.test('a password is the same in every Unicode form', async (t) => {
    // A ligature and a letter with its accent in one; then taken apart.
    const typed = { composed: 'ﬁrst café ﬁsh', decomposed: 'first cafe\u0301 fish' };
    const someone = freshEmail();
    const again = { password: typed.composed, password2: typed.decomposed };
    t.equal((await send(register({ email: someone, ...again }))).statusCode, 201, 'repeated in another form');
    for (const password of Object.values(typed)) {
      t.equal((await send(login({ email: someone, password }))).statusCode, 200, password);
    }
    const answer = await send(login({ email: someone, password: 'FIRST CAFÉ FISH' }));
    expectProblem(t, answer, 401, 'invalid_credentials');
  });

  await t.test('verify says what a token of either kind is', async (t) => {
    const { access, refresh, user } = await signUp(app);
    for (const [token, type] of [
      [access, 'access'],
      [refresh, 'refresh'],
    ] as const) {
      const { exp, sid } = decode(token).claims;
      const answer = await send(verifyOf(token));
      t.equal(answer.statusCode, 200);
      t.equal(answer.headers['cache-control'], 'no-store');
      t.strictSame(answer.json(), {
        valid: true,
        token_type: type,
        user_id: user.id,
        session_id: sid,
        expires_at: new Date(exp * 1000).toISOString().replace('.000', ''),
      });
    }
  });
}

async function refusals(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const users = () => app.app.database.db.selectFrom('users').select('id').execute();
  const email = freshEmail();
  const username = freshName();
  await signUp(app, { email, username });
  const before = await users();

  await t.test('what is taken, all of it at once', async (t) => {
    const taken = { email: 'email:taken', username: 'username:taken' };
    const cases = [
      [{ email }, 'email_taken', [taken.email]],
      [{ email: email.toUpperCase() }, 'email_taken', [taken.email]],
      [{ email: freshEmail(), username: username.toUpperCase() }, 'username_taken', [taken.username]],
      [{ email, username }, 'email_taken', [taken.email, taken.username]],
    ] as const;
    for (const [fields, code, errors] of cases) {
      const answer = await send(register({ password: PASSWORD, ...fields }));
      expectProblem(t, answer, 409, code, { fields: [...errors] });
    }
    const other = await signUp(app);
    const both = { email: other.email, username, password: PASSWORD };
    expectProblem(t, await send(register(both)), 409, 'email_taken', {
      fields: [taken.email, taken.username],
    });
    before.push({ id: other.user.id });
  });

  await t.test('unsuitable passwords', async (t) => {
    const own = { username: 'Katherine-Janeway', first_name: 'Kathryn', last_name: 'Janeway Voy' };
    const someone = 'captain.janeway@example.com';
    const cases = [
      ['a', 'too_short'],
      ['1234567', 'too_short'],
      ['🔑🔑🔑🔑🔑🔑🔑', 'too_short'],
      ['x'.repeat(129), 'too_long'],
      ['password123', 'too_common'],
      ['PassWord123', 'too_common'],
      ['12345678', 'too_common'],
      [someone, 'own_data'],
      ['Captain.Janeway', 'own_data'],
      ['katherine-janeway', 'own_data'],
      ['Janeway VOY', 'own_data'],
      ['kathryn janeway voy', 'own_data'],
    ] as const;
    for (const [password, code] of cases) {
      const answer = await send(register({ ...own, email: someone, password }));
      expectProblem(t, answer, 400, 'weak_password', { fields: [`password:${code}`] });
    }
  });

  await t.test('fields that are wrong, missing or unknown', async (t) => {
    const good = { email: freshEmail(), password: PASSWORD };
    const cases: [object, string[]][] = [
      [{}, ['email:required', 'password:required']],
      [{ email: good.email }, ['password:required']],
      [{ ...good, email: 'nobody' }, ['email:invalid_format']],
      [{ ...good, email: 'a@b' }, ['email:invalid_format']],
      [{ ...good, email: `${'a'.repeat(65)}@example.com` }, ['email:invalid_format']],
      [{ ...good, email: 'a@example.com\r\nBcc: b@example.com' }, ['email:invalid_format']],
      [{ ...good, email: 'a\u0000@example.com' }, ['email:invalid_format']],
      [{ ...good, email: '' }, ['email:too_short']],
      [{ ...good, email: 'a'.repeat(321) }, ['email:too_long']],
      [{ ...good, password: '' }, ['password:too_short']],
      [{ ...good, password: 'x'.repeat(1025) }, ['password:too_long']],
      [{ ...good, username: 'a@b.example' }, ['username:invalid_format']],
      [{ ...good, username: '09123456789' }, ['username:invalid_format']],
      [{ ...good, username: '' }, ['username:invalid_format']],
      [{ ...good, username: 'a b' }, ['username:invalid_format']],
      [{ ...good, username: 'x'.repeat(151) }, ['username:invalid_format']],
      [{ ...good, username: 'x'.repeat(601) }, ['username:too_long']],
      [{ ...good, first_name: 'a\u0000b' }, ['first_name:invalid_format']],
      [{ ...good, last_name: 'a\ud800b' }, ['last_name:invalid_format']],
      [{ ...good, first_name: 'x'.repeat(151) }, ['first_name:invalid_format']],
      [{ ...good, user_type: 'admin' }, ['user_type:invalid_value']],
      [{ ...good, username: '@', user_type: 'x' }, ['username:invalid_format', 'user_type:invalid_value']],
      [{ ...good, role: 'admin' }, ['role:unknown']],
      [{ ...good, is_staff: true, is_superuser: true }, ['is_staff:unknown', 'is_superuser:unknown']],
      [{ ...good, id: randomUUID(), legacy_id: 1 }, ['id:unknown', 'legacy_id:unknown']],
    ];
    for (const field of [
      'email',
      'password',
      'password2',
      'username',
      'first_name',
      'last_name',
      'user_type',
    ]) {
      for (const value of [null, 1, true, ['x'], { $ne: null }]) {
        cases.push([{ ...good, [field]: value }, [`${field}:invalid_type`]]);
      }
    }
    for (const [body, fields] of cases) {
      expectProblem(t, await send(register(body)), 400, 'invalid_request', { fields });
    }
    const differing = { ...good, password2: `${PASSWORD}!` };
    const fields = ['password2:mismatch'];
    expectProblem(t, await send(register(differing)), 400, 'password_mismatch', { fields });
  });

  await t.test('none of that made an account', async (t) => {
    const ids = (rows: { id: string }[]) => rows.map(({ id }) => id).sort();
    t.strictSame(ids(await users()), ids(before));
  });

  await t.test('a login names one account and gives nothing away', async (t) => {
    const password = PASSWORD;
    const cases: [object, string[]][] = [
      [{}, ['password:required']],
      [{ password }, ['email:required']],
      [{ email, username, password }, ['username:unknown']],
      [{ email }, ['password:required']],
      [{ email, password, remember: true }, ['remember:unknown']],
    ];
    for (const [body, fields] of cases) {
      expectProblem(t, await send(login(body)), 400, 'invalid_request', { fields });
    }
    const wrong = [
      { email, password: 'not the password' },
      { email, password: '' },
      { email: freshEmail(), password },
      { email: 'not an address', password },
      { email: '', password },
      { username: 'no such person', password },
      { username, password: ` ${password}` },
      { username: '\u0000', password: '\ud800' },
    ];
    const bodies = new Set<string>();
    for (const body of wrong) {
      const { request_id, ...said } = expectProblem(t, await send(login(body)), 401, 'invalid_credentials');
      bodies.add(JSON.stringify(said));
    }
    t.equal(bodies.size, 1, 'whatever was wrong, the answer is the same');
  });
}

async function claims(t: Test, app: TestApp): Promise<void> {
  await t.test('exactly those of the contract; what is null is absent', async (t) => {
    const bare = await signUp(app);
    const full = await signUp(app, {
      username: freshName(),
      first_name: 'Ada',
      last_name: 'Lovelace',
      user_type: 'individual',
    });
    for (const { access, refresh, user, email } of [bare, full]) {
      const { username, user_type, first_name, last_name } = user as unknown as Record<string, string | null>;
      const [a, r] = [decode(access), decode(refresh)];
      t.strictSame(
        [a.header, r.header],
        [
          { alg: 'HS256', typ: 'at+jwt' },
          { alg: 'HS256', typ: 'rt+jwt' },
        ],
      );
      for (const { jti, sid, iat } of [a.claims, r.claims]) {
        t.match([jti, sid], [TOKEN_ID, TOKEN_ID]);
        about(t, Math.floor(app.app.clock() / 1000), iat + 4, 'iat is now');
      }
      t.not(a.claims.jti, r.claims.jti);
      t.equal(a.claims.sid, r.claims.sid);
      t.equal(a.claims.iat, r.claims.iat);
      const registered = { iss: 'latchkey', sub: user.id, user_id: user.id, sid: a.claims.sid };
      t.strictSame(r.claims, {
        ...registered,
        jti: r.claims.jti,
        iat: r.claims.iat,
        exp: r.claims.iat + 604_800,
        token_type: 'refresh',
      });
      t.strictSame(a.claims, {
        ...registered,
        jti: a.claims.jti,
        iat: a.claims.iat,
        exp: a.claims.iat + 900,
        token_type: 'access',
        email,
        first_name,
        last_name,
        role: 'viewer',
        permissions: [],
        is_staff: false,
        is_superuser: false,
        ...(username === null ? {} : { username }),
        ...(user_type === null ? {} : { user_type }),
      });
    }
    t.ok('username' in decode(full.access).claims && 'user_type' in decode(full.access).claims);
  });
}

async function profile(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const patch = (access: string, payload: object) =>
    send({ method: 'PATCH', url: '/api/auth/me', headers: bearer(access), payload });

  await t.test('a change shows in /me at once and in the claims of the next refresh', async (t) => {
    const person = await signUp(app);
    const username = freshName();
    let pair: Pick<Pair, 'access' | 'refresh'> = person;
    let expected: Record<string, unknown> = (await send(meOf(person.access))).json();
    for (const [change, shown] of [
      [{ first_name: ' Grace ' }, { first_name: 'Grace' }],
      [{ last_name: 'Hopper' }, { last_name: 'Hopper' }],
      [{ username }, { username }],
      [{ username: username.toUpperCase() }, { username: username.toUpperCase() }],
      [{ user_type: 'individual' }, { user_type: 'individual' }],
      [
        { first_name: '', last_name: 'H', user_type: 'business' },
        { first_name: '', last_name: 'H', user_type: 'business' },
      ],
    ]) {
      expected = { ...expected, ...shown };
      const answer = await patch(person.access, change!);
      t.equal(answer.statusCode, 200);
      t.strictSame(answer.json(), expected);
      t.strictSame((await send(meOf(person.access))).json(), expected, 'the same token, the new name');
      const stale = decode(pair.access).claims;
      pair = await refreshed(app, pair.refresh);
      t.match(decode(pair.access).claims, shown!, 'the next access token tells it');
      t.not(decode(pair.access).claims.jti, stale.jti);
    }
  });

  await t.test('what may not be changed is refused, and nothing of the request is done', async (t) => {
    const person = await signUp(app, { first_name: 'Alan' });
    const other = await signUp(app, { username: freshName() });
    const before = (await send(meOf(person.access))).json();
    const { username } = other.user as UserBody;
    const cases: [object, string[]][] = [
      [{}, [':invalid_value']],
      [{ first_name: 'B', role: 'admin' }, ['role:unknown']],
      [{ is_staff: true }, ['is_staff:unknown']],
      [{ is_superuser: true, permissions: ['*'] }, ['is_superuser:unknown', 'permissions:unknown']],
      [{ is_active: false }, ['is_active:unknown']],
      [{ email: freshEmail() }, ['email:unknown']],
      [{ phone: '+989123456789' }, ['phone:unknown']],
      [{ password: PASSWORD }, ['password:unknown']],
      [{ legacy_id: 1 }, ['legacy_id:unknown']],
      [{ email_verified: true }, ['email_verified:unknown']],
      [{ first_name: 'B', user_type: 'root' }, ['user_type:invalid_value']],
      [{ first_name: 'B', username: 'x@y' }, ['username:invalid_format']],
      [{ first_name: null }, ['first_name:invalid_type']],
    ];
    for (const [body, fields] of cases) {
      expectProblem(t, await patch(person.access, body), 400, 'invalid_request', { fields });
    }
    const taken = { first_name: 'B', username: username!.toUpperCase() };
    const fields = ['username:taken'];
    expectProblem(t, await patch(person.access, taken), 409, 'username_taken', { fields });
    expectProblem(t, await patch(person.refresh, { first_name: 'B' }), 401, 'token_invalid');
    t.strictSame((await send(meOf(person.access))).json(), before);
  });
}

async function loggingOut(t: Test, app: TestApp): Promise<void> {
  const { send } = app;

  await t.test('by either token, again and again', async (t) => {
    for (const kind of ['access', 'refresh'] as const) {
      const person = await signUp(app);
      for (let n = 0; n < 3; n += 1) {
        const answer = await send(logout({ [kind]: person[kind] }));
        t.equal(answer.statusCode, 200);
        const { message, ...rest } = answer.json();
        t.type(message, 'string');
        t.strictSame(rest, {});
      }
      await expectEnded(t, app, person, 'logout');
    }
  });

  await t.test('with both tokens of one session, and with the tokens of two', async (t) => {
    const { email, ...first } = await signUp(app);
    const [second, third] = [await logIn(app, email), await logIn(app, email)];
    t.equal((await send(logout(second))).statusCode, 200);
    await expectEnded(t, app, second, 'logout');
    await expectLive(t, app, first);
    t.equal((await send(logout({ access: first.access, refresh: third.refresh }))).statusCode, 200);
    await expectEnded(t, app, first, 'logout');
    await expectEnded(t, app, third, 'logout');
  });

  await t.test("with the tokens of two people's sessions", async (t) => {
    const [one, two] = [await signUp(app), await signUp(app)];
    t.equal((await send(logout({ access: one.access, refresh: two.refresh }))).statusCode, 200);
    await expectEnded(t, app, one, 'logout');
    await expectEnded(t, app, two, 'logout');
  });

  await t.test('with one bad token nothing ends', async (t) => {
    const good = await signUp(app);
    const { header, claims } = decode(good.access);
    const forged = forge(header, claims, { key: 'another key, also of thirty-two bytes' });
    for (const tokens of [
      { access: forged, refresh: good.refresh },
      { access: good.access, refresh: 'nonsense' },
      { access: good.access, refresh: '' },
      { access: good.refresh, refresh: good.refresh },
      { access: good.access, refresh: good.access },
      { access: 'nonsense' },
    ]) {
      expectProblem(t, await send(logout(tokens)), 401, 'token_invalid');
    }
    const answer = await send(post('/api/auth/logout', { refresh: null }, bearer(good.access)));
    expectProblem(t, answer, 400, 'invalid_request', { fields: ['refresh:invalid_type'] });
    const unknown = await send(post('/api/auth/logout', { token: good.refresh }));
    expectProblem(t, unknown, 400, 'invalid_request', { fields: ['token:unknown'] });
    await expectLive(t, app, good);
  });

  await t.test('without any token', async (t) => {
    expectProblem(t, await send(post('/api/auth/logout')), 401, 'token_missing');
    expectProblem(t, await send(post('/api/auth/logout', {})), 401, 'token_missing');
    expectProblem(t, await send(post('/api/auth/logout-all')), 401, 'token_missing');
    expectProblem(t, await send(post('/api/auth/refresh')), 401, 'token_missing');
    expectProblem(t, await send(post('/api/auth/refresh', {})), 401, 'token_missing');
  });

  await t.test('everywhere: every session of one person, none of another', async (t) => {
    const { email, ...first } = await signUp(app);
    const other = await signUp(app);
    const mine = [first, await logIn(app, email), await logIn(app, email)];
    const answer = await send(logoutAll(mine[1]!.access));
    t.equal(answer.statusCode, 200);
    const { message, ...rest } = answer.json();
    t.type(message, 'string');
    t.strictSame(rest, {});
    for (const pair of mine) await expectEnded(t, app, pair, 'logout_all');
    await expectLive(t, app, other);
    expectProblem(t, await send(logoutAll(first.access)), 401, 'token_revoked');
    expectProblem(t, await send(logoutAll(other.refresh)), 401, 'token_invalid');
    await expectLive(t, app, await logIn(app, email));
  });
}

async function sessions(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const end = (id: string, access: string) =>
    send({ method: 'DELETE', url: `/api/auth/sessions/${id}`, headers: bearer(access) });
  const list = async (access: string): Promise<SessionBody[]> =>
    (await send(get('/api/auth/sessions', access))).json().sessions;
  const sid = (pair: { access: string }) => decode(pair.access).claims.sid;

  await t.test('the list, to the last key', async (t) => {
    const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0';
    const { email, access } = await signUp(app);
    app.advance(2 * SECOND);
    const answer = await send({
      ...login({ email, password: PASSWORD }),
      headers: { 'user-agent': firefox },
      remoteAddress: '203.0.113.9',
    });
    const pair: Pair = answer.json();
    const { sessions, ...rest } = (await send(get('/api/auth/sessions', pair.access))).json();
    t.strictSame(rest, {});
    const [newest, oldest] = sessions;
    const { created_at, last_used_at, expires_at, ...fields } = newest;
    t.strictSame(fields, {
      id: sid(pair),
      current: true,
      ip: '203.0.113.9',
      user_agent: firefox,
      device: 'Firefox on Linux',
    });
    t.match([created_at, last_used_at, expires_at], [ISO_UTC, ISO_UTC, ISO_UTC]);
    t.equal(Date.parse(expires_at), decode(pair.refresh).claims.exp * 1000);
    t.match(oldest, { id: sid({ access }), current: false, ip: '127.0.0.1' });
    t.ok(created_at > oldest.created_at, 'newest first');
    t.equal(sessions.length, 2);
    t.strictSame(
      (await list(access)).map(({ current }) => current),
      [false, true],
      'current is whoever asks',
    );
  });

  await t.test('one may end any of the own, and only those', async (t) => {
    const { email, ...first } = await signUp(app);
    const [second, third] = [await logIn(app, email), await logIn(app, email)];
    const stranger = await signUp(app);

    expectProblem(t, await end(sid(second), stranger.access), 404, 'not_found');
    expectProblem(t, await end(randomUUID().replaceAll('-', ''), first.access), 404, 'not_found');
    await expectLive(t, app, second);

    const gone = await end(sid(second), first.access);
    t.equal(gone.statusCode, 204);
    t.equal(gone.body, '');
    await expectEnded(t, app, second, 'session_deleted');
    expectProblem(t, await end(sid(second), first.access), 404, 'not_found');
    t.strictSame((await list(first.access)).map(({ id }) => id).sort(), [sid(first), sid(third)].sort());
    t.equal((await end(sid(first), first.access)).statusCode, 204, 'its own as well');
    await expectEnded(t, app, first, 'session_deleted');
    await expectLive(t, app, third);
    await expectLive(t, app, stranger);
  });

  await t.test('what has ended is not listed', async (t) => {
    const { email, ...first } = await signUp(app);
    const second = await logIn(app, email);
    await send(logout(first));
    t.strictSame(
      (await list(second.access)).map(({ id }) => id),
      [sid(second)],
    );
    await send(logoutAll(second.access));
    const fresh = await logIn(app, email);
    t.strictSame(
      (await list(fresh.access)).map(({ id }) => id),
      [sid(fresh)],
    );
  });
}

async function activity(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { email, ...first } = await signUp(app);
  const stranger = await signUp(app);
  const from = '198.51.100.7';
  await send({ ...login({ email, password: 'wrong password' }), remoteAddress: from });
  const second = await logIn(app, email);
  await send(logout(first));
  await send({
    method: 'PATCH',
    url: '/api/auth/me',
    headers: bearer(second.access),
    payload: { last_name: 'Y' },
  });
  const { refresh } = await refreshed(app, second.refresh);
  const moved = await send({
    method: 'POST',
    url: '/api/auth/refresh',
    payload: { refresh },
    remoteAddress: from,
  });
  const { access } = moved.json();

  await t.test("the caller's own events, newest first, with why a session ended", async (t) => {
    const answer = await send(get('/api/auth/activity', access));
    t.equal(answer.statusCode, 200);
    const { events, next_cursor, ...rest } = answer.json();
    t.strictSame([next_cursor, rest], [null, {}]);
    t.strictSame(
      events.map(({ type, reason }: EventBody) => [type, reason]),
      [
        ['token_refreshed', null],
        ['profile_changed', null],
        ['logout', 'logout'],
        ['login', null],
        ['login_failed', null],
        ['registered', null],
      ],
    );
    const { id, at, ...failed } = events[4];
    t.ok(Number.isSafeInteger(id));
    t.match(at, ISO_UTC);
    const user_agent = 'lightMyRequest';
    t.strictSame(failed, { type: 'login_failed', session_id: null, reason: null, ip: from, user_agent });
    t.equal(events[0].ip, from, 'a refresh from where the session was is no news');
    t.equal(events[2].session_id, decode(first.access).claims.sid);
    const foreign = await eventsOf(app, stranger.access);
    t.strictSame(
      foreign.map(({ type }) => type),
      ['registered'],
      'nobody sees those of another',
    );
  });

  await t.test('page by page', async (t) => {
    const all = (await eventsOf(app, access)).map(({ id }) => id);
    const seen: number[] = [];
    let cursor: string | null = '';
    for (let pages = 0; cursor !== null; pages += 1) {
      t.ok(pages < 5);
      const query = cursor === '' ? 'limit=2' : `limit=2&cursor=${cursor}`;
      const page: { events: EventBody[]; next_cursor: string | null } = (
        await send(get(`/api/auth/activity?${query}`, access))
      ).json();
      seen.push(...page.events.map(({ id }) => id));
      cursor = page.next_cursor;
    }
    t.strictSame(seen, all);
    for (const cursor of ['9007199254740991', '1']) {
      const page = await send(get(`/api/auth/activity?cursor=${cursor}`, access));
      t.equal(page.statusCode, 200);
      t.equal(page.json().events.length, cursor === '1' ? 0 : all.length);
    }
  });

  await t.test('the export holds all of it, and nobody else', async (t) => {
    const answer = await send(get('/api/auth/me/export', access));
    t.equal(answer.statusCode, 200);
    const { user, sessions, devices, events, staff_actions, ...rest } = answer.json();
    t.strictSame(rest, {});
    t.equal(devices.length, 2, 'that of the registration, that of the login');
    for (const device of devices) t.match(device, { last_login_at: ISO_UTC });
    t.strictSame(staff_actions, []);
    t.strictSame(user, (await send(meOf(access))).json());
    t.strictSame(sessions, (await send(get('/api/auth/sessions', access))).json().sessions);
    t.strictSame(events, await eventsOf(app, access));
    t.notMatch(answer.body, /argon2|password|hash/i);
    t.notOk(answer.body.includes(stranger.email));
  });
}

async function disabled(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { email, user, ...first } = await signUp(app);
  const second = await logIn(app, email);
  const bystander = await signUp(app);

  await t.test('every token dies at once', async (t) => {
    t.equal(await app.app.accounts.setActive(user.id, false), true);
    await expectEnded(t, app, first, 'account_disabled');
    await expectEnded(t, app, second, 'account_disabled');
    expectProblem(t, await send(logoutAll(first.access)), 401, 'token_revoked');
    t.equal((await send(logout(first))).statusCode, 200, 'logging out of what has ended is no error');
    await expectLive(t, app, bystander);
  });

  await t.test('only the right password is told why', async (t) => {
    const wrong = await send(login({ email, password: 'not the password' }));
    expectProblem(t, wrong, 401, 'invalid_credentials');
    expectProblem(t, await send(login({ email, password: PASSWORD })), 403, 'account_disabled');
  });

  await t.test('enabling lets the person in, and no old token', async (t) => {
    t.equal(await app.app.accounts.setActive(user.id, true), true);
    await expectEnded(t, app, first, 'account_disabled');
    const pair = await logIn(app, email);
    await expectLive(t, app, pair);
    const told = (await eventsOf(app, pair.access)).map(({ type }) => type);
    t.strictSame(told.slice(0, 4), ['login', 'account_enabled', 'login_failed', 'account_disabled']);
    t.equal(await app.app.accounts.setActive(randomUUID(), false), false, 'nobody by that name');
  });
}

async function deleted(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const remove = (access: string, payload: object) =>
    send({ method: 'DELETE', url: '/api/auth/me', headers: bearer(access), payload });
  const personal = {
    email: freshEmail(),
    username: freshName(),
    first_name: `First-${freshName()}`,
    last_name: `Last-${freshName()}`,
    agent: `Agent-${freshName()}`,
    ip: '203.0.113.77',
  };
  const { agent, ip, ...fields } = personal;
  const at = { headers: { 'user-agent': agent }, remoteAddress: ip };
  const { user, ...first } = (await send({ ...register({ ...fields, password: PASSWORD }), ...at })).json();
  const second: Pair = (await send({ ...login({ email: fields.email, password: PASSWORD }), ...at })).json();
  await send({ ...login({ email: fields.email, password: 'wrong password' }), ...at });

  const traces = async (): Promise<string[]> => {
    const stored = await everythingStored(app);
    return Object.values(personal).filter((value) => stored.includes(value));
  };

  await t.test('not without the password', async (t) => {
    expectProblem(
      t,
      await remove(first.access, { password: 'not the password' }),
      401,
      'invalid_credentials',
    );
    const fields = ['password:required'];
    expectProblem(t, await remove(first.access, {}), 400, 'invalid_request', { fields });
    expectProblem(t, await remove(first.refresh, { password: PASSWORD }), 401, 'token_invalid');
    await expectLive(t, app, first);
    t.strictSame(await traces(), Object.values(personal), 'the test can find what is stored');
  });

  await t.test('then at once and for good', async (t) => {
    const answer = await remove(first.access, { password: PASSWORD });
    t.equal(answer.statusCode, 204);
    t.equal(answer.body, '');
    await expectEnded(t, app, first, 'account_deleted');
    await expectEnded(t, app, second, 'account_deleted');
    const again = await send(login({ email: fields.email, password: PASSWORD }));
    expectProblem(t, again, 401, 'invalid_credentials');
    expectProblem(t, await remove(first.access, { password: PASSWORD }), 401, 'token_revoked');
    await app.app.events.flush();
    t.strictSame(await traces(), [], 'nothing personal is left in any store');
  });

  await t.test('the names are free again, for another account', async (t) => {
    const person = await signUp(app, fields);
    t.not(person.user.id, user.id);
    t.ok(person.user.legacy_id > user.legacy_id, 'no number is given twice');
    await expectLive(t, app, person);
    expectProblem(t, await send(meOf(first.access)), 401, 'token_revoked');
  });
}

/** All rows of all tables and, where there is one, all keys and values of this test's part of Redis, as text. */
async function everythingStored({ app, config }: TestApp): Promise<string> {
  const { db } = app.database;
  const parts: unknown[] = [];
  for (const { name } of await db.introspection.getTables()) {
    parts.push((await sql`select * from ${sql.table(name)}`.execute(db)).rows);
  }
  if (config.redisUrl) {
    const redis = new Redis(config.redisUrl);
    for (const key of await redis.keys(`${config.redisPrefix}*`)) {
      const type = await redis.type(key);
      const value =
        type === 'hash'
          ? await redis.hgetall(key)
          : type === 'zset'
            ? await redis.zrange(key, '0', '-1')
            : await redis.get(key);
      parts.push([key, value]);
    }
    redis.disconnect();
  }
  return JSON.stringify(parts);
}

async function refreshing(t: Test, app: TestApp): Promise<void> {
  const { send } = app;

  await t.test('gives a successor; the access token before it stays good', async (t) => {
    const person = await signUp(app);
    const answer = await send(refreshWith(person.refresh));
    t.equal(answer.statusCode, 200);
    t.equal(answer.headers['cache-control'], 'no-store');
    const { access, refresh, ...rest } = answer.json();
    t.strictSame(rest, { token_type: 'Bearer', expires_in: 900, refresh_expires_in: 604_800 });
    const [old, next] = [decode(person.refresh).claims, decode(refresh).claims];
    t.not(next.jti, old.jti);
    t.equal(next.sid, old.sid);
    await expectLive(t, app, { access: person.access, refresh });
    t.equal((await send(meOf(access))).statusCode, 200);
    t.equal((await send(verifyOf(person.refresh))).statusCode, 200, 'the old one could still be sent again');
    app.advance(61 * SECOND);
    expectProblem(t, await send(verifyOf(person.refresh)), 401, 'token_revoked');
    await expectLive(t, app, { access, refresh });
  });

  await t.test('a lost answer is given again: the same successor, its lifetime recomputed', async (t) => {
    const person = await signUp(app);
    const first = await refreshed(app, person.refresh);
    for (const elapsed of [10 * SECOND, DAY]) {
      app.advance(elapsed);
      const again = await refreshed(app, person.refresh);
      t.equal(decode(again.refresh).claims.jti, decode(first.refresh).claims.jti);
      t.equal(decode(again.refresh).claims.exp, decode(first.refresh).claims.exp);
      t.equal(again.expires_in, 900);
    }
    const again = await refreshed(app, person.refresh);
    about(t, again.refresh_expires_in, 604_800 - 86_400 - 10, 'refresh_expires_in');
    t.equal((await send(verifyOf(again.refresh))).statusCode, 200);
  });

  await t.test('a spent token is theft: its session ends, and only that one', async (t) => {
    for (const proof of ['refresh', 'access'] as const) {
      const { email, ...person } = await signUp(app);
      const other = await logIn(app, email);
      let newest = await refreshed(app, person.refresh);
      if (proof === 'refresh') newest = await refreshed(app, newest.refresh);
      else await send(meOf(newest.access));
      app.advance(61 * SECOND);

      const thief = { ...refreshWith(person.refresh), remoteAddress: '192.0.2.66' };
      expectProblem(t, await send(thief), 401, 'token_reused', { reason: 'reuse' });
      await expectEnded(t, app, newest, 'reuse');
      expectProblem(t, await send(thief), 401, 'session_ended', { reason: 'reuse' });
      await expectLive(t, app, other);

      const stored = await app.app.database.events.listOfUser(decode(other.access).claims.sub as string, {
        limit: 1,
      });
      t.match(stored, [{ type: 'token_reused' }], 'stored before the answer');
      const told = (await eventsOf(app, other.access)).filter(({ type }) => type === 'token_reused');
      t.match(told, [{ reason: 'reuse', ip: '192.0.2.66', session_id: decode(person.access).claims.sid }]);
      t.equal(told.length, 1);
    }
  });

  await t.test('a replay from another address is an event, and no theft within a minute', async (t) => {
    const person = await signUp(app);
    const first = await refreshed(app, person.refresh);
    await send(meOf(first.access));
    const elsewhere = { ...refreshWith(person.refresh), remoteAddress: '192.0.2.67' };
    const answer = await send(elsewhere);
    t.equal(answer.statusCode, 200);
    t.equal(decode(answer.json().refresh).claims.jti, decode(first.refresh).claims.jti);
    const told = await eventsOf(app, first.access);
    t.match(told[0], { type: 'token_replayed', ip: '192.0.2.67' });
    t.equal(told.filter(({ type }) => type === 'token_replayed').length, 1);
  });
}

async function lifetimes(t: Test, app: TestApp): Promise<void> {
  const { send } = app;

  await t.test('an access token expires, its session does not', async (t) => {
    const person = await signUp(app);
    app.advance(14 * MINUTE + 50 * SECOND);
    t.equal((await send(meOf(person.access))).statusCode, 200);
    app.advance(10 * SECOND);
    expectProblem(t, await send(meOf(person.access)), 401, 'token_expired');
    expectProblem(t, await send(verifyOf(person.access)), 401, 'token_expired');
    expectProblem(t, await send(logoutAll(person.access)), 401, 'token_expired');
    const next = await refreshed(app, person.refresh);
    t.equal((await send(meOf(next.access))).statusCode, 200);
    app.advance(7 * DAY);
    expectProblem(t, await send(refreshWith(next.refresh)), 401, 'token_expired');
    expectProblem(t, await send(verifyOf(next.refresh)), 401, 'token_expired');
  });

  await t.test('expired tokens still log out', async (t) => {
    for (const kind of ['access', 'refresh'] as const) {
      const person = await signUp(app);
      app.advance(15 * MINUTE);
      t.equal((await send(logout({ [kind]: person[kind] }))).statusCode, 200);
      expectProblem(t, await send(refreshWith(person.refresh)), 401, 'session_ended', { reason: 'logout' });
    }
    const person = await signUp(app);
    app.advance(8 * DAY);
    t.equal((await send(logout(person))).statusCode, 200, 'both of them, long gone');
  });

  await t.test('every refresh moves the end, up to the cap of the session', async (t) => {
    const person = await signUp(app);
    const start = decode(person.refresh).claims.iat;
    let { refresh } = person;
    for (let day = 6; day <= 84; day += 6) {
      app.advance(6 * DAY);
      const pair = await refreshed(app, refresh);
      refresh = pair.refresh;
      if (day < 83) t.equal(pair.refresh_expires_in, 7 * 86_400, `day ${day}`);
    }
    const cap = start + 90 * 86_400;
    t.equal(decode(refresh).claims.exp, cap, 'never later than 90 days after the login');
    app.advance(6 * DAY - 10 * MINUTE);
    const last = await refreshed(app, refresh);
    t.equal(decode(last.refresh).claims.exp, cap);
    t.equal(decode(last.access).claims.exp, cap, 'nor does an access token outlive the session');
    about(t, last.expires_in, 600, 'expires_in');
    app.advance(10 * MINUTE);
    expectProblem(t, await send(refreshWith(last.refresh)), 401, 'token_expired');
    expectProblem(t, await send(meOf(last.access)), 401, 'token_expired');
  });
}

t.test('settings', async (t) => {
  await t.test('JWT_USER_ID, JWT_AUDIENCE, JWT_ISSUER and JWT_ALGORITHM', async (t) => {
    const app = await watchedApp(t, {
      env: {
        JWT_USER_ID: 'legacy_id',
        JWT_AUDIENCE: 'shop',
        JWT_ISSUER: 'https://id.example.com',
        JWT_ALGORITHM: 'HS512',
        JWT_SIGNING_KEY: 'Zq3t6w9z$C&F)J@NcRfUjXn2r5u8x/A?D(G+KbPeSgVkYp3s6v9y$B&E)H@McQfT',
      },
    });
    const { send } = app;
    const { user, ...pair } = await signUp(app);
    for (const token of [pair.access, pair.refresh]) {
      const { header, claims } = decode(token);
      t.equal(header.alg, 'HS512');
      t.match(claims, { sub: user.id, user_id: user.legacy_id, aud: 'shop', iss: 'https://id.example.com' });
      t.equal((await send(verifyOf(token))).json().user_id, user.legacy_id);
    }
    await expectLive(t, app, pair);
    const { header, claims } = decode(pair.access);
    const signing = { key: app.config.jwt.signingKey, hash: 'sha512' };
    t.equal((await send(meOf(forge(header, claims, signing)))).statusCode, 200, 'the test signs as we do');
    t.equal((await send(meOf(forge(header, { ...claims, aud: ['x', 'shop'] }, signing)))).statusCode, 200);
    for (const aud of [undefined, 'shops', ['x'], [], {}, null, 1]) {
      expectProblem(t, await send(meOf(forge(header, { ...claims, aud }, signing))), 401, 'token_invalid');
    }
  });

  await t.test('JWT_LEEWAY is grace on the expiry, and nothing more', async (t) => {
    const app = await watchedApp(t, { env: { JWT_LEEWAY: '30', JWT_ACCESS_TOKEN_LIFETIME: '60' } });
    const person = await signUp(app);
    app.advance(85 * SECOND);
    const late = await app.send(meOf(person.access));
    t.equal(late.statusCode, 200);
    t.equal(late.headers['x-token-expires-in'], '0');
    await app.app.blacklist.revoke(person.access);
    expectProblem(t, await app.send(meOf(person.access)), 401, 'token_revoked');
    app.advance(5 * SECOND);
    expectProblem(t, await app.send(meOf(person.access)), 401, 'token_expired');
  });

  await t.test('a single token may be revoked, its session goes on', async (t) => {
    const app = await watchedApp(t, { env: { JWT_LEEWAY: '30' } });
    const person = await signUp(app);
    await app.app.blacklist.revoke(person.access);
    expectProblem(t, await app.send(meOf(person.access)), 401, 'token_revoked');
    const next = await refreshed(app, person.refresh);
    t.equal((await app.send(meOf(next.access))).statusCode, 200);
    app.advance(15 * MINUTE + 20 * SECOND);
    expectProblem(t, await app.send(meOf(person.access)), 401, 'token_revoked');
    await t.rejects(app.app.blacklist.revoke('nonsense'), { code: 'token_invalid' });
  });

  await t.test('REGISTRATION=closed', async (t) => {
    const { send } = await watchedApp(t, { env: { REGISTRATION: 'closed' } });
    const answer = await send(register({ email: freshEmail(), password: PASSWORD }));
    expectProblem(t, answer, 403, 'registration_closed');
  });

  await t.test('PASSWORD_BLOCKLIST=off and USER_TYPES', async (t) => {
    const app = await watchedApp(t, { env: { PASSWORD_BLOCKLIST: 'off', USER_TYPES: 'buyer, seller' } });
    const { send } = app;
    const common = { email: freshEmail(), password: 'password123' };
    t.equal((await send(register({ ...common, user_type: 'seller' }))).json().user.user_type, 'seller');
    const short = { email: freshEmail(), password: 'passwor' };
    expectProblem(t, await send(register(short)), 400, 'weak_password', { fields: ['password:too_short'] });
    const other = { email: freshEmail(), password: PASSWORD, user_type: 'business' };
    expectProblem(t, await send(register(other)), 400, 'invalid_request', {
      fields: ['user_type:invalid_value'],
    });
  });
});

t.test('what one process changes, another one knows at once', async (t) => {
  const one = await watchedApp(t, { stores: 'servers' });
  const { redisUrl, redisPrefix, databaseUrl } = one.config;
  const two = await watchedApp(t, {
    env: { REDIS_URL: redisUrl!, REDIS_PREFIX: redisPrefix, DATABASE_URL: databaseUrl! },
  });
  const { email, user, ...first } = await signUp(one);
  await expectLive(t, two, first);
  await two.send({
    method: 'PATCH',
    url: '/api/auth/me',
    headers: bearer(first.access),
    payload: { first_name: 'Ada' },
  });
  t.equal((await one.send(meOf(first.access))).json().first_name, 'Ada');
  t.equal(decode((await refreshed(one, first.refresh)).access).claims.first_name, 'Ada');

  await two.send(logout(first));
  await expectEnded(t, one, first, 'logout');
  const second = await logIn(two, email);
  await one.send(logoutAll(second.access));
  await expectEnded(t, two, second, 'logout_all');
  const third = await logIn(one, email);
  await two.app.accounts.setActive(user.id, false);
  await expectEnded(t, one, third, 'account_disabled');
});
