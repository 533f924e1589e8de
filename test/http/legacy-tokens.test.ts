import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { makeOauthClient } from '../../src/accounts/oauth-clients.js';
import { toIso } from '../../src/lib/clock.js';
import { LEGACY_AUTH_VERSION } from '../../src/tokens/legacy-tokens.js';
import {
  bearer,
  PASSWORD,
  STORES,
  type Stores,
  signUp,
  TEST_KEY,
  type TestApp,
  testApp,
} from '../support/app.js';
import { emptyRedis, ttlsOf } from '../support/redis-namespace.js';
import { DAY_SECONDS, OLD_KEY, type OldToken as Old, oldToken } from '../support/simplejwt.js';
import { mailboxes } from './mailbox.js';

async function legacyApp(t: Test, stores: Stores = 'embedded', env: Record<string, string> = {}) {
  const mail = await mailboxes(t);
  const settings = { LEGACY_JWT_KEY: OLD_KEY, LEGACY_JWT_UNTIL: '2099-01-01', ...mail.env, ...env };
  return testApp(t, { stores, env: settings });
}

/** The calls that old tokens are good for. */
function calls({ send }: Pick<TestApp, 'send'>) {
  const post = (url: string, payload: object, token?: string) =>
    send({ method: 'POST', url, payload, headers: token === undefined ? {} : bearer(token) });
  return {
    me: (token: string) => send({ url: '/api/auth/me', headers: bearer(token) }),
    verify: (token: string) => post('/api/auth/verify', { token }),
    refresh: (token: string) => post('/api/auth/refresh', { refresh: token }),
    logout: (tokens: { access?: string; refresh?: string }) =>
      post(
        '/api/auth/logout',
        tokens.refresh === undefined ? {} : { refresh: tokens.refresh },
        tokens.access,
      ),
    logoutAll: (token: string) => post('/api/auth/logout-all', {}, token),
  };
}

function answers(t: Test, response: LightMyRequestResponse, status: number, code: string, reason?: string) {
  const { code: given, reason: why } = response.json();
  t.strictSame({ status: response.statusCode, code: given, reason: why }, { status, code, reason });
}

