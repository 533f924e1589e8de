import argon2 from 'argon2';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { newDeviceId } from '../../src/lib/ids.js';
import { createDeviceCookies } from '../../src/security/device-cookies.js';
import { createLoginLimits } from '../../src/security/login-limits.js';
import { createSecretDeriver } from '../../src/tokens/derived-secrets.js';
import { generateKey } from '../../src/tokens/key-rotation.js';
import { expectProblem, meOf } from '../http/answers.js';
import { watchedApp } from '../http/watched-app.js';
import { bearer, PASSWORD, STORES, type Stores, TEST_KEY, type TestApp, testApp } from '../support/app.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const NAME = 'latchkey_device';
const WRONG = 'not the password';

/** As they are unless an operator says otherwise; every stranger in here comes from an address of his own. */
const LIMITS = { RATE_LIMIT_LOGIN: '5/minute', RATE_LIMIT_LOGIN_IP: '30/5minute' };
/** How many wrong passwords in a row are free. */
const FREE = 10;

let addresses = 0;
const newAddress = (): string => {
  addresses += 1;
  return `10.${addresses >> 16}.${(addresses >> 8) & 255}.${addresses & 255}`;
};

interface Try {
  password?: string;
  /** The value of the cookie. */
  device?: string | undefined;
  from?: string;
}

const cookies = (device: string | undefined) => (device === undefined ? {} : { cookies: { [NAME]: device } });

const login = (names: object, { password = WRONG, device, from = newAddress() }: Try = {}) =>
  ({
    method: 'POST',
    url: '/api/auth/login',
    payload: { ...names, password },
    remoteAddress: from,
    ...cookies(device),
  }) as const;

const removeMe = (access: string, { password = WRONG, device, from = newAddress() }: Try = {}) =>
  ({
    method: 'DELETE',
    url: '/api/auth/me',
    headers: bearer(access),
    payload: { password },
    remoteAddress: from,
    ...cookies(device),
  }) as const;

const deviceOf = (answer: LightMyRequestResponse): string =>
  answer.cookies.find(({ name }) => name === NAME)?.value as string;

let people = 0;

interface Person {
  id: string;
  email: string;
  username: string;
  access: string;
  refresh: string;
  device: string;
}

async function signUp({ send }: Pick<TestApp, 'send'>): Promise<Person> {
  people += 1;
  const names = { email: `owner${people}@example.com`, username: `owner_${people}` };
  const answer = await send({
    method: 'POST',
    url: '/api/auth/register',
    payload: { ...names, password: PASSWORD },
    remoteAddress: newAddress(),
  });
  if (answer.statusCode !== 201) throw new Error(`register answered ${answer.statusCode}`);
  const { access, refresh, user } = answer.json();
  return { ...names, id: user.id, access, refresh, device: deviceOf(answer) };
}

/** Comparing costs nothing in here; says how many passwords were compared since it was last asked. */
function cheapPasswords(t: Test): () => number {
  const verify = t.capture(argon2, 'verify', async (_digest: string, password: string | Buffer) => {
    return password === PASSWORD;
  });
  return () => verify().length;
}

/** Wrong passwords by strangers, until the next one would be too early. */
async function spendRow(t: Test, { send }: Pick<TestApp, 'send'>, names: object): Promise<void> {
  for (let n = 0; n < FREE; n += 1) expectProblem(t, await send(login(names)), 401, 'invalid_credentials');
}

function expectDelayed(t: Test, answer: LightMyRequestResponse, seconds: number): void {
  expectProblem(t, answer, 429, 'account_delayed');
  t.equal(answer.headers['retry-after'], String(seconds));
}

async function isKnown({ send }: Pick<TestApp, 'send'>, { email }: { email: string }, device: string) {
  const { statusCode } = await send(login({ email }, { device }));
  if (statusCode !== 401 && statusCode !== 429) throw new Error(`login answered ${statusCode}`);
  return statusCode === 401;
}

