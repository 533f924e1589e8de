import t, { type Test } from 'tap';
import type { OtpPurpose } from '../../src/contract/otp.js';
import { toIso } from '../../src/lib/clock.js';
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
import { decode, expectProblem, meOf, refreshWith } from './answers.js';
import {
  codeFor,
  freshNumber,
  loginBy,
  phones as openPhones,
  otherThan,
  type PhonePerson,
  type Phones,
  registerBy,
  sendOf,
  signUpByPhone,
  UNLIMITED,
} from './phones.js';
import { watchedApp } from './watched-app.js';

/** The headers that say what is left of a limit. */
const LEFT = (max: number, remaining: number, seconds: number) => ({
  'ratelimit-limit': String(max),
  'ratelimit-remaining': String(remaining),
  'ratelimit-reset': String(seconds),
});

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

interface Scene extends TestApp {
  phones: Phones;
}

async function open(t: Test, stores: Stores, env: Record<string, string> = {}): Promise<Scene> {
  const phones = await openPhones(t);
  return { phones, ...(await watchedApp(t, { stores, env: { ...phones.env, ...env } })) };
}

const remove = (access: string, payload: object) =>
  ({ method: 'DELETE', url: '/api/auth/me', headers: bearer(access), payload }) as const;

/** All that was handed to the outbox before has been delivered once this was. */
async function settled(scene: Scene): Promise<void> {
  await codeFor(scene, scene.phones, freshNumber().e164, 'verify');
}

const eventsOf = async ({ app }: TestApp, userId: string | null): Promise<string[]> => {
  await app.events.flush();
  const rows = await app.database.db.selectFrom('events').selectAll().orderBy('id').execute();
  return rows.filter((row) => row.user_id === userId).map(({ type }) => type);
};

for (const stores of STORES) {
  t.test(stores, async (t) => {
    await t.test('registering, signing in, signing out, deleting', (t) => wholeLife(t, stores));
    await t.test('requests that cannot be served', (t) => refusals(t, stores));
    await t.test('a code is for one purpose, one number, one use, one while', (t) => bindings(t, stores));
    await t.test('known and unknown numbers', (t) => enumeration(t, stores));
    await t.test('spellings of a number', (t) => spellings(t, stores));
    await t.test('cool-downs and budgets of sends', (t) => budgets(t, stores));
    await t.test('wrong codes', (t) => wrongCodes(t, stores));
    await t.test('one address and many numbers', (t) => spraying(t, stores));
    await t.test('accounts that are disabled or gone', (t) => disabled(t, stores));
    await t.test('password and phone', (t) => passwords(t, stores));
    await t.test('deleting the account', (t) => deleting(t, stores));
    await t.test('while nothing can be delivered', (t) => noDelivery(t, stores));
    await t.test('the spend guard', (t) => spendGuard(t, stores));
    await t.test('nothing personal in log or store', (t) => secrecy(t, stores));
  });
}

async function wholeLife(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores);
  const { send, phones } = scene;
  const { typed, e164 } = freshNumber();

  const sent = await send(sendOf(typed, 'register'));
  t.equal(sent.statusCode, 200);
  t.strictSame(sent.json(), {
    message: 'If this number can use a code, it is on its way.',
    expires_in: 300,
    resend_in: 30,
  });
  t.equal(sent.headers['cache-control'], 'no-store');
  t.match(sent.headers, LEFT(5, 4, 3600), 'of the budget of the number: it is no anonymous request');
  const { code, ...message } = await phones.newest(e164, 1);
  t.match(code, /^\d{6}$/);
  t.strictSame(message, {
    to: e164,
    purpose: 'register',
    text: `Your registration code: ${code}\nNever pass it on to anyone.\n\n@localhost #${code}`,
  });

  const names = { first_name: ' Ada ', last_name: 'Lovelace', user_type: 'business' };
  const registered = await send(registerBy(typed, code, names));
  t.equal(registered.statusCode, 201);
  const { user, access, refresh, ...pair } = registered.json();
  t.strictSame(pair, { token_type: 'Bearer', expires_in: 900, refresh_expires_in: 604_800 });
  t.match(user, {
    phone: e164,
    phone_verified: true,
    email: null,
    email_verified: false,
    username: null,
    first_name: 'Ada',
    last_name: 'Lovelace',
    user_type: 'business',
    role: 'viewer',
    is_active: true,
    is_staff: false,
  });
  t.equal(decode(access).claims.phone, e164);
  t.equal(decode(access).claims.email, undefined, 'what is null is absent');
  t.strictSame((await send(meOf(access))).json(), user);
  t.equal((await send(refreshWith(refresh))).statusCode, 200);
  t.match(registered.headers['set-cookie'], /^latchkey_device=/, 'the device is known from now on');

  const again = await send(loginBy(e164, await codeFor(scene, phones, e164)));
  t.equal(again.statusCode, 200);
  t.equal(again.json().user.id, user.id);
  t.ok(again.json().user.last_login >= user.last_login);
  await scene.app.events.flush();
  const stored = await scene.app.database.accounts.findById(user.id);
  t.equal(stored?.lastLogin && toIso(stored.lastLogin), again.json().user.last_login);
  const text = phones.inbox(e164).at(-1)!.text;
  t.match(text, /^Your sign-in code: \d{6}\n/);

  const { refresh: second, access: secondAccess } = again.json();
  const logout = { method: 'POST', url: '/api/auth/logout', payload: { refresh: second } } as const;
  t.equal((await send(logout)).statusCode, 200);
  expectProblem(t, await send(meOf(secondAccess)), 401, 'token_revoked');
  const third = (await send(loginBy(typed, await codeFor(scene, phones, e164)))).json();
  const everywhere = { method: 'POST', url: '/api/auth/logout-all', headers: bearer(third.access) } as const;
  t.equal((await send(everywhere)).statusCode, 200);
  for (const token of [third.access, access]) expectProblem(t, await send(meOf(token)), 401, 'token_revoked');

  const fourth = (await send(loginBy(typed, await codeFor(scene, phones, e164)))).json();
  const proof = { phone: typed, otp: await codeFor(scene, phones, e164, 'verify') };
  t.equal((await send(remove(fourth.access, proof))).statusCode, 204);
  expectProblem(t, await send(refreshWith(fourth.refresh)), 401, 'session_ended', {
    reason: 'account_deleted',
  });

  await t.test('the message is in the language of the request', async (t) => {
    const number = freshNumber();
    const headers = { 'accept-language': 'fa-IR, en;q=0.5' };
    const answer = await send({ ...sendOf(number.typed, 'register'), headers });
    t.match(answer.json().message, /^اگر این شماره/);
    const { text, code } = await phones.newest(number.e164, 1);
    t.equal(text, `کد ثبت‌نام: ${code}\nبه هیچ‌کس ندهید.\n\n@localhost #${code}`);
  });

  await t.test('tokens go into the cookie where that is asked for', async (t) => {
    const number = freshNumber();
    const otp = await codeFor(scene, phones, number.e164, 'register');
    const headers = { 'x-auth-transport': 'cookie' };
    const answer = await send({ ...registerBy(number.typed, otp), headers });
    t.equal(answer.json().refresh, undefined);
    t.strictSame(answer.cookies.map(({ name }) => name).sort(), ['latchkey_device', 'latchkey_refresh']);
  });
}

