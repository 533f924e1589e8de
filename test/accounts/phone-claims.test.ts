import t, { type Test } from 'tap';
import { storeUnavailable } from '../../src/errors.js';
import { expectProblem, meOf, refreshWith } from '../http/answers.js';
import {
  codeFor,
  freshNumber,
  loginBy,
  phones as openPhones,
  type Phones,
  registerBy,
  sendOf,
  signUpByPhone,
  UNLIMITED,
} from '../http/phones.js';
import { watchedApp } from '../http/watched-app.js';
import {
  bearer,
  PASSWORD,
  type SignedUp,
  STORES,
  type Stores,
  signUp,
  type TestApp,
} from '../support/app.js';

interface Scene extends TestApp {
  phones: Phones;
}

interface Squatted extends SignedUp {
  username: string;
  typed: string;
  e164: string;
}

for (const stores of STORES) {
  t.test(stores, async (t) => {
    const phones = await openPhones(t);
    const app = await watchedApp(t, { stores, env: { ...phones.env, ...UNLIMITED } });
    const scene = { ...app, phones };
    await t.test('whoever proves the number has the account to themselves', (t) => takeOver(t, scene));
    await t.test('by registering as well', (t) => byRegistering(t, scene));
    await t.test('a verified address stays', (t) => verifiedAddress(t, scene));
    await t.test('logins that race with it', (t) => races(t, scene));
    await t.test('a store that fails in between', (t) => failures(t, scene, stores));
    await t.test('an account that changes in between', (t) => changes(t, scene));
  });
}

/** An account with a number that nobody proved, as an import leaves it; somebody else has its password. */
async function squat(scene: Scene, columns: object = {}): Promise<Squatted> {
  const number = freshNumber();
  const username = `u${number.typed}x`;
  const person = await signUp(scene, { username, first_name: 'Squatter' });
  await scene.app.database.db
    .updateTable('users')
    .set({ phone: number.e164, ...columns })
    .where('id', '=', person.user.id)
    .execute();
  return { ...person, ...number, username };
}

const byPassword = (names: object) =>
  ({ method: 'POST', url: '/api/auth/login', payload: { ...names, password: PASSWORD } }) as const;

async function rowOf({ app }: TestApp, id: string) {
  const columns = ['email', 'email_key', 'password_hash', 'phone_verified', 'auth_version'] as const;
  return app.database.db.selectFrom('users').select(columns).where('id', '=', id).executeTakeFirstOrThrow();
}

/** Whether a try from there would be the device's own. */
async function isKnownDevice({ app }: Scene, { user }: Squatted, cookie: string): Promise<boolean> {
  const limit = { max: 1000, windowMs: 60_000 };
  const verdict = await app.stateStore.logins.countTry({
    address: '192.0.2.1',
    addressRules: [{ name: 'probe', ...limit }],
    account: user.id,
    deviceId: app.devices.read(cookie, user.id),
    deviceLimit: limit,
    delay: { after: 1000, stepMs: 1000, maxMs: 1000 },
    now: Date.now(),
  });
  return verdict.status === 'counted' && verdict.counted.row?.deviceId !== undefined;
}

async function expectShutOut(t: Test, { send }: Scene, squatter: Squatted): Promise<void> {
  expectProblem(t, await send(meOf(squatter.access)), 401, 'token_revoked');
  expectProblem(t, await send(refreshWith(squatter.refresh)), 401, 'session_ended', {
    reason: 'identity_verified',
  });
  const { email, username, typed: phone } = squatter;
  for (const names of [{ email }, { username }, { phone }]) {
    expectProblem(t, await send(byPassword(names)), 401, 'invalid_credentials');
  }
}