for (const stores of STORES) {
  t.test(stores, async (t) => {
    await t.test('the delay', (t) => delays(t, stores));
    await t.test('an owner whom strangers want to lock out', (t) => siege(t, stores));
    await t.test('tries that were never compared', (t) => notCompared(t, stores));
    await t.test('passwords asked for with a token', (t) => askedWithToken(t, stores));
    await t.test('known devices', (t) => knownDevices(t, stores));
  });
}

async function delays(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores, env: LIMITS });
  const { send, advance } = app;
  const compared = cheapPasswords(t);

  await t.test('grows to ten seconds, true to the second, and refused tries do not extend it', async (t) => {
    const { email } = await signUp(app);
    await spendRow(t, app, { email });
    compared();
    for (const seconds of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]) {
      expectDelayed(t, await send(login({ email }, { password: PASSWORD })), seconds);
      advance(seconds * SECOND - 500);
      for (let n = 0; n < 3; n += 1) expectDelayed(t, await send(login({ email })), 1);
      advance(500);
      expectProblem(t, await send(login({ email })), 401, 'invalid_credentials');
    }
    t.equal(compared(), 12, 'nothing that was refused was compared');
    advance(10 * SECOND);
    t.equal((await send(login({ email }, { password: PASSWORD }))).statusCode, 200);
    await spendRow(t, app, { email });
    expectDelayed(t, await send(login({ email })), 1);
  });

  await t.test('counts per account, whatever it is called and wherever tries come from', async (t) => {
    const { email, username } = await signUp(app);
    for (let n = 0; n < FREE; n += 1) {
      const names =
        n % 2 === 0 ? { email: ` ${email.toUpperCase()} ` } : { username: username.toUpperCase() };
      expectProblem(t, await send(login(names)), 401, 'invalid_credentials');
    }
    expectDelayed(t, await send(login({ email })), 1);
    expectDelayed(t, await send(login({ username })), 1);
  });

  await t.test('what the account refuses has spent nothing of the address', async (t) => {
    const { email } = await signUp(app);
    const from = newAddress();
    await spendRow(t, app, { email });
    for (let n = 0; n < 10; n += 1) {
      const answer = await send(login({ email }, { from }));
      expectDelayed(t, answer, 1);
      t.match(answer.headers, { 'ratelimit-limit': '5', 'ratelimit-remaining': '5' });
    }
  });

  await t.test('an account that is not there answers the same', async (t) => {
    const { email } = await signUp(app);
    const told = async (names: object) => {
      const answers: unknown[] = [];
      const from = newAddress();
      for (const [pause, times, where] of [
        [0, FREE, undefined],
        [300, 2, undefined],
        [700, 1, undefined],
        [1, 2, undefined],
        [10_000, 3, from],
        [10_000, 1, from],
        [10_000, 1, from],
        [10_000, 1, from],
      ] as const) {
        advance(pause);
        for (let n = 0; n < times; n += 1) {
          const { statusCode, headers, ...answer } = await send(
            login(names, { from: where ?? newAddress() }),
          );
          const { request_id: _id, ...body } = answer.json();
          const { 'x-request-id': _same, date: _date, ...others } = headers;
          // Redis counts the address's window by its own clock.
          answers.push([statusCode, body, { ...others, 'ratelimit-reset': undefined }]);
        }
      }
      return answers;
    };
    const known = await told({ email });
    t.strictSame(await told({ email: `nobody.${email}` }), known);
    t.strictSame(await told({ username: 'nobody_at_all' }), known);
    t.match(
      known.map((each) => (each as [number])[0]),
      [...Array(FREE).fill(401), 429, 429, 401, 429, 429, 401, 429, 429, 401, 401, 401],
    );
  });
}

