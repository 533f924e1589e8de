import t, { type Test } from 'tap';
import { newAccountId } from '../../src/lib/ids.js';
import {
  bearer,
  PASSWORD,
  type SignedUp,
  STORES,
  type Stores,
  signUp,
  type TestApp,
} from '../support/app.js';
import { expectProblem, meOf, refreshWith } from './answers.js';
import { type Mailboxes, mailboxes } from './mailbox.js';
import {
  codeFor,
  freshNumber,
  loginBy,
  phones as openPhones,
  otherThan,
  type Phones,
  signUpByPhone,
  statusAndCode,
  UNLIMITED,
} from './phones.js';
import { watchedApp } from './watched-app.js';

type Fields = Record<string, unknown>;

const post = (path: string, payload: Fields, access?: string, headers: Record<string, string> = {}) =>
  ({
    method: 'POST',
    url: `/api/auth/${path}`,
    payload,
    headers: { ...headers, ...(access && bearer(access)) },
  }) as const;

const loginAs = (email: string, password = PASSWORD) => post('login', { email, password });
const verifyBy = (token: unknown, access?: string, headers?: Record<string, string>) =>
  post('email/verify', { token }, access, headers);
const changeEmail = (access: string, email: unknown, password = PASSWORD) =>
  post('email/change', { password, email }, access);
const changePhone = (access: string, phone: string, otp: string, password = PASSWORD) =>
  post('phone/change', { password, phone, otp }, access);

interface World extends TestApp {
  phones: Phones;
  mail: Mailboxes;
}

async function open(t: Test, stores: Stores, env: Record<string, string> = {}): Promise<World> {
  const [phones, mail] = [await openPhones(t), await mailboxes(t)];
  const unlimited = { ...UNLIMITED, RATE_LIMIT_PASSWORD_RESET: 'off' };
  const app = await watchedApp(t, { stores, env: { ...phones.env, ...mail.env, ...unlimited, ...env } });
  return { ...app, phones, mail };
}

let people = 0;
const freshEmail = (name = 'fresh'): string => `${name}${++people}.${process.pid}@example.org`;

async function userOf({ send }: TestApp, access: string): Promise<Record<string, unknown>> {
  const answer = await send(meOf(access));
  if (answer.statusCode !== 200) throw new Error(`me answered ${answer.statusCode} ${answer.body}`);
  return answer.json();
}

const typesOf = async ({ send }: TestApp, access: string): Promise<string[]> => {
  const answer = await send({ url: '/api/auth/activity?limit=100', headers: bearer(access) });
  return answer.json().events.map(({ type }: { type: string }) => type);
};

async function expectShutOut(
  t: Test,
  { send }: TestApp,
  { access, refresh, email }: SignedUp,
): Promise<void> {
  expectProblem(t, await send(meOf(access)), 401, 'token_revoked');
  expectProblem(t, await send(refreshWith(refresh)), 401, 'session_ended', { reason: 'identity_verified' });
  expectProblem(t, await send(loginAs(email)), 401, 'invalid_credentials');
}

for (const stores of STORES) {
  t.test(stores, async (t) => {
    await t.test('at leisure', async (t) =>
      atLeisure(t, await open(t, stores, { EMAIL_VERIFICATION: 'optional' })),
    );
    await t.test('required', async (t) =>
      required(t, await open(t, stores, { EMAIL_VERIFICATION: 'required' })),
    );
    await t.test('phones', async (t) => ofPhones(t, await open(t, stores)));
  });
}