async function refusals(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, { OTP_COUNTRIES_DENIED: 'GB,US', REGISTRATION: 'closed' });
  const { send, phones } = scene;
  const { typed } = freshNumber();

  const phone = { fields: ['phone:invalid_format'] };
  for (const wrong of [
    '',
    ' ',
    'x',
    '0912',
    '02188888888',
    `${typed}0`,
    '+1 911',
    'x'.repeat(128),
    '٠'.repeat(70),
  ]) {
    expectProblem(t, await send(sendOf(wrong)), 400, 'invalid_phone', phone);
    expectProblem(t, await send(loginBy(wrong, '123456')), 400, 'invalid_phone', phone);
  }
  for (const abroad of ['+447400123456', '+12015550123']) {
    const denied = { fields: ['phone:invalid_value'] };
    expectProblem(t, await send(sendOf(abroad, 'verify')), 400, 'invalid_phone', denied);
  }
  const bodies: [object, string[]][] = [
    [{}, ['phone:required', 'purpose:required']],
    [{ phone: typed }, ['purpose:required']],
    [{ phone: typed, purpose: 'delete' }, ['purpose:invalid_value']],
    [{ phone: typed, purpose: 'login', code: '1' }, ['code:unknown']],
    [{ phone: 9_123_456_789, purpose: 'login' }, ['phone:invalid_type']],
    [{ phone: ['x'], purpose: 'login' }, ['phone:invalid_type']],
    [{ phone: 'x'.repeat(129), purpose: 'login' }, ['phone:too_long']],
  ];
  for (const [payload, fields] of bodies) {
    const answer = await send({ method: 'POST', url: '/api/auth/otp/send', payload });
    expectProblem(t, answer, 400, 'invalid_request', { fields });
  }

  const forms: ['login' | 'register', object, string[]][] = [
    ['login', { otp: '123456' }, ['phone:required']],
    ['login', { phone: typed }, ['password:required']],
    ['login', { phone: typed, otp: '1', password: 'x' }, ['password:unknown']],
    ['login', { email: 'a@b.example', otp: '1' }, ['phone:required', 'email:unknown']],
    ['login', { phone: typed, email: 'a@b.example', password: 'x' }, ['phone:unknown']],
    [
      'login',
      { phone: typed, username: 'a', email: 'b', password: 'x' },
      ['username:unknown', 'phone:unknown'],
    ],
    ['login', { phone: typed, otp: 123_456 }, ['otp:invalid_type']],
    ['login', { phone: typed, otp: 'x'.repeat(65) }, ['otp:too_long']],
    ['register', { phone: typed }, ['otp:required']],
    ['register', { otp: '123456' }, ['phone:required']],
    [
      'register',
      { phone: typed, otp: '1', email: 'a@b.example', password: 'x', password2: 'x', username: 'a' },
      ['email:unknown', 'password:unknown', 'password2:unknown', 'username:unknown'],
    ],
  ];
  for (const [path, payload, fields] of forms) {
    const answer = await send({ method: 'POST', url: `/api/auth/${path}`, payload });
    expectProblem(t, answer, 400, 'invalid_request', { fields });
  }

  expectProblem(t, await send(sendOf(typed, 'register')), 403, 'registration_closed');
  expectProblem(t, await send(registerBy(typed, '123456')), 403, 'registration_closed');
  await settled(scene);
  t.equal(phones.provider.received.length, 1, 'nothing was sent but the last one');

  await t.test('names are judged before the code, which is not spent by them', async (t) => {
    const scene = await open(t, stores);
    const { typed, e164 } = freshNumber();
    const code = await codeFor(scene, scene.phones, e164, 'register');
    const wrong = registerBy(typed, code, { first_name: 'a\u0000', user_type: 'admin' });
    expectProblem(t, await scene.send(wrong), 400, 'invalid_request', {
      fields: ['first_name:invalid_format', 'user_type:invalid_value'],
    });
    t.equal((await scene.send(registerBy(typed, code))).statusCode, 201);
  });

  await t.test('only some countries', async (t) => {
    const scene = await open(t, stores, { OTP_COUNTRIES: 'GB' });
    expectProblem(t, await scene.send(sendOf(typed)), 400, 'invalid_phone');
    t.equal((await scene.send(sendOf('+447400123456', 'verify'))).statusCode, 200);
  });
}