async function siege(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores, env: LIMITS });
  const { send, advance } = app;
  const compared = cheapPasswords(t);
  const owner = await signUp(app);
  const { email, device } = owner;

  // Every try as soon as it is allowed, one too early before it, each from another address.
  const HOURS = 2;
  let elapsed = 0;
  let wait = 0;
  for (let round = 0; elapsed < HOURS * HOUR; round += 1) {
    if (wait > 0) {
      advance(wait / 2);
      expectDelayed(t, await send(login({ email })), Math.ceil(wait / 2 / SECOND));
      advance(wait / 2);
      elapsed += wait;
    }
    const answer = await send(login({ email }));
    if (answer.statusCode !== 401) throw new Error(`try ${round} answered ${answer.statusCode}`);
    wait = Math.min(Math.max(0, round + 2 - FREE), 10) * SECOND;

    // The owner mistypes from time to time, and is never told to wait.
    if (round % 200 === 100) {
      expectProblem(t, await send(login({ email }, { device })), 401, 'invalid_credentials');
    }
  }
  const perTenSeconds = (HOURS * HOUR) / (10 * SECOND);
  const guesses = compared();
  t.ok(guesses <= FREE + 10 + perTenSeconds + 6, `${guesses} passwords compared in ${HOURS} hours`);
  t.ok(guesses > perTenSeconds, 'the siege was one');

  expectDelayed(t, await send(login({ email }, { password: PASSWORD })), 10);
  const inside = await send(login({ email }, { password: PASSWORD, device }));
  t.equal(inside.statusCode, 200, 'the owner walks in at once');
  t.equal((await send(meOf(inside.json().access))).statusCode, 200);

  await t.test('from an address that is exhausted too', async (t) => {
    const from = newAddress();
    const others = Array.from({ length: 30 }, (_, n) => ({ email: `somebody${n}@example.com` }));
    for (const names of others) await send(login(names, { from }));
    expectProblem(t, await send(login({ email }, { password: PASSWORD, from })), 429, 'rate_limited');
    const answer = await send(login({ email }, { password: PASSWORD, device, from }));
    t.equal(answer.statusCode, 200);
    t.match(answer.headers, { 'ratelimit-limit': '5', 'ratelimit-remaining': '3' }, 'by its own budget');
  });

  await t.test('and what an office logs in with known devices, its address does not spend', async (t) => {
    const from = newAddress();
    const office = await Promise.all(Array.from({ length: 31 }, () => signUp(app)));
    for (const person of office) {
      const answer = await send(login({ email: person.email }, { password: PASSWORD, from, ...person }));
      t.equal(answer.statusCode, 200);
      expectProblem(
        t,
        await send(login({ email: person.email }, { from, device: person.device })),
        401,
        'invalid_credentials',
      );
    }
    const answer = await send(login({ email: 'new@example.com' }, { from }));
    t.match(answer.headers, { 'ratelimit-limit': '5', 'ratelimit-remaining': '4' });
  });
}