async function atLeisure(t: Test, world: World): Promise<void> {
  const { app, send, mail } = world;

  t.test('whoever is signed in confirms the address and keeps the account', async (t) => {
    const ann = await signUp(world);
    t.match(await userOf(world, ann.access), { email_verified: false });
    const { link } = await mail.mail(ann.email);
    t.equal(link?.pathname, '/verify-email');
    const token = await mail.token(ann.email);
    const answer = await send(verifyBy(token, ann.access));
    t.equal(answer.statusCode, 200);
    t.strictSame(answer.json(), { message: 'The address is confirmed.' });
    t.match(await userOf(world, ann.access), { email_verified: true });
    t.equal((await send(refreshWith(ann.refresh))).statusCode, 200);
    t.equal((await send(loginAs(ann.email))).statusCode, 200);
    t.ok((await typesOf(world, ann.access)).includes('email_verified'));
    expectProblem(t, await send(verifyBy(token, ann.access)), 400, 'ticket_invalid');
  });

  t.test('so does the browser that was signed in, without a token', async (t) => {
    const ann = await signUp(world);
    const login = await send(loginAs(ann.email));
    const device = login.cookies.find(({ name }) => name === 'latchkey_device')!.value;
    const stranger = await signUp(world);
    const strangers = (await send(loginAs(stranger.email))).cookies[0]!.value;
    t.not(device, strangers);
    const token = await mail.token(ann.email);
    const answer = await send(verifyBy(token, undefined, { cookie: `latchkey_device=${device}` }));
    t.equal(answer.statusCode, 200);
    t.match(await userOf(world, ann.access), { email_verified: true });
  });

  t.test('for whoever only reads the mail the account begins anew', async (t) => {
    const proofs: ((squatter: SignedUp) => Promise<[access?: string, headers?: Record<string, string>]>)[] = [
      async () => [],
      async () => [(await signUp(world)).access],
      async () => {
        const other = await send(loginAs((await signUp(world)).email));
        return [undefined, { cookie: `latchkey_device=${other.cookies[0]!.value}` }];
      },
    ];
    for (const proof of proofs) {
      const squatter = await signUp(world);
      const second = (await send(loginAs(squatter.email))).json();
      const { e164 } = freshNumber();
      await app.database.db
        .updateTable('users')
        .set({ phone: e164 })
        .where('id', '=', squatter.user.id)
        .execute();
      const answer = await send(verifyBy(await mail.token(squatter.email), ...(await proof(squatter))));
      t.equal(answer.statusCode, 200);
      t.match(answer.json().message, 'Reset its password');
      await expectShutOut(t, world, squatter);
      await expectShutOut(t, world, { ...squatter, ...second });

      t.equal((await send(post('password/forgot', { email: squatter.email }))).statusCode, 202);
      const token = await mail.token(squatter.email, 2);
      const new_password = 'a password of the owner';
      t.equal((await send(post('password/reset', { token, new_password }))).statusCode, 200);
      const owner = (await send(loginAs(squatter.email, new_password))).json();
      t.match(await userOf(world, owner.access), { id: squatter.user.id, email_verified: true, phone: null });
    }
  });

  t.test('a bearer token that is no good does not spend the link', async (t) => {
    const ann = await signUp(world);
    const token = await mail.token(ann.email);
    expectProblem(t, await send(verifyBy(token, 'x')), 401, 'token_invalid');
    world.advance(16 * 60_000);
    expectProblem(t, await send(verifyBy(token, ann.access)), 401, 'token_expired');
    const { access } = (await send(refreshWith(ann.refresh))).json();
    t.equal((await send(verifyBy(token, access))).statusCode, 200);
    t.match(await userOf(world, access), { email_verified: true });
  });

  t.test('one link, many at once', async (t) => {
    const ann = await signUp(world);
    const token = await mail.token(ann.email);
    const answers = await Promise.all(Array.from({ length: 6 }, () => send(verifyBy(token, ann.access))));
    t.strictSame(answers.map(statusAndCode).sort(), ['200', ...Array(5).fill('400 ticket_invalid')]);
  });

  t.test('the link can be sent again, and an older one stays valid', async (t) => {
    const ann = await signUp(world);
    const first = await mail.token(ann.email);
    t.equal((await send(post('email/resend', {}, ann.access))).statusCode, 200);
    t.not(await mail.token(ann.email, 2), first);
    t.equal((await send(verifyBy(first, ann.access))).statusCode, 200);
    const again = await send(post('email/resend', {}, ann.access));
    t.equal(again.statusCode, 200);
    expectProblem(t, await send(post('email/resend', {})), 401, 'token_missing');
    const late = await mail.token(ann.email, 2);
    t.equal((await send(verifyBy(late))).statusCode, 200, 'there is nothing left to prove');
    t.match(await userOf(world, ann.access), { email_verified: true });
    t.equal(mail.links(ann.email).length, 2, 'nothing is sent for an address that is confirmed');

    const pat = await signUpByPhone(world, world.phones);
    expectProblem(t, await send(post('email/resend', {}, pat.access)), 400, 'invalid_request', {
      fields: ['email:required'],
    });
  });

  t.test('links are good for what they are for', async (t) => {
    const ann = await signUp(world);
    const verify = await mail.token(ann.email);
    await send(post('password/forgot', { email: ann.email }));
    const reset = await mail.token(ann.email, 2);
    expectProblem(t, await send(verifyBy(reset, ann.access)), 400, 'ticket_invalid');
    const wrong = post('password/reset', { token: verify, new_password: 'wrong donkey charger' });
    expectProblem(t, await send(wrong), 400, 'ticket_invalid');
    t.equal((await send(verifyBy(verify, ann.access))).statusCode, 200, 'neither has spent it');
  });

  t.test('an address is changed by a link that goes to the new one', async (t) => {
    const ann = await signUp(world);
    const email = freshEmail('New.Address');
    expectProblem(
      t,
      await send(changeEmail(ann.access, email, 'not her password')),
      401,
      'invalid_credentials',
    );
    for (const bad of ['nobody', 'a@b', '']) {
      expectProblem(t, await send(changeEmail(ann.access, bad)), 400, 'invalid_request');
    }
    await send(post('password/forgot', { email: ann.email }));
    const oldReset = await mail.token(ann.email, 2);

    t.equal((await send(changeEmail(ann.access, email))).statusCode, 200);
    const token = await mail.token(email);
    t.match(await userOf(world, ann.access), { email: ann.email, email_verified: false }, 'not yet');
    t.equal((await send(verifyBy(token))).statusCode, 200);
    t.match(await userOf(world, ann.access), { email, email_verified: true });
    const refreshed = (await send(refreshWith(ann.refresh))).json();
    t.match(await userOf(world, refreshed.access), { email }, 'everybody stays signed in');
    expectProblem(t, await send(loginAs(ann.email)), 401, 'invalid_credentials');
    t.equal((await send(loginAs(email))).statusCode, 200);
    t.ok((await typesOf(world, ann.access)).includes('email_changed'));
    const notices = () => mail.inbox(ann.email).filter(({ subject }) => /was changed/.test(subject));
    await mail.mail(ann.email, 3);
    t.equal(notices().length, 1, 'the old address is told');
    const reset = post('password/reset', { token: oldReset, new_password: 'wrong donkey charger' });
    expectProblem(t, await send(reset), 400, 'ticket_invalid');
    expectProblem(t, await send(verifyBy(token)), 400, 'ticket_invalid');
  });

  t.test('a link to a new address dies with the password by which it was asked for', async (t) => {
    const ann = await signUp(world);
    const email = freshEmail('thief');
    await send(changeEmail(ann.access, email));
    const token = await mail.token(email);
    const change = { current_password: PASSWORD, new_password: 'wrong donkey charger' };
    t.equal((await send(post('password/change', change, ann.access))).statusCode, 200);
    expectProblem(t, await send(verifyBy(token)), 400, 'ticket_invalid');
    t.equal((await send(loginAs(ann.email, change.new_password))).statusCode, 200);
  });

  t.test('whether another account has the address is not told', async (t) => {
    const [ann, bob] = [await signUp(world), await signUp(world)];
    const [free, race] = [freshEmail(), freshEmail()];
    const answers = [
      await send(changeEmail(ann.access, bob.email)),
      await send(changeEmail(ann.access, free)),
    ];
    t.equal(answers[0]!.body, answers[1]!.body);
    await mail.token(free);
    t.equal(mail.links(bob.email).length, 1, 'only that of the registration');

    await send(changeEmail(ann.access, race));
    const token = await mail.token(race);
    await signUp(world, { email: race });
    expectProblem(t, await send(verifyBy(token)), 409, 'email_taken', { fields: ['email:taken'] });
    t.match(await userOf(world, ann.access), { email: ann.email });
  });

  t.test('an account that is disabled or gone has no use for its links', async (t) => {
    const ann = await signUp(world);
    const token = await mail.token(ann.email);
    await app.accounts.setActive(ann.user.id, false);
    expectProblem(t, await send(verifyBy(token)), 400, 'ticket_invalid');
    const bob = await signUp(world);
    const orphan = await mail.token(bob.email);
    const deleted = { method: 'DELETE', url: '/api/auth/me', payload: { password: PASSWORD } } as const;
    t.equal((await send({ ...deleted, headers: bearer(bob.access) })).statusCode, 204);
    expectProblem(t, await send(verifyBy(orphan)), 400, 'ticket_invalid');
  });
}