async function bindings(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, UNLIMITED);
  const { send, phones } = scene;
  const person = await signUpByPhone(scene, phones);
  const purposes: OtpPurpose[] = ['register', 'login', 'reset', 'verify'];

  await t.test('a code of one purpose proves nothing for another', async (t) => {
    for (const purpose of purposes.filter((each) => each !== 'login')) {
      const code = await codeFor(scene, phones, person.e164, purpose);
      expectProblem(t, await send(loginBy(person.typed, code)), 400, 'otp_expired');
    }
    const code = await codeFor(scene, phones, person.e164, 'login');
    expectProblem(t, await send(registerBy(person.typed, code)), 400, 'otp_invalid');
  });

  await t.test('nor beside a live challenge of that other purpose', async (t) => {
    const other = await signUpByPhone(scene, phones);
    const reset = await codeFor(scene, phones, other.e164, 'reset');
    let login = await codeFor(scene, phones, other.e164, 'login');
    while (login === reset) login = await codeFor(scene, phones, other.e164, 'login');
    expectProblem(t, await send(loginBy(other.typed, reset)), 400, 'otp_invalid');
    t.equal((await send(loginBy(other.typed, login))).statusCode, 200, 'both live side by side');
  });

  await t.test('nor for another number', async (t) => {
    const [one, two] = [await signUpByPhone(scene, phones), await signUpByPhone(scene, phones)];
    const first = await codeFor(scene, phones, one.e164);
    expectProblem(t, await send(loginBy(two.typed, first)), 400, 'otp_expired');
    let second = await codeFor(scene, phones, two.e164);
    while (second === first) second = await codeFor(scene, phones, two.e164);
    expectProblem(t, await send(loginBy(two.typed, first)), 400, 'otp_invalid');
    t.equal((await send(loginBy(one.typed, first))).json().user.id, one.user.id);
  });

  await t.test('it works once', async (t) => {
    const code = await codeFor(scene, phones, person.e164);
    t.equal((await send(loginBy(person.typed, code))).statusCode, 200);
    expectProblem(t, await send(loginBy(person.typed, code)), 400, 'otp_expired');
  });

  await t.test('a new code ends the one before', async (t) => {
    const old = await codeFor(scene, phones, person.e164);
    let code = await codeFor(scene, phones, person.e164);
    while (code === old) code = await codeFor(scene, phones, person.e164);
    expectProblem(t, await send(loginBy(person.typed, old)), 400, 'otp_invalid');
    t.equal((await send(loginBy(person.typed, code))).statusCode, 200);
  });

  await t.test('and for as long as the answer said', async (t) => {
    const code = await codeFor(scene, phones, person.e164);
    scene.advance(299 * SECOND);
    t.equal((await send(loginBy(person.typed, code))).statusCode, 200);
    const late = await codeFor(scene, phones, person.e164);
    scene.advance(300 * SECOND);
    expectProblem(t, await send(loginBy(person.typed, late)), 400, 'otp_expired');
  });

  await t.test('ways to type it', async (t) => {
    const persian = (code: string) => code.replace(/\d/g, (d) => String.fromCharCode(0x6f0 + Number(d)));
    const arabic = (code: string) => code.replace(/\d/g, (d) => String.fromCharCode(0x660 + Number(d)));
    const wide = (code: string) => code.replace(/\d/g, (d) => String.fromCharCode(0xff10 + Number(d)));
    const grouped = (code: string) => ` ${code.slice(0, 3)}\u00a0${code.slice(3)}\n`;
    for (const type of [persian, arabic, wide, grouped]) {
      const code = await codeFor(scene, phones, person.e164);
      t.equal((await send(loginBy(person.typed, type(code)))).statusCode, 200, type.name);
    }
  });

  await t.test('what cannot be a code is no try', async (t) => {
    const code = await codeFor(scene, phones, person.e164);
    for (const wrong of [
      '',
      'abcdef',
      code.slice(1),
      `${code}0`,
      `${code.slice(0, 5)}x`,
      '-1.5e3',
      '१२३४५६',
    ]) {
      const answer = await send(loginBy(person.typed, wrong));
      expectProblem(t, answer, 400, 'otp_invalid', { fields: ['otp:invalid_format'] });
    }
    t.equal((await send(loginBy(person.typed, code))).statusCode, 200, 'five tries were not spent');
  });
}