async function notCompared(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores, env: LIMITS });
  const { app: server, send, advance } = app;

  await t.test('refused by the address: they count nowhere', async (t) => {
    cheapPasswords(t);
    const { email } = await signUp(app);
    const from = newAddress();
    for (let n = 0; n < 5; n += 1) await send(login({ email }, { from }));
    for (let n = 0; n < 10; n += 1) {
      expectProblem(t, await send(login({ email }, { from })), 429, 'rate_limited');
    }
    for (let n = 0; n < FREE - 5; n += 1) {
      expectProblem(t, await send(login({ email })), 401, 'invalid_credentials');
    }
    expectDelayed(t, await send(login({ email })), 1);
  });

  await t.test('refused because too many wait', async (t) => {
    let release = () => {};
    const opened = new Promise<void>((resolve) => {
      release = resolve;
    });
    t.capture(argon2, 'verify', async (_digest: string, password: string | Buffer) => {
      await opened;
      return password === PASSWORD;
    });
    const { email, device } = await signUp(app);
    // More than the queue holds, however many cores there are.
    const crowd = Array.from({ length: 200 }, (_, n) => send(login({ email: `crowd${n}@example.com` })));
    const full = async (): Promise<void> => {
      const answer = await send(login({ email: 'probe@example.com' }));
      if (answer.statusCode !== 503) return full();
    };
    await Promise.race([full(), Promise.all(crowd)]);
    for (let n = 0; n < 2 * FREE; n += 1) {
      expectProblem(t, await send(login({ email })), 503, 'overloaded');
      expectProblem(t, await send(login({ email }, { device })), 503, 'overloaded');
    }
    release();
    await Promise.all(crowd);
    await spendRow(t, app, { email });
    expectDelayed(t, await send(login({ email })), 1);
    const own = await send(login({ email }, { device }));
    t.match(own.headers, { 'ratelimit-remaining': '4' }, 'nor did the device pay');
  });

  await t.test('right, but the store failed or the account is disabled', async (t) => {
    cheapPasswords(t);
    const [one, other] = [await signUp(app), await signUp(app)];
    const { accounts } = server;
    await t.test('store', async (t) => {
      t.capture(server.stateStore, 'openSession', async () => {
        throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
      });
      for (let n = 0; n < 2 * FREE; n += 1) {
        const { statusCode } = await send(login({ email: one.email }, { password: PASSWORD }));
        t.equal(statusCode, 500);
      }
    });
    await t.test('the session was not stored: the address gets its try back once', async (t) => {
      const from = newAddress();
      for (let n = 0; n < 3; n += 1) await send(login({ email: one.email }, { from }));
      await t.test('away', async (t) => {
        t.capture(server.stateStore, 'openSession', async () => {
          throw new Error('away');
        });
        const known = login({ email: one.email }, { password: PASSWORD, from, device: one.device });
        for (let n = 0; n < 3; n += 1) t.equal((await send(known)).statusCode, 500);
      });
      const answer = await send(login({ email: one.email }, { from }));
      t.match(answer.headers, { 'ratelimit-limit': '5', 'ratelimit-remaining': '1' });
      t.equal((await send(login({ email: one.email }, { password: PASSWORD }))).statusCode, 200);
    });
    await accounts.setActive(other.id, false);
    for (let n = 0; n < 2 * FREE; n += 1) {
      const answer = await send(login({ email: other.email }, { password: PASSWORD }));
      expectProblem(t, answer, 403, 'account_disabled');
    }
    for (const { email } of [one, other]) await spendRow(t, app, { email });
    advance(SECOND);
    expectProblem(
      t,
      await send(login({ email: other.email }, { password: PASSWORD })),
      403,
      'account_disabled',
    );
  });
}

async function askedWithToken(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores, env: LIMITS });
  const { send, advance } = app;
  cheapPasswords(t);

  await t.test('count as logins', async (t) => {
    const { email, access, device } = await signUp(app);
    for (let n = 0; n < FREE; n += 1) {
      const request = n % 2 === 0 ? login({ email }) : removeMe(access);
      expectProblem(t, await send(request), 401, 'invalid_credentials');
    }
    expectDelayed(t, await send(login({ email }, { password: PASSWORD })), 1);
    expectDelayed(t, await send(removeMe(access, { password: PASSWORD })), 1);
    expectProblem(t, await send(removeMe(access, { device })), 401, 'invalid_credentials');
    t.equal((await send(removeMe(access, { password: PASSWORD, device }))).statusCode, 204);
  });

  await t.test('a right one ends the row, even if nothing comes of it', async (t) => {
    const { email, access } = await signUp(app);
    await spendRow(t, app, { email });
    advance(SECOND);
    await t.test('the change fails', async (t) => {
      t.capture(app.app.stateStore, 'fenceUser', async () => {
        throw new Error('away');
      });
      t.equal((await send(removeMe(access, { password: PASSWORD }))).statusCode, 500);
    });
    await spendRow(t, app, { email });
    expectDelayed(t, await send(login({ email })), 1);
  });
}