async function required(t: Test, world: World): Promise<void> {
  const { app, send, mail } = world;
  const register = (email: string, fields: Fields = {}) =>
    send(post('register', { email, password: PASSWORD, ...fields }));

  t.test('nobody signs in before the address is confirmed', async (t) => {
    const email = freshEmail();
    const answer = await register(email);
    t.equal(answer.statusCode, 202);
    t.strictSame(Object.keys(answer.json()), ['message']);
    t.equal(answer.headers['set-cookie'], undefined);
    expectProblem(t, await send(loginAs(email, 'a wrong password')), 401, 'invalid_credentials');
    expectProblem(t, await send(loginAs(email)), 403, 'forbidden', { fields: ['email:unverified'] });
    await mail.token(email, 2);
    const token = await mail.token(email, 1);
    t.equal((await send(verifyBy(token))).statusCode, 200);
    const login = await send(loginAs(email));
    t.equal(
      login.statusCode,
      200,
      'nobody could have been signed in: the password is that of the registration',
    );
    t.match(login.json().user, { email, email_verified: true });
    const types = await typesOf(world, login.json().access);
    t.ok(types.includes('registered') && types.includes('email_verified'), types.join());
  });

  t.test('a registration does not tell whether the address has an account', async (t) => {
    const [known, pending, fresh] = [freshEmail(), freshEmail(), freshEmail()];
    for (const email of [known, pending]) await register(email);
    await send(verifyBy(await mail.token(known)));
    await mail.token(pending);
    const shapes = [];
    for (const email of [known, pending, fresh]) {
      const { statusCode, body, headers } = await register(email, { password: 'of somebody else' });
      const { 'x-request-id': _, date: __, ...others } = headers;
      shapes.push(JSON.stringify([statusCode, body, others]));
    }
    t.equal(new Set(shapes).size, 1);
    await mail.token(fresh);
    for (const email of [known, pending]) {
      const notice = await mail.mail(email, 2);
      t.match([notice.subject, notice.link], ['You already have an account with Latchkey', undefined]);
      expectProblem(t, await send(loginAs(email, 'of somebody else')), 401, 'invalid_credentials');
    }
    t.equal((await send(loginAs(known))).statusCode, 200, 'nothing has changed');
  });

  t.test('whoever finds the address taken resets the password, and has it to themselves', async (t) => {
    const email = freshEmail('victim');
    await register(email, { password: 'of the squatter' });
    await register(email, { password: 'of the owner' });
    await send(post('password/forgot', { email }));
    const token = await mail.token(email, 2);
    const new_password = 'really of the owner';
    t.equal((await send(post('password/reset', { token, new_password }))).statusCode, 200);
    for (const password of ['of the squatter', 'of the owner']) {
      expectProblem(t, await send(loginAs(email, password)), 401, 'invalid_credentials');
    }
    t.equal((await send(loginAs(email, new_password))).statusCode, 200);
  });

  t.test('two registrations at once make one account', async (t) => {
    const email = freshEmail();
    const answers = await Promise.all([register(email), register(email)]);
    t.strictSame(answers.map(statusAndCode), ['202', '202']);
    await mail.mail(email, 2);
    t.equal(mail.links(email).length, 1);
  });

  t.test('an address that is taken while it is registered is told of too', async (t) => {
    const email = freshEmail('contested');
    const { accounts } = app.database;
    const { insert } = accounts;
    t.teardown(() => Object.assign(accounts, { insert }));
    accounts.insert = async (account, event) => {
      accounts.insert = insert;
      const id = newAccountId();
      await insert({ ...account, id }, { ...event, userId: id });
      return insert(account, event);
    };
    t.strictSame(statusAndCode(await register(email)), '202');
    t.equal((await mail.mail(email)).subject, 'You already have an account with Latchkey');
  });

  t.test('a taken username and a bad password are told as ever', async (t) => {
    const username = `name${process.pid}x${++people}`;
    await register(freshEmail(), { username });
    expectProblem(t, await register(freshEmail(), { username }), 409, 'username_taken');
    expectProblem(t, await register(freshEmail(), { password: 'short' }), 400, 'weak_password');
  });

  t.test('whoever proved a number needs no address', async (t) => {
    const pat = await signUpByPhone(world, world.phones);
    const login = await send(loginBy(pat.typed, await codeFor(world, world.phones, pat.e164)));
    t.equal(login.statusCode, 200);
  });
}