for (const stores of STORES) {
  t.test(`tokens that SimpleJWT signed, ${stores}`, async (t) => {
    const app = await legacyApp(t, stores);
    const { me, verify, refresh, logout, logoutAll } = calls(app);

    await t.test('are good wherever tokens are', async (t) => {
      const { user } = await signUp(app);
      for (const userId of [user.legacy_id, String(user.legacy_id)]) {
        const access = oldToken('access', userId);
        const found = await me(access.token);
        t.equal(found.statusCode, 200, found.body);
        t.equal(found.json().id, user.id);
        t.equal(found.headers['x-auth-status'], 'authenticated');
        t.equal(found.headers['x-token-expires-at'], toIso(access.payload.exp * 1000));
        t.match((await verify(access.token)).json(), {
          valid: true,
          token_type: 'access',
          user_id: userId,
          session_id: null,
        });
      }
      const bare = oldToken('access', user.legacy_id, { iat: undefined });
      t.equal((await me(bare.token)).statusCode, 200, 'iat may be missing');
      const old = oldToken('refresh', user.legacy_id);
      t.equal((await verify(old.token)).json().token_type, 'refresh');
      t.equal((await app.app.sessions.introspect(old.token)).user.id, user.id);
      const listed = await app.send({ url: '/api/auth/sessions', headers: bearer(bare.token) });
      t.equal(listed.json().sessions.length, 1, 'they are no sessions');
      answers(t, await me(old.token), 401, 'token_invalid');
    });

    await t.test('of nobody, or of a disabled account, are not', async (t) => {
      const nobody = oldToken('access', 1_000_000);
      answers(t, await me(nobody.token), 401, 'token_revoked');
      answers(
        t,
        await refresh(oldToken('refresh', 1_000_000).token),
        401,
        'session_ended',
        'account_deleted',
      );
      t.equal((await logout({ access: nobody.token })).statusCode, 200);

      const { user } = await signUp(app);
      const access = oldToken('access', user.legacy_id);
      const old = oldToken('refresh', user.legacy_id);
      t.equal((await me(access.token)).statusCode, 200);
      await app.app.accounts.setActive(user.id, false);
      answers(t, await me(access.token), 401, 'token_revoked');
      answers(t, await refresh(old.token), 401, 'session_ended', 'account_disabled');
      await app.app.accounts.setActive(user.id, true);
      answers(t, await me(access.token), 401, 'token_revoked');
      answers(t, await refresh(old.token), 401, 'session_ended', 'account_disabled');
    });

    await t.test('fifty refreshes of one open one session', async (t) => {
      const { user } = await signUp(app);
      const old = oldToken('refresh', user.legacy_id);
      const found = await Promise.all(Array.from({ length: 50 }, () => refresh(old.token)));
      t.same(new Set(found.map(({ statusCode }) => statusCode)), new Set([200]));
      t.equal(new Set(found.map((response) => response.json().refresh)).size, 1, 'to the letter');
      const { access, refresh: successor } = found[0]!.json();
      const { sessions } = (await app.send({ url: '/api/auth/sessions', headers: bearer(access) })).json();
      t.equal(sessions.length, 2, 'beside the one of the registration');
      t.match(sessions, [{ current: true, user_agent: 'lightMyRequest' }, {}]);
      t.equal((await refresh(successor)).statusCode, 200);
      answers(t, await refresh(old.token), 401, 'token_reused', 'reuse');
    });

    await t.test('a logout ends what it names, for good', async (t) => {
      const { user } = await signUp(app);
      const access = oldToken('access', user.legacy_id);
      const old = oldToken('refresh', user.legacy_id);
      const other = oldToken('access', user.legacy_id);
      for (const _ of ['once', 'again'])
        t.equal((await logout({ access: access.token, refresh: old.token })).statusCode, 200);
      answers(t, await me(access.token), 401, 'token_revoked');
      answers(t, await refresh(old.token), 401, 'session_ended', 'logout');
      t.equal((await me(other.token)).statusCode, 200, 'and nothing else');
      t.strictSame(
        (await app.app.database.legacyTokens.listRevoked(user.legacy_id)).map(({ jti }) => jti).sort(),
        [access.payload.jti, old.payload.jti].sort(),
      );

      const traded = oldToken('refresh', user.legacy_id);
      const { access: ours } = (await refresh(traded.token)).json();
      t.equal((await logout({ refresh: traded.token })).statusCode, 200);
      answers(t, await me(ours), 401, 'token_revoked');
    });

    const endings: Record<string, (access: string) => Promise<unknown>> = {
      'logout-all with a token of ours': (access) => logoutAll(access),
      'logout-all with an old one': async () => undefined,
      'a change of the password': (access) =>
        app.send({
          method: 'POST',
          url: '/api/auth/password/change',
          headers: bearer(access),
          payload: { current_password: PASSWORD, new_password: `${PASSWORD} indeed` },
        }),
    };
    for (const [name, end] of Object.entries(endings)) {
      await t.test(`${name} ends all of a user's, seen before or not`, async (t) => {
        const { user, access } = await signUp(app);
        const mine = () => [oldToken('access', user.legacy_id), oldToken('refresh', user.legacy_id)] as const;
        const [seen, seenRefresh] = mine();
        const [unseen, unseenRefresh] = mine();
        const traded = oldToken('refresh', user.legacy_id);
        const opened = (await refresh(traded.token)).json();
        t.equal((await me(seen.token)).statusCode, 200);
        t.equal((await verify(seenRefresh.token)).statusCode, 200);
        await (name.endsWith('an old one') ? logoutAll(seen.token) : end(access));
        for (const token of [seen, unseen]) answers(t, await me(token.token), 401, 'token_revoked');
        for (const { token } of [seenRefresh, unseenRefresh, traded]) {
          const response = await refresh(token);
          answers(
            t,
            response,
            401,
            'session_ended',
            name.startsWith('a change') ? 'password_change' : 'logout_all',
          );
        }
        answers(t, await me(opened.access), 401, 'token_revoked');
        answers(t, await me(access), 401, 'token_revoked');
        t.ok((await app.app.database.accounts.findById(user.id))!.authVersion > LEGACY_AUTH_VERSION);
      });
    }

    await t.test('a lost answer is given again; a thief ends the session that it opened', async (t) => {
      const { user } = await signUp(app);
      const old = oldToken('refresh', user.legacy_id);
      const first = (await refresh(old.token)).json();
      app.advance(3600_000);
      const again = (await refresh(old.token)).json();
      t.equal(again.refresh, first.refresh);
      t.equal((await me(again.access)).statusCode, 200);
      app.advance(61_000);
      answers(t, await verify(old.token), 401, 'token_revoked');
      answers(t, await refresh(old.token), 401, 'token_reused', 'reuse');
      answers(t, await me(again.access), 401, 'token_revoked');
      answers(t, await refresh(again.refresh), 401, 'session_ended', 'reuse');
    });
  });
}