async function knownDevices(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores, env: LIMITS });
  const { send, advance } = app;
  cheapPasswords(t);

  await t.test('have a budget of their own, and a delay', async (t) => {
    const { email, device } = await signUp(app);
    for (const remaining of ['4', '3', '2', '1', '0']) {
      const answer = await send(login({ email }, { device }));
      expectProblem(t, answer, 401, 'invalid_credentials');
      t.match(answer.headers, { 'ratelimit-limit': '5', 'ratelimit-remaining': remaining });
    }
    const spent = await send(login({ email }, { password: PASSWORD, device }));
    expectProblem(t, spent, 429, 'rate_limited');
    t.match(spent.headers, { 'ratelimit-limit': '5', 'ratelimit-remaining': '0', 'retry-after': '60' });
    advance(MINUTE);
    for (let n = 0; n < 5; n += 1) await send(login({ email }, { device }));
    advance(500);
    expectProblem(t, await send(login({ email }, { device })), 429, 'rate_limited');
    advance(MINUTE);
    expectProblem(t, await send(login({ email }, { device })), 401, 'invalid_credentials');
    expectDelayed(t, await send(login({ email }, { password: PASSWORD, device })), 2);
    expectProblem(t, await send(login({ email })), 401, 'invalid_credentials');
    advance(2 * SECOND);
    t.equal((await send(login({ email }, { password: PASSWORD, device }))).statusCode, 200);
  });

  await t.test('keep their id at this account, and get another at the next', async (t) => {
    const [one, other] = [await signUp(app), await signUp(app)];
    const again = await send(login({ email: one.email }, { password: PASSWORD, device: one.device }));
    t.equal(deviceOf(again), one.device);
    const changed = await send(login({ email: other.email }, { password: PASSWORD, device: one.device }));
    t.not(deviceOf(changed).slice(0, 22), one.device.slice(0, 22));
    const bare = await send(login({ email: one.email }, { password: PASSWORD }));
    t.not(deviceOf(bare).slice(0, 22), one.device.slice(0, 22));
    for (const each of [one.device, deviceOf(bare)]) t.equal(await isKnown(app, one, each), true);
  });

  await t.test('a cookie that is forged, foreign or malformed is none', async (t) => {
    const [owner, thief] = [await signUp(app), await signUp(app)];
    const { email } = owner;
    const secrets = (key: string) => createSecretDeriver([{ private: key }])('device cookie');
    const [id, signature] = owner.device.split('.') as [string, string];
    const byKey = (key: string, account: string, deviceId = newDeviceId()) =>
      createDeviceCookies({ secrets: () => secrets(key) }).write(deviceId, account);
    t.equal(byKey(TEST_KEY, owner.id, id), owner.device, 'this is how it is made');
    // The same bits in another spelling.
    const alias = signature.slice(0, -1) + String.fromCharCode(signature.charCodeAt(42) + 1);

    const others: Record<string, string> = {
      'of another account': thief.device,
      'with the id of another account’s device': byKey(TEST_KEY, owner.id, thief.device.slice(0, 22)),
      'signed, but of no device that logged in': byKey(TEST_KEY, owner.id),
      'by another key': byKey(`${TEST_KEY}x`, owner.id, id),
      'with another id': `${newDeviceId()}.${signature}`,
      'in another spelling': `${id}.${alias}`,
      'without a signature': id,
      'with an empty one': `${id}.`,
      'too long': `${owner.device}x`,
      empty: '',
      'a list': '{"0":1}',
      'very long': 'x'.repeat(4000),
    };
    await spendRow(t, app, { email });
    for (const [name, value] of Object.entries(others)) {
      t.equal(await isKnown(app, owner, value), false, name);
      expectDelayed(t, await send(login({ email }, { device: value, password: PASSWORD })), 1);
    }
    t.equal(await isKnown(app, owner, owner.device), true);
    t.equal(await isKnown(app, thief, thief.device), true);
  });

  await t.test('a stale cookie gets a new device, not the old one back', async (t) => {
    const { email, access, device } = await signUp(app);
    const out = { method: 'POST', url: '/api/auth/logout-all', headers: bearer(access) } as const;
    t.equal((await send(out)).statusCode, 200);
    const next = deviceOf(await send(login({ email }, { password: PASSWORD, device })));
    t.not(next, device);
    await spendRow(t, app, { email });
    t.equal(await isKnown(app, { email }, device), false);
    t.equal(await isKnown(app, { email }, next), true);
  });

  await t.test('end with all sessions, and not with one', async (t) => {
    const owner = await signUp(app);
    const { email, id } = owner;
    const second = await send(login({ email }, { password: PASSWORD }));
    const devices = [owner.device, deviceOf(second)];
    const known = () => Promise.all(devices.map((device) => isKnown(app, owner, device)));
    await spendRow(t, app, { email });
    const out = { method: 'POST', url: '/api/auth/logout', headers: bearer(owner.access) } as const;
    t.equal((await send(out)).statusCode, 200);
    t.strictSame(await known(), [true, true]);
    t.equal(
      (await send({ ...out, url: '/api/auth/logout-all', headers: bearer(second.json().access) })).statusCode,
      200,
    );
    t.strictSame(await known(), [false, false]);

    advance(HOUR);
    const device = deviceOf(await send(login({ email }, { password: PASSWORD })));
    await spendRow(t, app, { email });
    t.equal(await isKnown(app, owner, device), true);
    await app.app.accounts.setActive(id, false);
    await app.app.accounts.setActive(id, true);
    t.equal(await isKnown(app, owner, device), false, 'nor do they outlive a ban');
  });
}