async function enumeration(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, UNLIMITED);
  const { send, phones, app } = scene;
  const known = await signUpByPhone(scene, phones);
  const disabled = await signUpByPhone(scene, phones);
  await app.accounts.setActive(disabled.user.id, false);
  const unknown = freshNumber();
  const sentBefore = phones.provider.received.length;

  const answers = new Set<string>();
  for (const purpose of ['login', 'reset', 'register', 'verify'] as const) {
    for (const { typed } of [known, disabled, unknown]) {
      const answer = await send(sendOf(typed, purpose));
      const { 'x-request-id': _id, date: _date, ...headers } = answer.headers;
      answers.add(JSON.stringify([answer.statusCode, answer.body, headers]));
    }
  }
  t.equal(answers.size, 1, 'every answer is the same, headers and all');
  await settled(scene);
  const purposesTo = ({ e164 }: { e164: string }) => phones.inbox(e164).map(({ purpose }) => purpose);
  t.strictSame(purposesTo(known), ['register', 'login', 'reset', 'register', 'verify']);
  t.strictSame(purposesTo(disabled), ['register', 'register', 'verify']);
  t.strictSame(purposesTo(unknown), ['register', 'verify']);
  t.equal(phones.provider.received.length, sentBefore + 4 + 2 + 2 + 1);

  t.strictSame(
    await eventsOf(scene, known.user.id),
    ['registered', 'otp_sent', 'otp_sent', 'otp_sent', 'otp_sent'],
    'what was sent is told to the owner',
  );
  t.strictSame(await eventsOf(scene, disabled.user.id), [
    'registered',
    'account_disabled',
    'otp_withheld',
    'otp_withheld',
    'otp_sent',
    'otp_sent',
  ]);

  await t.test('wrong codes are answered alike', async (t) => {
    const bodies = new Set<string>();
    for (const { typed } of [known, disabled, unknown]) {
      const { request_id, ...body } = expectProblem(
        t,
        await send(loginBy(typed, '000000')),
        400,
        'otp_invalid',
      );
      bodies.add(JSON.stringify(body));
    }
    t.equal(bodies.size, 1);
    for (const { typed } of [known, unknown]) {
      expectProblem(t, await send(loginBy(typed, '000000')), 400, 'otp_invalid');
    }
    expectProblem(t, await send(loginBy(freshNumber().typed, '000000')), 400, 'otp_expired');
    t.strictSame((await eventsOf(scene, known.user.id)).slice(-2), ['otp_failed', 'otp_failed']);
  });

  await t.test('that a number is taken is told to its holder alone', async (t) => {
    expectProblem(t, await send(registerBy(known.typed, '000000')), 400, 'otp_invalid');
    const code = phones.inbox(known.e164).findLast(({ purpose }) => purpose === 'register')!.code;
    const answer = await send(registerBy(known.typed, code));
    expectProblem(t, answer, 409, 'phone_taken', { fields: ['phone:taken'] });
  });
}

async function spellings(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, { OTP_RESEND: 'off', OTP_SENDS_PER_HOUR: '9' });
  const { send, phones } = scene;
  const { e164 } = freshNumber();
  const national = e164.slice(3);
  const persian = `0${national}`.replace(/\d/g, (d) => String.fromCharCode(0x6f0 + Number(d)));
  const ways = [
    `0${national}`,
    e164,
    `0098${national}`,
    persian,
    ` 0${national.slice(0, 3)}-${national.slice(3, 6)} ${national.slice(6)} `,
    `+98 (0)${national}`,
    `\u200e+98\u200b${national}\u200c`,
    `+98-${national}`,
  ];
  const code = await codeFor(scene, phones, e164, 'register');
  const { user } = (await send(registerBy(ways[0], code))).json();

  for (const [n, way] of ways.entries()) {
    const answer = await send(sendOf(way));
    t.equal(answer.statusCode, 200, way);
    const { code } = await phones.newest(e164, n + 2);
    const signedIn = await send(loginBy(ways.at(-1 - n), code));
    t.equal(signedIn.json().user?.id, user.id, `one account: ${signedIn.body.slice(0, 80)}`);
  }
  for (const way of ways) {
    const answer = await send(sendOf(way));
    expectProblem(t, answer, 429, 'rate_limited');
    t.equal(answer.headers['ratelimit-limit'], '9', 'one counter');
  }
}