t.test('an emptied Redis takes an old token only after SQL was asked', async (t) => {
  const app = await legacyApp(t, 'servers');
  const { me, verify, refresh, logout, logoutAll } = calls(app);
  const empty = () => emptyRedis(app.config.redisPrefix);
  const { user, access } = await signUp(app);
  const [good, revoked] = [oldToken('access', user.legacy_id), oldToken('access', user.legacy_id)];
  const [old, gone, spent] = [1, 2, 3].map(() => oldToken('refresh', user.legacy_id)) as [Old, Old, Old];
  for (const { token } of [good, revoked, old, gone]) t.equal((await verify(token)).statusCode, 200);
  await logout({ access: revoked.token, refresh: gone.token });
  const opened = (await refresh(spent.token)).json();

  await empty();
  answers(t, await me(access), 401, 'token_revoked');
  answers(t, await me(opened.access), 401, 'token_revoked');
  answers(t, await refresh(opened.refresh), 401, 'session_ended', 'unknown');
  answers(t, await me(revoked.token), 401, 'token_revoked');
  answers(t, await refresh(gone.token), 401, 'session_ended', 'unknown');
  answers(t, await refresh(spent.token), 401, 'session_ended', 'unknown');
  t.equal((await me(good.token)).statusCode, 200, 'what was never revoked is loaded again');
  t.equal((await verify(old.token)).statusCode, 200);

  t.equal((await logoutAll(good.token)).statusCode, 200);
  await empty();
  answers(t, await me(good.token), 401, 'token_revoked');
  answers(t, await refresh(old.token), 401, 'session_ended', 'logout_all');

  const ttls = await ttlsOf(app.config.redisPrefix);
  t.ok(ttls.length > 0 && ttls.every((ms) => ms >= 1000), 'every key has its time');
});

t.test('what is no token of the old system, or is out of time', async (t) => {
  const app = await legacyApp(t, 'embedded', {
    JWT_AUDIENCE: 'api',
    LEGACY_JWT_UNTIL: '2099-01-01T00:00:00Z',
  });
  const { me, verify, refresh, logout } = calls(app);
  const { user, access, refresh: ours } = await signUp(app);
  const id = user.legacy_id;
  const now = Math.floor(Date.now() / 1000);

  const claims: Record<string, unknown>[] = [
    ...['abc', '', `0${id}`, `${id} `, 0, -id, id + 0.5, 2 ** 53, null, undefined, true, [id], user.id].map(
      (user_id) => ({ user_id }),
    ),
    ...['', 'xyz', '0'.repeat(31), 'F'.repeat(32), user.id, 7, undefined].map((jti) => ({ jti })),
    ...['soon', '4102444800', -1, 1e300, now + 300.5, undefined].map((exp) => ({ exp })),
    ...['sliding', 'ACCESS', '', undefined].map((token_type) => ({ token_type })),
    ...[{ sid: '0'.repeat(32) }, { iat: now + 3600 }, { iat: 'now' }, { nbf: now + 3600 }, { aud: 'other' }],
  ];
  for (const change of claims) {
    const { token } = oldToken('access', id, change);
    answers(t, await me(token), 401, 'token_invalid');
  }
  const made: Record<string, Parameters<typeof oldToken>[3]> = {
    'another key': { key: TEST_KEY },
    'another algorithm of the same key': { alg: 'HS512' },
    'the type of ours': { header: { typ: 'at+jwt' } },
    'the type of ours, by our key': { header: { typ: 'at+jwt' }, key: TEST_KEY },
    'no type': { header: { typ: undefined } },
    'another spelling of it': { header: { typ: 'jwt' } },
    'a critical extension': { header: { crit: ['exp'] } },
  };
  for (const [name, how] of Object.entries(made)) {
    const { token } = oldToken('access', id, {}, how);
    const response = await me(token);
    t.strictSame([response.statusCode, response.json().code], [401, 'token_invalid'], name);
  }
  const unsigned = oldToken('access', id, {}, { header: { alg: 'none' } }).token;
  answers(t, await me(unsigned.slice(0, unsigned.lastIndexOf('.') + 1)), 401, 'token_invalid');

  for (const change of [{ aud: 'api' }, { aud: ['x', 'api'] }, { iss: 'cosmo-app' }, { sub: 'whoever' }])
    t.equal((await me(oldToken('access', id, change).token)).statusCode, 200, JSON.stringify(change));
  const kid = oldToken('access', id, {}, { header: { kid: 'theirs' } }).token;
  t.equal((await me(kid)).statusCode, 200, 'whatever the key was called there');
  t.equal((await me(access)).statusCode, 200, 'tokens of ours are what they were');
  t.equal((await verify(ours)).statusCode, 200);

  const expired = oldToken('access', id, { exp: now - 1, iat: now - 300 });
  answers(t, await me(expired.token), 401, 'token_expired');
  t.equal((await logout({ access: expired.token })).statusCode, 200);
  t.strictSame(await app.app.database.legacyTokens.listRevoked(id), [], 'nothing is kept of it');

  const far = oldToken('access', id, { exp: 4_102_444_800 + DAY_SECONDS });
  const response = await me(far.token);
  t.equal(response.headers['x-token-expires-at'], '2099-01-01T00:00:00Z', 'taken for less than it says');
  app.advance(4_070_908_800_000 - Date.now());
  answers(t, await me(far.token), 401, 'token_expired');
  answers(t, await refresh(oldToken('refresh', id, { exp: 4_102_444_800 }).token), 401, 'token_expired');
});