t.test('several processes on one Redis', async (t) => {
  const first = await testApp(t, { stores: 'servers', env: LIMITS });
  const { redisPrefix, databaseUrl } = first.config;
  const shared = { ...LIMITS, REDIS_PREFIX: redisPrefix, DATABASE_URL: databaseUrl as string };
  const second = await testApp(t, { stores: 'servers', env: shared });
  const apps = [first, second];
  const compared = cheapPasswords(t);

  await t.test('guesses side by side are never more than one after the other', async (t) => {
    const { email, device } = await signUp(first);
    const storm = (options: () => InjectOptions) =>
      Promise.all(Array.from({ length: 60 }, (_, n) => apps[n % 2]!.send(options())));
    const counts = (answers: LightMyRequestResponse[]) =>
      [401, 429].map((status) => answers.filter(({ statusCode }) => statusCode === status).length);
    compared();
    t.same(counts(await storm(() => login({ email }))), [FREE, 60 - FREE]);
    for (const seconds of [1, 2, 3]) {
      for (const app of apps) expectDelayed(t, await app.send(login({ email })), seconds);
      for (const app of apps) app.advance(seconds * SECOND);
      t.same(counts(await storm(() => login({ email }))), [1, 59]);
    }
    t.equal(compared(), FREE + 3);
    t.same(counts(await storm(() => login({ email }, { device }))), [5, 55], 'from one known device');
    t.equal(compared(), 5);
  });

  await t.test('a device is known to all', async (t) => {
    const { email, device } = await signUp(first);
    await spendRow(t, second, { email });
    for (const app of apps) t.equal(await isKnown(app, { email }, device), true);
  });

  await t.test('and while the keys rotate, by any key in force', async (t) => {
    const owner = await signUp(first);
    const keys = JSON.stringify({ keys: [generateKey('EdDSA', 0)] });
    const both = await testApp(t, { stores: 'servers', env: { ...shared, JWT_KEYSET: keys } });
    const only = await testApp(t, {
      stores: 'servers',
      env: { ...shared, JWT_KEYSET: keys, JWT_SIGNING_KEY: '' },
    });
    await spendRow(t, first, { username: owner.username });
    t.equal(await isKnown(both, owner, owner.device), true);
    t.equal(await isKnown(only, owner, owner.device), false, 'a key that is gone verifies nothing');
    const { email, device } = owner;
    const renewed = deviceOf(await both.send(login({ email }, { password: PASSWORD, device })));
    t.equal(renewed.slice(0, 22), device.slice(0, 22), 'the same device');
    t.not(renewed, device, 'by the new key');
    await spendRow(t, first, { email });
    t.equal(await isKnown(only, owner, renewed), true);
    t.equal(await isKnown(first, owner, renewed), false);
  });
});