async function budgets(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, { OTP_SENDS_PER_IP_HOUR: '12' });
  const { send, advance, phones } = scene;
  const { typed } = freshNumber();

  await t.test('cool-downs grow with each send, of whatever purpose', async (t) => {
    for (const [n, seconds] of [30, 60, 120, 300].entries()) {
      const purpose = (['login', 'verify', 'reset', 'register'] as const)[n];
      const answer = await send(sendOf(typed, purpose));
      t.equal(answer.json().resend_in, seconds);
      t.match(answer.headers, { 'ratelimit-limit': '5', 'ratelimit-remaining': String(4 - n) });
      const soon = await send(sendOf(typed, 'login'));
      expectProblem(t, soon, 429, 'otp_cooldown');
      t.equal(soon.headers['ratelimit-remaining'], String(4 - n), 'it counts for nothing');
      const wait = Number(soon.headers['retry-after']);
      t.ok(wait > seconds - 5 && wait <= seconds, `wait ${wait} of ${seconds} s`);
      advance((seconds - 1) * SECOND);
      expectProblem(t, await send(sendOf(typed)), 429, 'otp_cooldown');
      advance(SECOND);
    }
  });

  await t.test('a code that was proved ends them', async (t) => {
    const { typed, e164 } = freshNumber();
    const code = await codeFor(scene, phones, e164, 'register');
    t.equal((await send(registerBy(typed, code))).statusCode, 201);
    t.equal((await send(sendOf(typed))).json().resend_in, 30, 'from the start');
  });

  await t.test('so many to a number in an hour', async (t) => {
    t.equal((await send(sendOf(typed))).statusCode, 200, 'the fifth');
    advance(300 * SECOND);
    const answer = await send(sendOf(typed));
    expectProblem(t, answer, 429, 'rate_limited');
    t.equal(answer.headers['ratelimit-limit'], '5');
    t.equal(answer.headers['ratelimit-remaining'], '0');
    t.equal(answer.headers['ratelimit-reset'], answer.headers['retry-after']);
    advance(Number(answer.headers['retry-after']) * SECOND);
    t.equal((await send(sendOf(typed))).statusCode, 200, 'when it said so');
  });

  await t.test('so many from an address; what is malformed, denied or refused does not count', async (t) => {
    const remoteAddress = '203.0.113.7';
    const from = (phone: string) => send({ ...sendOf(phone, 'verify'), remoteAddress });
    const first = freshNumber();
    for (let n = 0; n < 12; n += 1) {
      expectProblem(t, await from('0912'), 400, 'invalid_phone');
      if (n > 0) expectProblem(t, await from(first.typed), 429, 'otp_cooldown');
      t.equal((await from(n === 0 ? first.typed : freshNumber().typed)).statusCode, 200);
    }
    const answer = await from(freshNumber().typed);
    expectProblem(t, answer, 429, 'rate_limited');
    t.equal(answer.headers['ratelimit-limit'], '12');
    t.equal((await send(sendOf(freshNumber().typed))).statusCode, 200, 'another address has its own');
    advance(HOUR);
    t.equal((await from(freshNumber().typed)).statusCode, 200);
  });

  await t.test('so many to a number in a day', async (t) => {
    const scene = await open(t, stores, { OTP_RESEND: 'off', OTP_SENDS_PER_HOUR: 'off' });
    const { typed } = freshNumber();
    for (let n = 0; n < 10; n += 1) {
      t.equal((await scene.send(sendOf(typed))).statusCode, 200);
      scene.advance(HOUR);
    }
    const answer = await scene.send(sendOf(typed));
    expectProblem(t, answer, 429, 'rate_limited');
    t.equal(answer.headers['ratelimit-limit'], '10');
  });
}

async function wrongCodes(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, UNLIMITED);
  const { send, phones, advance } = scene;
  const person = await signUpByPhone(scene, phones);
  const { typed, e164 } = person;

  await t.test('five to a code, then not even the right one', async (t) => {
    const code = await codeFor(scene, phones, e164);
    for (let n = 0; n < 5; n += 1) {
      expectProblem(t, await send(loginBy(typed, otherThan(code))), 400, 'otp_invalid');
    }
    for (const otp of [otherThan(code), code]) {
      const answer = await send(loginBy(typed, otp));
      expectProblem(t, answer, 429, 'otp_attempts_exceeded');
      const wait = Number(answer.headers['retry-after']);
      t.ok(wait > 290 && wait <= 300, `until the code expires: ${wait}`);
    }
  });

  await t.test('ten to a number in an hour, whatever the code and the purpose', async (t) => {
    const code = await codeFor(scene, phones, e164, 'verify');
    const { access } = person;
    for (let n = 0; n < 5; n += 1) {
      const answer = await send(remove(access, { phone: typed, otp: otherThan(code) }));
      expectProblem(t, answer, 400, 'otp_invalid');
    }
    const fresh = await codeFor(scene, phones, e164);
    const answer = await send(loginBy(typed, fresh));
    expectProblem(t, answer, 429, 'otp_attempts_exceeded');
    const wait = Number(answer.headers['retry-after']);
    t.ok(wait > 3500 && wait <= 3600, `until the hour is over: ${wait}`);
    advance(wait * SECOND);
    t.equal((await send(loginBy(typed, await codeFor(scene, phones, e164)))).statusCode, 200);
  });

  await t.test('right ones spend nothing', async (t) => {
    const other = await signUpByPhone(scene, phones);
    for (let n = 0; n < 12; n += 1) {
      const code = await codeFor(scene, phones, other.e164);
      t.equal((await send(loginBy(other.typed, code))).statusCode, 200);
    }
    const code = await codeFor(scene, phones, other.e164);
    expectProblem(t, await send(loginBy(other.typed, otherThan(code))), 400, 'otp_invalid');
  });
}