async function ofPhones(t: Test, world: World): Promise<void> {
  const { app, send, phones, mail } = world;

  t.test('a number is added and changed by its code and the password', async (t) => {
    const ann = await signUp(world);
    const [first, second] = [freshNumber(), freshNumber()];
    const code = await codeFor(world, phones, first.e164, 'verify');
    const wrong = await send(changePhone(ann.access, first.typed, code, 'not her password'));
    expectProblem(t, wrong, 401, 'invalid_credentials');
    expectProblem(t, await send(changePhone(ann.access, first.typed, otherThan(code))), 400, 'otp_invalid');
    expectProblem(t, await send(changePhone(ann.access, 'no number', code)), 400, 'invalid_phone');
    t.equal((await send(changePhone(ann.access, first.typed, code))).statusCode, 200);
    t.match(await userOf(world, ann.access), { phone: first.e164, phone_verified: true });
    expectProblem(t, await send(changePhone(ann.access, first.typed, code)), 400, 'otp_expired');
    t.match((await mail.mail(ann.email)).subject, 'phone number');

    const next = await codeFor(world, phones, second.e164, 'verify');
    t.equal((await send(changePhone(ann.access, second.typed, next))).statusCode, 200);
    t.match(await userOf(world, ann.access), { phone: second.e164 });
    const login = await send(loginBy(second.typed, await codeFor(world, phones, second.e164)));
    t.equal(login.json().user.id, ann.user.id);
    t.ok((await typesOf(world, ann.access)).includes('phone_changed'));

    const same = await codeFor(world, phones, second.e164, 'verify');
    t.equal((await send(changePhone(ann.access, second.typed, same))).statusCode, 200);
    t.equal((await send(refreshWith(ann.refresh))).statusCode, 200, 'nobody is thrown out');
  });

  t.test('the number of another account stays there', async (t) => {
    const [ann, pat] = [await signUp(world), await signUpByPhone(world, phones)];
    const code = await codeFor(world, phones, pat.e164, 'verify');
    expectProblem(t, await send(changePhone(ann.access, pat.typed, code)), 409, 'phone_taken', {
      fields: ['phone:taken'],
    });
    t.match(await userOf(world, pat.access), { phone: pat.e164 });
  });

  t.test('two accounts that want one number at once', async (t) => {
    const [ann, bob] = [await signUp(world), await signUp(world)];
    const number = freshNumber();
    const code = await codeFor(world, phones, number.e164, 'verify');
    const answers = await Promise.all(
      [ann, bob].map(({ access }) => send(changePhone(access, number.typed, code))),
    );
    t.strictSame(answers.map(statusAndCode).sort(), ['200', '400 otp_expired']);
  });

  t.test('the number of an import is confirmed by whoever is signed in', async (t) => {
    const ann = await signUp(world);
    const number = freshNumber();
    await app.database.db
      .updateTable('users')
      .set({ phone: number.e164 })
      .where('id', '=', ann.user.id)
      .execute();
    const { access, refresh } = (await send(loginAs(ann.email))).json();
    const verify = (phone: string, otp: string) => send(post('phone/verify', { phone, otp }, access));
    const code = await codeFor(world, phones, number.e164, 'verify');
    expectProblem(t, await verify(number.typed, otherThan(code)), 400, 'otp_invalid');
    expectProblem(t, await verify(freshNumber().typed, code), 400, 'invalid_phone');
    t.equal((await verify(number.typed, code)).statusCode, 200);
    t.match(await userOf(world, access), { phone: number.e164, phone_verified: true });
    t.equal((await send(refreshWith(refresh))).statusCode, 200);
    t.equal((await send(loginAs(ann.email))).statusCode, 200, 'the password stays');
    const again = await codeFor(world, phones, number.e164, 'verify');
    t.equal((await verify(number.typed, again)).statusCode, 200, 'there is nothing left to prove');
    t.ok((await typesOf(world, access)).includes('phone_verified'));
  });

  t.test('without verification nobody is asked, and anybody may', async (t) => {
    const ann = await signUp(world);
    t.equal((await send(post('email/resend', {}, ann.access))).statusCode, 200);
    const token = await mail.token(ann.email);
    t.equal(mail.inbox(ann.email).length, 1, 'none before');
    t.equal((await send(verifyBy(token, ann.access))).statusCode, 200);
  });
}