t.test('the cookie', async (t) => {
  cheapPasswords(t);
  const AGE = 90 * 86_400;
  const line = (answer: LightMyRequestResponse) =>
    [answer.headers['set-cookie'] ?? []].flat().filter((each) => each.startsWith(`${NAME}=`));

  await t.test('has these attributes, with every transport', async (t) => {
    for (const [url, secure] of [
      ['http://localhost:8000', ''],
      ['https://id.example.com', ' Secure;'],
    ] as const) {
      const app = await watchedApp(t, { env: { ...LIMITS, PUBLIC_URL: url } });
      const form = new RegExp(
        `^${NAME}=[\\w-]{22}\\.[\\w-]{43}; Max-Age=${AGE}; Path=/; HttpOnly;${secure} SameSite=Strict$`,
      );
      const { email } = await signUp(app);
      const byCookie = { 'x-auth-transport': 'cookie' };
      const register = {
        method: 'POST',
        url: '/api/auth/register',
        payload: { email: `also.${email}`, password: PASSWORD },
      } as const;
      const asked: [InjectOptions, number][] = [
        [register, 1],
        [{ ...register, payload: { email: `third.${email}`, password: PASSWORD }, headers: byCookie }, 2],
        [login({ email }, { password: PASSWORD }), 1],
        [{ ...login({ email }, { password: PASSWORD }), headers: byCookie }, 2],
      ];
      for (const [request, count] of asked) {
        const answer = await app.send(request);
        t.ok(answer.statusCode < 300);
        t.equal([answer.headers['set-cookie']].flat().length, count);
        t.equal(line(answer).length, 1);
        t.match(line(answer)[0], form);
      }
    }
  });

  await t.test('comes with a login and with nothing else', async (t) => {
    const app = await watchedApp(t, { env: LIMITS });
    const { email, access, refresh, device } = await signUp(app);
    const jar = cookies(device);
    const post = { method: 'POST', headers: { 'x-auth-transport': 'cookie' }, ...jar } as const;
    const requests: InjectOptions[] = [
      login({ email }, { device }),
      login({ email: 'nobody@example.com' }, { device }),
      { ...meOf(access), ...jar },
      { ...post, url: '/api/auth/refresh', payload: { refresh } },
      { ...post, url: '/api/auth/logout', payload: { refresh } },
    ];
    for (const request of requests) t.strictSame(line(await app.send(request)), [], String(request.url));
  });

  await t.test('opens nothing', async (t) => {
    const app = await watchedApp(t, { env: LIMITS });
    const { device } = await signUp(app);
    expectProblem(t, await app.send({ url: '/api/auth/me', ...cookies(device) }), 401, 'token_missing');
    const refresh = { method: 'POST', url: '/api/auth/refresh', ...cookies(device) } as const;
    expectProblem(t, await app.send(refresh), 401, 'token_missing');
  });
});

t.test('Retry-After is the first whole second that is not too early', async (t) => {
  const limit = { max: 5, windowMs: MINUTE };
  const limits = (retryMs: number) =>
    createLoginLimits({
      store: {
        countTry: async () => ({
          status: 'delayed',
          retryMs,
          limit: { max: 5, remaining: 5, resetMs: MINUTE },
        }),
        uncountTry: async () => undefined,
        endRow: async () => undefined,
        listDevices: async () => [],
      },
      devices: createDeviceCookies({ secrets: () => [] }),
      now: Date.now,
      perIdentifier: limit,
      perAddress: undefined,
    });
  for (const [retryMs, retryAfter] of [
    [1, 1],
    [1000, 1],
    [1001, 2],
    [10_000, 10],
  ] as const) {
    const tried = limits(retryMs).countTry({ kind: 'email', key: 'x' }, 'id', { ip: '::1', userAgent: '' });
    await t.rejects(tried, { code: 'account_delayed', retryAfter });
  }
});

t.test('RATE_LIMIT_LOGIN=off ends the delay too', async (t) => {
  const app = await watchedApp(t, { env: { RATE_LIMIT_LOGIN: 'off', RATE_LIMIT_LOGIN_IP: '3/minute' } });
  const { send } = app;
  cheapPasswords(t);
  const { email, access, device } = await signUp(app);
  const from = newAddress();
  for (let n = 0; n < 3 * FREE; n += 1) {
    for (const request of [login({ email }, { from }), removeMe(access, { from })]) {
      const answer = await send(request);
      expectProblem(t, answer, 401, 'invalid_credentials');
      t.equal(answer.headers['ratelimit-limit'], undefined);
    }
  }
  const answer = await send(login({ email }, { password: PASSWORD, device, from }));
  t.equal(answer.statusCode, 200);
  t.equal(deviceOf(answer), device, 'the device is the one it was');
  t.equal((await send(removeMe(access, { password: PASSWORD, from }))).statusCode, 204);
});