async function takeOver(t: Test, scene: Scene): Promise<void> {
  const { send, phones, app } = scene;
  const squatter = await squat(scene);
  t.equal((await send(byPassword({ phone: squatter.typed }))).statusCode, 200, 'it is theirs until then');
  const byEmail = await send(byPassword({ email: squatter.email }));
  const second = byEmail.json();
  const device = byEmail.cookies.find(({ name }) => name === 'latchkey_device')!.value;
  t.ok(await isKnownDevice(scene, squatter, device));

  const answer = await send(loginBy(squatter.typed, await codeFor(scene, phones, squatter.e164)));
  t.equal(answer.statusCode, 200);
  const { user, access, refresh } = answer.json();
  t.match(user, {
    id: squatter.user.id,
    phone: squatter.e164,
    phone_verified: true,
    email: null,
    email_verified: false,
    first_name: 'Squatter',
  });
  await expectShutOut(t, scene, squatter);
  await expectShutOut(t, scene, { ...squatter, ...second });
  t.notOk(await isKnownDevice(scene, squatter, device));
  t.strictSame((await send(meOf(access))).json(), user);
  t.equal((await send(refreshWith(refresh))).statusCode, 200);
  t.match(await rowOf(scene, user.id), { password_hash: null, email_key: null, auth_version: 2 });

  const { sessions } = (await send({ url: '/api/auth/sessions', headers: bearer(access) })).json();
  t.equal(sessions.length, 1);
  const { events } = (await send({ url: '/api/auth/activity', headers: bearer(access) })).json();
  const claim = events.find(({ type }: { type: string }) => type === 'phone_verified');
  t.match(claim, { reason: 'identity_verified', ip: '127.0.0.1' });

  const again = await send(loginBy(squatter.typed, await codeFor(scene, phones, squatter.e164)));
  t.equal(again.statusCode, 200);
  t.equal((await send(meOf(access))).statusCode, 200, 'the second time nobody is shut out');
  const payload = { email: squatter.email, password: PASSWORD };
  const back = await send({ method: 'POST', url: '/api/auth/register', payload });
  t.equal(back.statusCode, 201, 'whoever has the address can register it');
  t.equal((await app.database.accounts.findById(user.id))?.email, null);
}

async function byRegistering(t: Test, scene: Scene): Promise<void> {
  const { send, phones } = scene;
  const squatter = await squat(scene);
  const names = { first_name: 'Grace', user_type: 'business' };
  const code = await codeFor(scene, phones, squatter.e164, 'register');
  const answer = await send(registerBy(squatter.typed, code, names));
  t.equal(answer.statusCode, 201);
  t.match(answer.json().user, {
    id: squatter.user.id,
    ...names,
    last_name: '',
    email: null,
    phone_verified: true,
  });
  await expectShutOut(t, scene, squatter);
  const again = await codeFor(scene, phones, squatter.e164, 'register');
  expectProblem(t, await send(registerBy(squatter.typed, again, names)), 409, 'phone_taken');
  t.equal((await send(meOf(answer.json().access))).statusCode, 200);
}

async function verifiedAddress(t: Test, scene: Scene): Promise<void> {
  const { send, phones } = scene;
  const squatter = await squat(scene, { email_verified: 1 });
  const answer = await send(loginBy(squatter.typed, await codeFor(scene, phones, squatter.e164)));
  t.match(answer.json().user, { email: squatter.email, email_verified: true, phone_verified: true });
  await expectShutOut(t, scene, squatter);
  t.match(await rowOf(scene, squatter.user.id), { email_key: squatter.email, password_hash: null });
}

async function races(t: Test, scene: Scene): Promise<void> {
  const { send, phones } = scene;
  let late = 0;
  for (let round = 0; round < 5; round += 1) {
    const squatter = await squat(scene);
    const code = await codeFor(scene, phones, squatter.e164);
    const logins = Array.from({ length: 6 }, () => send(byPassword({ email: squatter.email })));
    const [owner, ...others] = await Promise.all([send(loginBy(squatter.typed, code)), ...logins]);
    t.equal(owner.statusCode, 200);
    for (const other of others) {
      if (other.statusCode !== 200) {
        expectProblem(t, other, 401, 'invalid_credentials');
        continue;
      }
      late += 1;
      expectProblem(t, await send(meOf(other.json().access)), 401, 'token_revoked');
      expectProblem(t, await send(refreshWith(other.json().refresh)), 401, 'session_ended', {
        reason: 'identity_verified',
      });
    }
    t.equal((await send(meOf(owner.json().access))).statusCode, 200);
  }
  t.ok(late > 0, `${late} logins were under way`);
}