async function spraying(t: Test, stores: Stores): Promise<void> {
  const env = { ...UNLIMITED, RATE_LIMIT_LOGIN: '100/minute', RATE_LIMIT_LOGIN_IP: '6/5minute' };
  const scene = await open(t, stores, env);
  const { send, phones, advance } = scene;
  const remoteAddress = '203.0.113.9';
  const from = (phone: string, otp: string) => send({ ...loginBy(phone, otp), remoteAddress });
  const people: PhonePerson[] = [];
  for (let n = 0; n < 3; n += 1) people.push(await signUpByPhone(scene, phones));
  const { typed, e164 } = freshNumber();
  const registered = await send(registerBy(typed, await codeFor(scene, phones, e164, 'register')));
  t.equal(registered.headers['ratelimit-limit'], undefined, 'registrations have a limit of their own');
  const [one, two, three] = people as [PhonePerson, PhonePerson, PhonePerson];

  await t.test('right codes and spent ones are not counted', async (t) => {
    for (let n = 0; n < 8; n += 1) {
      const answer = await from(one.typed, await codeFor(scene, phones, one.e164));
      t.equal(answer.statusCode, 200);
      t.match(answer.headers, LEFT(6, 6, 300));
    }
    const code = await codeFor(scene, phones, one.e164);
    for (let n = 0; n < 5; n += 1) await send(loginBy(one.typed, otherThan(code)));
    for (let n = 0; n < 8; n += 1) {
      const answer = await from(one.typed, code);
      expectProblem(t, answer, 429, 'otp_attempts_exceeded');
      t.match(answer.headers, LEFT(6, 6, 300));
    }
  });

  await t.test('wrong ones are, and those that nobody asked for, as wrong passwords', async (t) => {
    const code = await codeFor(scene, phones, two.e164);
    const budget = (answer: Awaited<ReturnType<typeof from>>) => [
      answer.headers['ratelimit-limit'],
      answer.headers['ratelimit-remaining'],
    ];
    const wrong = await from(two.typed, otherThan(code));
    expectProblem(t, wrong, 400, 'otp_invalid');
    t.strictSame(budget(wrong), ['6', '5']);
    for (let n = 4; n >= 2; n -= 1) {
      const answer = await from(freshNumber().typed, code);
      expectProblem(t, answer, 400, 'otp_expired');
      t.strictSame(budget(answer), ['6', String(n)]);
    }
    const password = { email: 'nobody@example.com', password: 'not the password' };
    for (let n = 0; n < 2; n += 1) {
      const answer = await send({ method: 'POST', url: '/api/auth/login', payload: password, remoteAddress });
      expectProblem(t, answer, 401, 'invalid_credentials');
    }
  });

  await t.test('then not even a right one, from there', async (t) => {
    const [code, other] = [await codeFor(scene, phones, two.e164), await codeFor(scene, phones, three.e164)];
    for (const otp of [otherThan(code), code]) {
      const answer = await from(two.typed, otp);
      expectProblem(t, answer, 429, 'rate_limited');
      t.equal(answer.headers['ratelimit-limit'], '6');
    }
    t.equal((await send(loginBy(three.typed, other))).statusCode, 200, 'elsewhere as ever');
    // Redis's own windows do not move with the clock.
    if (stores === 'servers') return;
    advance(5 * MINUTE);
    t.equal((await from(three.typed, await codeFor(scene, phones, three.e164))).statusCode, 200);
  });
}

async function disabled(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, UNLIMITED);
  const { send, phones, app } = scene;

  const person = await signUpByPhone(scene, phones);
  const code = await codeFor(scene, phones, person.e164);
  await app.accounts.setActive(person.user.id, false);
  expectProblem(t, await send(loginBy(person.typed, otherThan(code))), 400, 'otp_invalid');
  expectProblem(t, await send(loginBy(person.typed, code)), 403, 'account_disabled');
  const register = await codeFor(scene, phones, person.e164, 'register');
  expectProblem(t, await send(registerBy(person.typed, register)), 409, 'phone_taken');

  const gone = await signUpByPhone(scene, phones);
  const login = await codeFor(scene, phones, gone.e164);
  const verify = await codeFor(scene, phones, gone.e164, 'verify');
  t.equal((await send(remove(gone.access, { phone: gone.typed, otp: verify }))).statusCode, 204);
  expectProblem(t, await send(loginBy(gone.typed, login)), 401, 'invalid_credentials');
  const anew = await codeFor(scene, phones, gone.e164, 'register');
  const back = await send(registerBy(gone.typed, anew));
  t.equal(back.statusCode, 201);
  t.not(back.json().user.id, gone.user.id);
}

async function passwords(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, UNLIMITED);
  const { send, phones, app } = scene;
  const login = (payload: object) => send({ method: 'POST', url: '/api/auth/login', payload });

  const person = await signUp(scene);
  const { typed, e164 } = freshNumber();
  await app.database.db
    .updateTable('users')
    .set({ phone: e164, phone_verified: 1 })
    .where('id', '=', person.user.id)
    .execute();
  for (const phone of [typed, e164, `0098${e164.slice(3)}`]) {
    const answer = await login({ phone, password: PASSWORD });
    t.equal(answer.statusCode, 200, phone);
    t.equal(answer.json().user.id, person.user.id);
  }
  t.equal((await send(loginBy(typed, await codeFor(scene, phones, e164)))).json().user.id, person.user.id);
  t.equal(
    (await login({ email: person.email, password: PASSWORD })).statusCode,
    200,
    'it keeps its password',
  );

  const byPhone = await signUpByPhone(scene, phones);
  const bodies = new Set<string>();
  for (const phone of [typed, byPhone.typed, freshNumber().typed, '0912', 'nobody', '']) {
    const answer = await login({ phone, password: 'not the password' });
    const { request_id, ...body } = expectProblem(t, answer, 401, 'invalid_credentials');
    bodies.add(JSON.stringify(body));
  }
  t.equal(bodies.size, 1, 'unknown, without password, malformed: one answer');
}