t.test('one key for both, the routes of old systems, and other services', async (t) => {
  const app = await legacyApp(t, 'embedded', { LEGACY_JWT_KEY: TEST_KEY, COMPAT_ROTATION: 'off' });
  const { me, refresh } = calls(app);
  const sign = (type: 'access' | 'refresh', id: number) => oldToken(type, id, {}, { key: TEST_KEY }).token;
  const { user, access } = await signUp(app);
  const id = user.legacy_id;

  t.equal((await me(access)).statusCode, 200);
  t.equal((await me(sign('access', id))).statusCode, 200);
  const retyped = oldToken('access', id, {}, { key: TEST_KEY, header: { typ: 'at+jwt' } }).token;
  answers(t, await me(retyped), 401, 'token_invalid');
  const off = await testApp(t);
  const { user: stranger } = await signUp(off);
  answers(t, await calls(off).me(sign('access', stranger.legacy_id)), 401, 'token_invalid');

  const post = (url: string, payload: object, headers = {}) =>
    app.send({ method: 'POST', url, payload, headers });
  const kept = sign('refresh', id);
  for (const _ of ['once', 'again']) {
    const renewed = await post('/api/token/refresh/', { refresh: kept });
    t.strictSame(Object.keys(renewed.json()), ['access'], renewed.body);
    t.equal((await me(renewed.json().access)).statusCode, 200);
  }
  t.equal((await app.app.database.legacyTokens.listRevoked(id)).length, 1, 'it is bound to its session');
  t.equal((await post('/api/token/verify/', { token: kept })).statusCode, 200);
  const revoked = await post('/api/token/revoke/', { refresh: kept }, bearer(sign('access', id)));
  t.strictSame(revoked.json(), { message: 'Token revoked successfully' });
  t.strictSame((await post('/api/token/refresh/', { refresh: kept })).json(), {
    detail: 'Token is blacklisted',
    code: 'token_not_valid',
  });

  const { client, secret } = makeOauthClient('gateway', Date.now());
  await app.app.database.clients.insert(client);
  const basic = `Basic ${Buffer.from(`${client.id}:${secret}`).toString('base64')}`;
  const ask = async (what: 'introspect' | 'revoke', token: string) =>
    (await post(`/oauth/${what}`, { token }, { authorization: basic })).json();
  for (const type of ['access', 'refresh'] as const) {
    const token = sign(type, id);
    t.match(await ask('introspect', token), { active: true, sub: user.id, user_id: id, token_use: type });
    await ask('revoke', token);
    t.strictSame(await ask('introspect', token), { active: false });
    if (type === 'refresh') answers(t, await refresh(token), 401, 'session_ended', 'logout');
    else answers(t, await me(token), 401, 'token_revoked');
  }
  const exported = await app.send({ url: '/api/auth/me/export', headers: bearer(access) });
  t.equal(exported.json().revoked_tokens.length, 3);
});

t.test('our own tokens name the user by the old number, if they are to', async (t) => {
  const app = await testApp(t, { env: { JWT_USER_ID: 'legacy_id' } });
  const { me, verify, refresh } = calls(app);
  const { user, access, refresh: first } = await signUp(app);
  t.equal((await me(access)).json().id, user.id);
  t.equal((await verify(access)).json().user_id, user.legacy_id);
  const next = (await refresh(first)).json();
  const { user_id, sub } = JSON.parse(Buffer.from(next.access.split('.')[1], 'base64url').toString());
  t.strictSame({ user_id, sub }, { user_id: user.legacy_id, sub: user.id });
});