t.test('messages to confirm an address are limited', async (t) => {
  const world = await open(t, 'embedded', {
    RATE_LIMIT_PASSWORD_RESET: '3/hour',
    EMAIL_VERIFICATION: 'required',
  });
  const { send, mail } = world;
  const email = freshEmail();
  const register = () => send(post('register', { email, password: PASSWORD }));
  for (let n = 0; n < 3; n += 1) t.equal((await register()).statusCode, 202);
  expectProblem(t, await register(), 429, 'rate_limited');
  for (let n = 0; n < 5; n += 1) expectProblem(t, await send(loginAs(email)), 403, 'forbidden');
  await send(verifyBy(await mail.token(email)));
  const { access } = (await send(loginAs(email))).json();
  const other = freshEmail();
  await mail.mail(email, 6);
  t.equal(mail.links(email).length, 4, 'the one of the registration, and three of logins');
  expectProblem(t, await send(changeEmail(access, other)), 429, 'rate_limited');
  world.advance(3_600_000);
  const later = (await send(loginAs(email))).json().access;
  t.equal((await send(changeEmail(later, other))).statusCode, 200);
  t.match((await mail.mail(other)).subject, 'Confirm your new e-mail address');
});

t.test(
  'registration goes on while the mail server is away, unless the address must be confirmed first',
  async (t) => {
    const away = { EMAIL_PROVIDER: 'smtp', SMTP_URL: 'smtp://127.0.0.1:1', EMAIL_FROM: 'a@example.com' };
    const optional = await watchedApp(t, { env: { ...away, EMAIL_VERIFICATION: 'optional' } });
    t.equal((await signUp(optional)).user.id.length, 36);
    t.equal((await signUp(optional)).user.id.length, 36);
  },
);
