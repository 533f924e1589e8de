import { randomBytes } from 'node:crypto';
import t from 'tap';
import { hashDrfKey } from '../../src/accounts/drf-tokens.js';
import type { User } from '../../src/accounts/user.js';
import { insertDrfTokens } from '../../src/stores/sql/drf-token-store.js';
import { bearer, PASSWORD, type SignedUp, STORES, signUp, type TestApp, testApp } from '../support/app.js';
import { mailboxes } from './mailbox.js';

const withKey = (key: string, scheme = 'Token') => ({ authorization: `${scheme} ${key}` });

function calls({ app, send }: TestApp) {
  const revoke = (key: string, refresh = 'nonsense', scheme?: string) =>
    send({ method: 'POST', url: '/api/token/revoke/', headers: withKey(key, scheme), payload: { refresh } });
  return {
    /** 400 is beyond the guard: the refresh token is none. */
    isTaken: async (key: string): Promise<boolean> => (await revoke(key)).statusCode === 400,
    revoke,
    revokeAll: (key: string) =>
      send({ method: 'POST', url: '/api/token/revoke-all/', headers: withKey(key), payload: {} }),
    obtain: (username: string, password = PASSWORD) =>
      send({ method: 'POST', url: '/api-token-auth/', payload: { username, password } }),
    /** A key as an import brings it. */
    async importKey({ user }: SignedUp): Promise<string> {
      const key = randomBytes(20).toString('hex');
      const token = { keyHash: hashDrfKey(key), legacyId: user.legacy_id, createdAt: 1_500_000_000_000 };
      for (const _ of ['once', 'again']) await insertDrfTokens(app.database.db, [token]);
      return key;
    },
  };
}

for (const stores of STORES) {
  t.test(`keys of the Django REST Framework, ${stores}`, async (t) => {
    const { env } = await mailboxes(t);
    const app = await testApp(t, { stores, env: { ...env, DRF_TOKENS: 'on', RATE_LIMIT_USER: '100/hour' } });
    const { isTaken, revoke, revokeAll, obtain, importKey } = calls(app);

    await t.test('open the routes of the old systems and no other', async (t) => {
      const ann = await signUp(app);
      const key = await importKey(ann);
      const revoked = await revoke(key, ann.refresh, 'token');
      t.equal(revoked.statusCode, 200, revoked.body);
      t.equal(revoked.headers.deprecation, '@1795219200');
      t.equal(revoked.headers['x-auth-status'], 'authenticated');
      t.equal(revoked.headers['ratelimit-remaining'], '99');
      const me = await app.send({ url: '/api/auth/me', headers: withKey(key) });
      t.strictSame([me.statusCode, me.json().code], [401, 'token_missing']);

      const stored = await app.app.database.db.selectFrom('drf_tokens').selectAll().execute();
      t.notOk(JSON.stringify(stored).includes(key), 'hashed at rest');
      t.notOk(app.logs().includes(key), 'and in no log');
    });

    await t.test('of nobody open nothing', async (t) => {
      for (const key of ['0'.repeat(40), 'x', 'y'.repeat(41), 'ü']) {
        const { statusCode, headers, body } = await revoke(key);
        t.strictSame([statusCode, JSON.parse(body)], [401, { detail: 'Invalid token.' }], key);
        t.equal(headers['www-authenticate'], 'Bearer realm="api"');
      }
      t.equal((await revoke('a b')).json().detail, 'Authentication credentials were not provided.');
    });

    await t.test('of somebody who was disabled before the import open nothing', async (t) => {
      const off = await signUp(app);
      const key = await importKey(off);
      const { db } = app.app.database;
      await db.updateTable('users').set({ is_active: 0 }).where('id', '=', off.user.id).execute();
      const { statusCode, body } = await revoke(key);
      t.strictSame([statusCode, JSON.parse(body)], [401, { detail: 'User inactive or deleted.' }]);
    });

    await t.test('are handed out by password, beside a pair', async (t) => {
      const ben = await signUp(app);
      const imported = await importKey(ben);
      const owner = (await app.app.database.accounts.findById(ben.user.id)) as User;
      const keys: string[] = [];
      for (let n = 0; n < 21; n++) {
        keys.push((await app.app.drfTokens?.issue(owner)) as string);
        app.advance(1000);
      }
      const answer = await obtain(ben.email);
      t.equal(answer.headers.deprecation, '@1795219200');
      const { token, access, refresh } = answer.json();
      t.match(token, /^[0-9a-f]{40}$/);
      t.ok(access && refresh);
      keys.push(token);
      t.equal(new Set(keys).size, 22, 'none is shown twice');
      const taken = await Promise.all([imported, ...keys].map(isTaken));
      t.strictSame(
        taken,
        [true, false, false, ...Array(20).fill(true)],
        'the newest stay, and imported ones',
      );
      const refused = await obtain(ben.email, 'wrong password');
      t.strictSame(
        [refused.statusCode, refused.json()],
        [401, { detail: 'No active account found with the given credentials' }],
      );
    });

    const endings: Record<string, (who: SignedUp, key: string) => Promise<{ statusCode: number }>> = {
      'revoke-all by the key': (_who, key) => revokeAll(key),
      'logout-all by an access token': ({ access }) =>
        app.send({ method: 'POST', url: '/api/auth/logout-all', headers: bearer(access), payload: {} }),
      'a change of the password': ({ access }) =>
        app.send({
          method: 'POST',
          url: '/api/auth/password/change',
          headers: bearer(access),
          payload: { current_password: PASSWORD, new_password: `${PASSWORD} indeed` },
        }),
      'disabling, and enabling again': async ({ user }) => {
        await app.app.accounts.setActive(user.id, false);
        await app.app.accounts.setActive(user.id, true);
        return { statusCode: 200 };
      },
      'deleting the account': ({ access }) =>
        app.send({
          method: 'DELETE',
          url: '/api/auth/me',
          headers: bearer(access),
          payload: { password: PASSWORD },
        }),
    };
    for (const [name, end] of Object.entries(endings)) {
      await t.test(`${name} ends all of them at once`, async (t) => {
        const who = await signUp(app);
        const keys = [await importKey(who), (await obtain(who.email)).json().token];
        for (const key of keys) t.ok(await isTaken(key));
        t.match((await end(who, keys[0])).statusCode, /^20[04]$/);
        for (const key of keys) t.notOk(await isTaken(key));
        const me = await app.send({ url: '/api/auth/me', headers: bearer(who.access) });
        t.equal(me.statusCode, 401, 'and every session');
        await importKey(who);
        for (const key of keys) t.notOk(await isTaken(key), 'a second import brings none back');
      });
    }
  });
}

t.test('they are off by default, and a login at the old place gives a pair', async (t) => {
  const app = await testApp(t);
  const { isTaken, obtain, importKey } = calls(app);
  const who = await signUp(app);
  t.notOk(await isTaken(await importKey(who)));
  t.strictSame(Object.keys((await obtain(who.email)).json()), ['refresh', 'access']);
});