async function deleting(t: Test, stores: Stores): Promise<void> {
  const scene = await open(t, stores, UNLIMITED);
  const { send, phones } = scene;
  const person = await signUpByPhone(scene, phones);
  const other = await signUpByPhone(scene, phones);
  const byEmail = await signUp(scene);

  const forms: [object, string[]][] = [
    [{}, ['password:required']],
    [{ otp: '1' }, ['phone:required']],
    [{ phone: person.typed }, ['otp:required']],
    [{ phone: person.typed, otp: '1', password: 'x' }, ['password:unknown']],
  ];
  for (const [body, fields] of forms) {
    expectProblem(t, await send(remove(person.access, body)), 400, 'invalid_request', { fields });
  }
  expectProblem(t, await send(remove(person.access, { password: '' })), 401, 'invalid_credentials');

  const ofOther = await codeFor(scene, phones, other.e164, 'verify');
  for (const { access } of [person, byEmail]) {
    const answer = await send(remove(access, { phone: other.typed, otp: ofOther }));
    expectProblem(t, answer, 400, 'invalid_phone', { fields: ['phone:invalid_value'] });
  }
  const login = await codeFor(scene, phones, person.e164, 'login');
  expectProblem(
    t,
    await send(remove(person.access, { phone: person.typed, otp: login })),
    400,
    'otp_expired',
  );
  const otp = await codeFor(scene, phones, person.e164, 'verify');
  const answer = await send(remove(person.access, { phone: person.typed, otp: otherThan(otp) }));
  expectProblem(t, answer, 400, 'otp_invalid');
  t.equal((await send(meOf(person.access))).statusCode, 200);

  t.equal((await send(remove(person.access, { phone: person.typed, otp }))).statusCode, 204);
  expectProblem(t, await send(meOf(person.access)), 401, 'token_revoked');
  const [left, rows] = await Promise.all([
    scene.app.database.accounts.findById(person.user.id),
    eventsOf(scene, person.user.id),
  ]);
  t.strictSame([left, rows], [undefined, []]);
  t.equal((await send(remove(other.access, { phone: other.typed, otp: ofOther }))).statusCode, 204);
}

async function noDelivery(t: Test, stores: Stores): Promise<void> {
  await t.test('no provider at all', async (t) => {
    const { send } = await watchedApp(t, { stores, env: { HOST: '0.0.0.0' } });
    for (const purpose of ['register', 'login']) {
      expectProblem(t, await send(sendOf(freshNumber().typed, purpose)), 503, 'delivery_unavailable');
    }
  });

  await t.test('a provider that keeps failing', async (t) => {
    const scene = await open(t, stores, { OTP_SENDS_PER_IP_HOUR: '7' });
    const { send, phones, app, logs } = scene;
    const known = await signUpByPhone(scene, phones);
    // Not to be tried again, and not for this number alone.
    phones.provider.answer(401);

    const lost = freshNumber();
    t.equal((await send(sendOf(lost.typed, 'register'))).statusCode, 200);
    await lostMessages(scene, 1);
    t.equal((await send(sendOf(lost.typed, 'register'))).statusCode, 200, 'the cool-down is given back');
    await lostMessages(scene, 2);

    t.equal((await send(sendOf(known.typed, 'login'))).statusCode, 200);
    await lostMessages(scene, 3);
    const unknown = freshNumber();
    t.equal((await send(sendOf(unknown.typed, 'login'))).statusCode, 200);
    for (const { typed } of [known, unknown]) {
      expectProblem(t, await send(sendOf(typed, 'login')), 429, 'otp_cooldown');
    }

    for (let n = 4; n <= 5; n += 1) {
      t.equal((await send(sendOf(freshNumber().typed, 'verify'))).statusCode, 200);
      await lostMessages(scene, n);
    }
    for (const { typed } of [known, unknown, lost, freshNumber()]) {
      for (const purpose of ['login', 'register', 'reset', 'verify']) {
        const answer = await send(sendOf(typed, purpose));
        expectProblem(t, answer, 503, 'delivery_unavailable');
      }
    }
    t.strictSame((await eventsOf(scene, known.user.id)).slice(-2), ['otp_sent', 'otp_send_failed']);
    const anonymous = await eventsOf(scene, null);
    t.equal(anonymous.filter((type) => type === 'otp_send_failed').length, 4);
    t.match(logs(), '"msg":"a text message was lost"');

    // Of the seven that an address may ask for, the three sends of use to owners alone were kept, with the first.
    t.equal(phones.provider.received.length, 6);
    const { limit } = await app.stateStore.hitLimits({
      slot: 'probe',
      rules: [{ name: 'probe', max: 1, windowMs: 1000 }],
      now: Date.now(),
    });
    t.equal(limit.remaining, 0);
  });
}

/** Resolves once so many messages have been given up, and what follows has happened. */
async function lostMessages({ logs, app }: TestApp, count: number): Promise<void> {
  const lost = () => logs().split('"msg":"a text message was lost"').length - 1;
  while (lost() < count) await new Promise((resolve) => setTimeout(resolve, 2));
  await app.stateStore.ping();
}