async function failures(t: Test, scene: Scene, stores: Stores): Promise<void> {
  const { send, phones, app } = scene;
  const away = async () => {
    throw storeUnavailable(new Error('away'));
  };

  await t.test('the fence: nothing has changed', async (t) => {
    const squatter = await squat(scene);
    const code = await codeFor(scene, phones, squatter.e164);
    t.intercept(app.stateStore, 'fenceUser', { value: away });
    expectProblem(t, await send(loginBy(squatter.typed, code)), 503, 'store_unavailable');
    t.equal((await send(meOf(squatter.access))).statusCode, 200);
    t.match(await rowOf(scene, squatter.user.id), { phone_verified: 0, email: squatter.email });
  });

  await t.test('SQL: nothing has changed', async (t) => {
    const squatter = await squat(scene);
    const code = await codeFor(scene, phones, squatter.e164);
    t.intercept(app.database.accounts, 'claimByPhone', { value: away });
    expectProblem(t, await send(loginBy(squatter.typed, code)), 503, 'store_unavailable');
    t.equal((await send(meOf(squatter.access))).statusCode, 200);
  });

  await t.test('the snapshot: the change stands, and everybody knows', async (t) => {
    const squatter = await squat(scene);
    const code = await codeFor(scene, phones, squatter.e164);
    t.intercept(app.stateStore, 'publishUser', { value: away });
    const answer = await send(loginBy(squatter.typed, code));
    t.equal(answer.statusCode, 200);
    expectProblem(t, await send(meOf(squatter.access)), 401, 'token_revoked');
    t.equal((await send(meOf(answer.json().access))).statusCode, 200, stores);
    t.match(scene.logs(), '"msg":"a snapshot could not be written"');
  });

  await t.test('the snapshot of a new account: the first request asks SQL', async (t) => {
    t.intercept(app.stateStore, 'cacheUser', { value: away });
    const person = await signUpByPhone(scene, phones);
    t.equal((await app.database.accounts.findById(person.user.id))?.phone, person.e164);
  });

  await t.test('SQL, after a send was counted: the budget is given back', async (t) => {
    const scene = await watchedApp(t, { stores, env: phones.env });
    const { typed } = freshNumber();
    const found = t.intercept(scene.app.database.accounts, 'findOwnerOfPhone', { value: away });
    expectProblem(t, await scene.send(sendOf(typed)), 503, 'store_unavailable');
    expectProblem(t, await scene.send(sendOf(typed)), 503, 'store_unavailable');
    t.equal(found().length, 2);
    found.restore();
    t.equal((await scene.send(sendOf(typed))).json().resend_in, 30, 'as if it were the first');
    expectProblem(t, await scene.send(sendOf(typed)), 429, 'otp_cooldown');
  });
}

async function changes(t: Test, scene: Scene): Promise<void> {
  const { send, phones, app } = scene;
  const { accounts } = app.database;

  await t.test('the number was proved otherwise meanwhile', async (t) => {
    const squatter = await squat(scene);
    const code = await codeFor(scene, phones, squatter.e164);
    const stored = await accounts.findByIdentifier({ kind: 'phone', key: squatter.e164 });
    await app.database.db
      .updateTable('users')
      .set({ phone_verified: 1 })
      .where('id', '=', squatter.user.id)
      .execute();
    t.intercept(accounts, 'findByIdentifier', { value: async () => stored });
    expectProblem(t, await send(loginBy(squatter.typed, code)), 401, 'invalid_credentials');
    t.equal((await send(meOf(squatter.access))).statusCode, 200, 'who proved it keeps the session');
  });

  await t.test('it was disabled: the code opens nothing', async (t) => {
    const squatter = await squat(scene);
    const code = await codeFor(scene, phones, squatter.e164);
    await app.accounts.setActive(squatter.user.id, false);
    expectProblem(t, await send(loginBy(squatter.typed, code)), 403, 'account_disabled');
    const register = await codeFor(scene, phones, squatter.e164, 'register');
    expectProblem(t, await send(registerBy(squatter.typed, register)), 409, 'phone_taken');
    t.match(await rowOf(scene, squatter.user.id), { phone_verified: 0, email: squatter.email });
  });

  await t.test('another was quicker to take the number', async (t) => {
    const { typed, e164 } = freshNumber();
    const code = await codeFor(scene, phones, e164, 'register');
    const other = await signUp(scene);
    await app.database.db.updateTable('users').set({ phone: e164 }).where('id', '=', other.user.id).execute();
    t.intercept(accounts, 'findByIdentifier', { value: async () => undefined });
    expectProblem(t, await send(registerBy(typed, code)), 409, 'phone_taken', { fields: ['phone:taken'] });
  });
}