async function spendGuard(t: Test, stores: Stores): Promise<void> {
  const env = { ...UNLIMITED, OTP_DAILY_CAP: '3' };
  await t.test('record', async (t) => {
    const scene = await open(t, stores, { ...env, OTP_SPEND_GUARD: 'record' });
    for (let n = 0; n < 5; n += 1) {
      t.equal((await scene.send(sendOf(freshNumber().typed, 'register'))).statusCode, 200);
    }
    const events = await eventsOf(scene, null);
    t.equal(events.filter((type) => type === 'otp_send_suspected').length, 2);
    t.match(scene.logs(), '"suspicions":["daily_cap"],"country":"IR"');
  });

  await t.test('deny', async (t) => {
    const scene = await open(t, stores, { ...env, OTP_SPEND_GUARD: 'deny' });
    const person = await signUpByPhone(scene, scene.phones);
    for (let n = 0; n < 2; n += 1) {
      t.equal((await scene.send(sendOf(freshNumber().typed, 'register'))).statusCode, 200);
    }
    for (const { typed } of [person, freshNumber()]) {
      const answer = await scene.send(sendOf(typed));
      expectProblem(t, answer, 429, 'rate_limited');
      t.equal(answer.headers['ratelimit-limit'], undefined, 'and not by what');
    }
    scene.advance(24 * HOUR);
    t.equal((await scene.send(sendOf(person.typed))).statusCode, 200);
  });

  await t.test('an address whose codes nobody proves', async (t) => {
    const scene = await open(t, stores, { ...UNLIMITED, OTP_SPEND_GUARD: 'deny' });
    const { send, phones } = scene;
    const from = (remoteAddress: string) => ({
      ...scene,
      send: (options: Parameters<typeof send>[0]) => send({ ...options, remoteAddress }),
    });
    const [honest, fraud] = [from('203.0.113.20'), from('203.0.113.21')];
    for (let n = 0; n < 20; n += 1) {
      if (n % 4 === 0) await signUpByPhone(honest, phones);
      else t.equal((await honest.send(sendOf(freshNumber().typed, 'register'))).statusCode, 200);
      t.equal((await fraud.send(sendOf(freshNumber().typed, 'register'))).statusCode, 200);
    }
    expectProblem(t, await fraud.send(sendOf(freshNumber().typed, 'register')), 429, 'rate_limited');
    t.equal((await honest.send(sendOf(freshNumber().typed, 'register'))).statusCode, 200);
  });
}

async function secrecy(t: Test, stores: Stores): Promise<void> {
  // Ten digits are no accident.
  const scene = await open(t, stores, { OTP_LENGTH: '10', LOG_LEVEL: 'trace' });
  const { send, phones, logs, app } = scene;
  const person = await signUpByPhone(scene, phones);
  const code = await codeFor(scene, phones, person.e164);
  await send(loginBy(person.typed, otherThan(code)));
  await send(loginBy(person.typed, code));
  await codeFor(scene, phones, person.e164, 'reset');
  phones.provider.answer(400);
  await send(sendOf(freshNumber().typed, 'verify'));
  await lostMessages(scene, 1);

  const codes = phones.provider.received.map(({ body }) => JSON.parse(body).code as string);
  t.equal(codes.length, 4);
  const digits = person.e164.slice(3);
  const secrets = [...codes, otherThan(code), digits, 'Never pass it on'];
  t.strictSame(
    secrets.filter((secret) => logs().includes(secret)),
    [],
    'log',
  );
  await app.events.flush();
  const rows = JSON.stringify(await app.database.db.selectFrom('events').selectAll().execute());
  t.strictSame(
    secrets.filter((secret) => rows.includes(secret)),
    [],
    'events',
  );
}

t.test('fixed codes for the numbers of tests', async (t) => {
  const phones = await openPhones(t);
  const { typed, e164 } = freshNumber();
  const env = { ...phones.env, OTP_TEST_NUMBERS: `${typed}:123456` };
  const scene = await watchedApp(t, { env });
  const { send } = scene;
  phones.provider.answer(500);
  t.equal((await send(sendOf(typed, 'register'))).statusCode, 200);
  expectProblem(t, await send(sendOf(typed, 'register')), 429, 'otp_cooldown');
  t.equal((await send(registerBy(e164, '123456', { first_name: 'John' }))).statusCode, 201);
  t.equal((await send(sendOf(typed, 'login'))).statusCode, 200);
  t.equal((await send(loginBy(typed, '۱۲۳۴۵۶'))).json().user.first_name, 'John');
  for (let n = 0; n < 3; n += 1) {
    t.equal(
      (await send(loginBy(typed, '123456'))).statusCode,
      200,
      'nor need it be sent, nor once for each use',
    );
  }
  for (let n = 0; n < 5; n += 1) {
    expectProblem(t, await send(loginBy(typed, '654321')), 400, 'otp_invalid');
  }
  for (const code of ['654321', '123456']) {
    expectProblem(t, await send(loginBy(typed, code)), 429, 'otp_attempts_exceeded');
  }
  t.equal(phones.provider.received.length, 0, 'the provider is not asked');

  const without = await testApp(t, { env: { HOST: '0.0.0.0', OTP_TEST_NUMBERS: `${typed}:123456` } });
  t.equal((await without.send(sendOf(typed, 'register'))).statusCode, 200, 'nor needed');
});

t.test('a code outlives the key it was hashed with, while that verifies', async (t) => {
  const secret = (kid: string, key: string) => ({
    kty: 'oct',
    alg: 'HS256',
    kid,
    k: Buffer.from(key).toString('base64url'),
  });
  const [old, fresh] = [secret('old', TEST_KEY), secret('new', TEST_KEY.split('').reverse().join(''))];
  const dir = t.testdir();
  const phones = await openPhones(t);
  const run = (keys: object[]) =>
    testApp(t, {
      env: {
        ...phones.env,
        LATCHKEY_DATA_DIR: dir,
        JWT_SIGNING_KEY: '',
        JWT_KEYSET: JSON.stringify({ keys }),
      },
    });
  const before = await run([old]);
  const { typed, e164 } = freshNumber();
  const code = await codeFor(before, phones, e164, 'register');
  const without = await run([fresh]);
  expectProblem(t, await without.send(registerBy(typed, code)), 400, 'otp_invalid');
  const after = await run([fresh, old]);
  t.equal((await after.send(registerBy(typed, code))).statusCode, 201);
});
