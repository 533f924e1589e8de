import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { storeUnavailable } from '../../src/errors.js';
import { PASSWORD, type SignedUp, STORES, type Stores, signUp, type TestApp } from '../support/app.js';
import { expectProblem, meOf, type Pair, refreshWith } from './answers.js';
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

const NEW_PASSWORD = 'wrong donkey charger';
const THIRD_PASSWORD = 'blue paper elephant';

type Fields = Record<string, unknown>;

const post = (path: string, payload: Fields, access?: string) =>
  ({
    method: 'POST',
    url: `/api/auth/${path}`,
    payload,
    ...(access && { headers: { authorization: `Bearer ${access}` } }),
  }) as const;

const changeOf = (access: string, current_password: unknown, new_password: unknown) =>
  post('password/change', { current_password, new_password }, access);
const forgotBy = (fields: Fields) => post('password/forgot', fields);
const resetBy = (fields: Fields) => post('password/reset', fields);
const resetTo = (token: string, new_password: string = NEW_PASSWORD) => resetBy({ token, new_password });
const loginAs = (email: string, password: string) => post('login', { email, password });

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

/** Asks for a link and takes it out of the mailbox. */
async function linkFor({ send, mail }: World, email: string): Promise<string> {
  const before = mail.links(email).length;
  const answer = await send(forgotBy({ email }));
  if (answer.statusCode !== 202) throw new Error(`forgot answered ${answer.statusCode} ${answer.body}`);
  return mail.token(email, before + 1);
}

const eventsOf = async ({ send }: TestApp, access: string): Promise<{ type: string; reason: string }[]> =>
  (await send({ url: '/api/auth/activity?limit=100', headers: { authorization: `Bearer ${access}` } })).json()
    .events;

async function loginPair({ send }: TestApp, email: string, password: string): Promise<Pair> {
  const answer = await send(loginAs(email, password));
  if (answer.statusCode !== 200) throw new Error(`login answered ${answer.statusCode} ${answer.body}`);
  return answer.json();
}

/** Neither token of the session works any more, and why. */
async function expectEnded(
  t: Test,
  { send }: TestApp,
  pair: Pick<SignedUp, 'access' | 'refresh'>,
  reason: string,
) {
  expectProblem(t, await send(meOf(pair.access)), 401, 'token_revoked');
  expectProblem(t, await send(refreshWith(pair.refresh)), 401, 'session_ended', { reason });
}

for (const stores of STORES) t.test(stores, (t) => suite(t, stores));

async function suite(t: Test, stores: Stores): Promise<void> {
  const world = await open(t, stores);
  const { app, send, mail, phones } = world;

  t.test('a changed password ends every session but the new one', async (t) => {
    const ann = await signUp(world);
    const elsewhere = await loginPair(world, ann.email, PASSWORD);
    const answer = await send(changeOf(ann.access, PASSWORD, NEW_PASSWORD));
    t.equal(answer.statusCode, 200);
    const pair: Pair = answer.json();
    t.strictSame(Object.keys(pair).sort(), [
      'access',
      'expires_in',
      'refresh',
      'refresh_expires_in',
      'token_type',
    ]);
    t.match(String(answer.headers['set-cookie']), /^latchkey_device=/);
    await expectEnded(t, world, ann, 'password_change');
    await expectEnded(t, world, elsewhere, 'password_change');
    t.equal((await send(meOf(pair.access))).statusCode, 200);
    t.equal((await send(refreshWith(pair.refresh))).statusCode, 200);
    expectProblem(t, await send(loginAs(ann.email, PASSWORD)), 401, 'invalid_credentials');
    t.equal((await send(loginAs(ann.email, NEW_PASSWORD))).statusCode, 200);
    t.match(await eventsOf(world, pair.access), [{ type: 'login' }, { type: 'login_failed' }]);
    const told = await eventsOf(world, pair.access);
    t.match(
      told.find(({ type }) => type === 'password_changed'),
      { reason: 'password_change' },
    );
    t.match(await mail.mail(ann.email), { subject: /password of your account/, link: undefined });
  });

  t.test('a password is changed only by whoever knows it, to a good one', async (t) => {
    const bob = await signUp(world, { first_name: 'Robert', last_name: 'Fitzgerald' });
    expectProblem(
      t,
      await send(changeOf(bob.access, 'not his password', NEW_PASSWORD)),
      401,
      'invalid_credentials',
    );
    for (const [password, code] of [
      ['short', 'too_short'],
      ['password123', 'too_common'],
      [bob.email, 'own_data'],
      ['Fitzgerald', 'own_data'],
      ['x'.repeat(129), 'too_long'],
      [PASSWORD, 'unchanged'],
    ] as const) {
      const answer = await send(changeOf(bob.access, PASSWORD, password));
      expectProblem(t, answer, 400, 'weak_password', { fields: [`new_password:${code}`] });
    }
    expectProblem(
      t,
      await send(post('password/change', { new_password: NEW_PASSWORD }, bob.access)),
      400,
      'invalid_request',
    );
    expectProblem(
      t,
      await send(post('password/change', { current_password: PASSWORD, new_password: NEW_PASSWORD })),
      401,
      'token_missing',
    );
    t.equal((await send(meOf(bob.access))).statusCode, 200, 'nothing has changed');
  });

  t.test('a link from the mailbox sets a new password, once', async (t) => {
    const ann = await signUp(world);
    const answer = await send(forgotBy({ email: ann.email.toUpperCase() }));
    t.equal(answer.statusCode, 202);
    t.strictSame(Object.keys(answer.json()), ['message']);
    const { link, text } = await mail.mail(ann.email);
    t.equal(`${link?.origin}${link?.pathname}`, `${new URL(world.config.publicUrl).origin}/reset`);
    t.match(text, '30 minutes');
    const token = await mail.token(ann.email);

    const done = await send(resetTo(token));
    t.equal(done.statusCode, 200);
    t.strictSame(Object.keys(done.json()), ['message']);
    t.equal(done.headers['set-cookie'], undefined, 'nobody is signed in');
    await expectEnded(t, world, ann, 'password_reset');
    expectProblem(t, await send(resetTo(token, THIRD_PASSWORD)), 400, 'ticket_invalid');
    expectProblem(t, await send(loginAs(ann.email, PASSWORD)), 401, 'invalid_credentials');
    const pair = await loginPair(world, ann.email, NEW_PASSWORD);
    t.match((await send(meOf(pair.access))).json(), { email_verified: true }, 'it proves the address');
    t.match(
      (await eventsOf(world, pair.access))
        .map(({ type }) => type)
        .filter((type) => type.startsWith('password')),
      ['password_reset', 'password_reset_requested'],
    );
    t.match((await mail.mail(ann.email, 2)).subject, 'was changed');
  });

  t.test('older links stay valid until one of them is used', async (t) => {
    const ann = await signUp(world);
    const first = await linkFor(world, ann.email);
    const second = await linkFor(world, ann.email);
    t.equal((await send(resetTo(first))).statusCode, 200);
    expectProblem(t, await send(resetTo(second, THIRD_PASSWORD)), 400, 'ticket_invalid');
    t.equal((await send(loginAs(ann.email, NEW_PASSWORD))).statusCode, 200);
  });

  t.test('a link dies with the password it was made for, with the account, and with time', async (t) => {
    const ann = await signUp(world);
    const stale = await linkFor(world, ann.email);
    const changed = await send(changeOf(ann.access, PASSWORD, NEW_PASSWORD));
    t.equal(changed.statusCode, 200);
    expectProblem(t, await send(resetTo(stale, THIRD_PASSWORD)), 400, 'ticket_invalid');

    const orphan = await linkFor(world, ann.email);
    await app.accounts.setActive(ann.user.id, false);
    expectProblem(t, await send(resetTo(orphan, THIRD_PASSWORD)), 400, 'ticket_invalid');
    await app.accounts.setActive(ann.user.id, true);
    expectProblem(t, await send(resetTo(orphan, THIRD_PASSWORD)), 400, 'ticket_invalid');

    const late = await linkFor(world, ann.email);
    world.advance(30 * 60_000);
    expectProblem(t, await send(resetTo(late, THIRD_PASSWORD)), 400, 'ticket_invalid');
  });

  t.test('nothing but a link is a link', async (t) => {
    for (const token of ['', 'x', 'x'.repeat(43), `${'x'.repeat(42)}=`, 'x'.repeat(256)]) {
      expectProblem(t, await send(resetTo(token)), 400, 'ticket_invalid');
    }
    for (const fields of [
      { new_password: NEW_PASSWORD },
      { token: 'x' },
      { token: 'x', phone: '09123456789', otp: '123456', new_password: NEW_PASSWORD },
      { phone: '09123456789', new_password: NEW_PASSWORD },
      { token: 7, new_password: NEW_PASSWORD },
    ]) {
      expectProblem(t, await send(resetBy(fields)), 400, 'invalid_request');
    }
    for (const fields of [{}, { email: 'nobody' }, { email: 'a@example.com', phone: '09123456789' }]) {
      expectProblem(t, await send(forgotBy(fields)), 400, 'invalid_request');
    }
    expectProblem(t, await send(forgotBy({ phone: '12' })), 400, 'invalid_phone');
  });

  t.test('a weak password spends neither the link nor the code', async (t) => {
    const ann = await signUp(world, { first_name: 'Annabelle' });
    const token = await linkFor(world, ann.email);
    for (const weak of ['short', 'password123', 'annabelle', ann.email]) {
      expectProblem(t, await send(resetTo(token, weak)), 400, 'weak_password');
    }
    t.equal((await send(resetTo(token))).statusCode, 200);

    const pat = await signUpByPhone(world, phones, { last_name: 'Patterson' });
    const code = await codeFor(world, phones, pat.e164, 'reset');
    const resetWith = (otp: string, new_password: string) =>
      send(resetBy({ phone: pat.typed, otp, new_password }));
    for (const weak of ['short', 'password123', pat.typed]) {
      expectProblem(t, await resetWith(otherThan(code), weak), 400, 'weak_password');
    }
    expectProblem(t, await resetWith(otherThan(code), 'patterson'), 400, 'otp_invalid', {});
    for (let n = 0; n < 3; n += 1) {
      expectProblem(t, await resetWith(code, 'patterson'), 400, 'weak_password', {
        fields: ['new_password:own_data'],
      });
    }
    t.equal((await resetWith(code, NEW_PASSWORD)).statusCode, 200);
    expectProblem(t, await resetWith(code, THIRD_PASSWORD), 400, 'otp_expired');
  });

  t.test('a code sets a new password, and ends every session', async (t) => {
    const pat = await signUpByPhone(world, phones);
    const answer = await send(forgotBy({ phone: pat.typed }));
    t.equal(answer.statusCode, 202);
    t.strictSame(Object.keys(answer.json()), ['message']);
    const { code, purpose } = await phones.newest(pat.e164, 2);
    t.equal(purpose, 'reset');
    expectProblem(t, await send(loginBy(pat.typed, code)), 400, 'otp_expired');
    const done = await send(resetBy({ phone: pat.typed, otp: code, new_password: NEW_PASSWORD }));
    t.equal(done.statusCode, 200);
    await expectEnded(t, world, pat, 'password_reset');
    const login = await send(post('login', { phone: pat.typed, password: NEW_PASSWORD }));
    t.equal(login.statusCode, 200, 'an account made by phone has a password now');

    const disabled = await codeFor(world, phones, pat.e164, 'reset');
    await app.accounts.setActive(pat.user.id, false);
    const refused = await send(resetBy({ phone: pat.typed, otp: disabled, new_password: THIRD_PASSWORD }));
    expectProblem(t, refused, 403, 'account_disabled');
  });

  t.test('nobody learns whether there is an account', async (t) => {
    const ann = await signUp(world);
    const pat = await signUpByPhone(world, phones);
    const disabled = await signUp(world);
    await app.accounts.setActive(disabled.user.id, false);
    const answers = [
      await send(forgotBy({ email: ann.email })),
      await send(forgotBy({ email: 'nobody.at.all@example.com' })),
      await send(forgotBy({ email: disabled.email })),
      await send(forgotBy({ phone: pat.typed })),
      await send(forgotBy({ phone: freshNumber().typed })),
    ];
    const shapes = answers.map(({ statusCode, body, headers }) => {
      const { 'x-request-id': _, date: __, ...others } = headers;
      return JSON.stringify([statusCode, body, others]);
    });
    t.equal(new Set(shapes).size, 1);
    await mail.mail(ann.email);
    t.strictSame([mail.inbox('nobody.at.all@example.com'), mail.inbox(disabled.email)], [[], []]);
  });

  t.test(
    'the message is in the language of the caller, and its link is ours whatever the Host says',
    async (t) => {
      const ann = await signUp(world);
      const answer = await send({
        ...forgotBy({ email: ann.email }),
        headers: { host: 'evil.example', 'x-forwarded-host': 'evil.example', 'accept-language': 'fa' },
      });
      t.match(answer.json().message, 'حساب');
      const { text } = await mail.mail(ann.email);
      t.match(text, 'رمز عبور');
      t.notMatch(mail.server.delivered.at(-1)?.raw, 'evil.example');
    },
  );

  t.test('one link, many at once: one of them sets its password', async (t) => {
    const ann = await signUp(world);
    const token = await linkFor(world, ann.email);
    const wanted = Array.from({ length: 6 }, (_, n) => `${NEW_PASSWORD} ${n}`);
    const answers = await Promise.all(wanted.map((password) => send(resetTo(token, password))));
    t.strictSame(answers.map(statusAndCode).sort(), ['200', ...Array(5).fill('400 ticket_invalid')]);
    const won = wanted[answers.findIndex(({ statusCode }) => statusCode === 200)] as string;
    for (const password of wanted) {
      t.equal((await send(loginAs(ann.email, password))).statusCode, password === won ? 200 : 401);
    }
  });

  t.test('one code, many at once', async (t) => {
    const pat = await signUpByPhone(world, phones);
    const otp = await codeFor(world, phones, pat.e164, 'reset');
    const wanted = Array.from({ length: 4 }, (_, n) => `${NEW_PASSWORD} ${n}`);
    const answers = await Promise.all(
      wanted.map((new_password) => send(resetBy({ phone: pat.typed, otp, new_password }))),
    );
    t.strictSame(answers.map(statusAndCode).sort(), ['200', ...Array(3).fill('400 otp_expired')]);
  });

  t.test('two links at once: one of them sets its password', async (t) => {
    const ann = await signUp(world);
    const tokens = [await linkFor(world, ann.email), await linkFor(world, ann.email)];
    const answers = await Promise.all(tokens.map((token, n) => send(resetTo(token, `${NEW_PASSWORD} ${n}`))));
    t.strictSame(answers.map(statusAndCode).sort(), ['200', '400 ticket_invalid']);
  });

  t.test('no refresh, no login and no change that races with a reset outlives it', async (t) => {
    for (let round = 0; round < 4; round += 1) {
      const ann = await signUp(world);
      const token = await linkFor(world, ann.email);
      const [reset, ...others] = await Promise.all([
        send(resetTo(token)),
        send(refreshWith(ann.refresh)),
        send(loginAs(ann.email, PASSWORD)),
        send(changeOf(ann.access, PASSWORD, THIRD_PASSWORD)),
      ]);
      const [refreshed, loggedIn, changed] = others;
      const isReset = reset.statusCode === 200;
      t.ok(isReset || changed.statusCode === 200, `${statusAndCode(reset)}, ${statusAndCode(changed)}`);
      t.ok(isReset !== (changed.statusCode === 200), 'one of the two is the last word');
      const survivors = [refreshed, loggedIn, ...(isReset ? [changed] : [])];
      for (const { statusCode, json } of survivors.map((each) => ({
        statusCode: each.statusCode,
        json: each,
      }))) {
        if (statusCode === 200) t.equal((await send(meOf(json.json().access))).statusCode, 401);
      }
      t.equal((await send(loginAs(ann.email, isReset ? NEW_PASSWORD : THIRD_PASSWORD))).statusCode, 200);
      t.equal((await send(loginAs(ann.email, PASSWORD))).statusCode, 401);
    }
  });

  t.test(
    'whoever registered with the address of another keeps nothing once its owner has reset the password',
    async (t) => {
      const squatter = await signUp(world);
      const token = await linkFor(world, squatter.email);
      t.equal((await send(resetTo(token))).statusCode, 200);
      await expectEnded(t, world, squatter, 'password_reset');
      expectProblem(t, await send(loginAs(squatter.email, PASSWORD)), 401, 'invalid_credentials');
    },
  );

  t.test('by cookie', async (t) => {
    const ann = await signUp(world);
    const answer = await send({
      ...changeOf(ann.access, PASSWORD, NEW_PASSWORD),
      headers: { authorization: `Bearer ${ann.access}`, 'x-auth-transport': 'cookie' },
    });
    t.equal(answer.statusCode, 200);
    t.notOk('refresh' in answer.json());
    t.match(String(answer.headers['set-cookie']), /latchkey_refresh=/);
  });
}

t.test('limits of their own', async (t) => {
  for (const stores of STORES) {
    t.test(stores, async (t) => {
      const world = await open(t, stores, {
        RATE_LIMIT_PASSWORD_RESET: '3/hour',
        RATE_LIMIT_LOGIN: '5/minute',
      });
      const { send } = world;
      const from = (remoteAddress: string, email: string) => send({ ...forgotBy({ email }), remoteAddress });

      t.test('per recipient, whoever asks and whether or not there is one', async (t) => {
        const ann = await signUp(world);
        for (const [net, email] of ['198.51.100', '192.0.2'].map(
          (net, n) => [net, n ? 'nobody.limits@example.com' : ann.email] as const,
        )) {
          for (let n = 1; n <= 3; n += 1) {
            const answer = await from(`${net}.${n}`, n === 2 ? email.toUpperCase() : email);
            t.match(answer.headers, { 'ratelimit-limit': '3', 'ratelimit-remaining': String(3 - n) });
            t.equal(answer.statusCode, 202);
          }
          expectProblem(t, await from(`${net}.9`, email), 429, 'rate_limited');
        }
      });

      t.test('per address; what is refused to a recipient does not count there', async (t) => {
        const asked = (n: number) => from('203.0.113.7', `limit${n}@example.com`);
        t.equal((await asked(0)).statusCode, 202);
        for (let n = 1; n <= 3; n += 1)
          t.equal((await from(`203.0.113.2${n}`, 'full@example.com')).statusCode, 202);
        expectProblem(t, await from('203.0.113.7', 'full@example.com'), 429, 'rate_limited');
        t.equal((await asked(1)).statusCode, 202);
        t.equal((await asked(2)).statusCode, 202);
        expectProblem(t, await asked(3), 429, 'rate_limited');
      });

      t.test('a code that is not sent does not count', async (t) => {
        const { send, advance } = await open(t, stores, {
          RATE_LIMIT_PASSWORD_RESET: '2/hour',
          OTP_RESEND: '30',
        });
        const { typed, e164 } = freshNumber();
        const first = await send(forgotBy({ phone: typed }));
        t.equal(first.statusCode, 202);
        t.equal(first.headers['ratelimit-remaining'], '1');
        for (let n = 0; n < 3; n += 1) {
          expectProblem(t, await send(forgotBy({ phone: e164 })), 429, 'otp_cooldown');
        }
        advance(30_000);
        const second = await send(forgotBy({ phone: typed }));
        t.equal(second.statusCode, 202, 'neither at the number nor at the address');
        t.equal(second.headers['ratelimit-remaining'], '0');
        advance(30_000);
        expectProblem(t, await send(forgotBy({ phone: typed })), 429, 'rate_limited');
      });

      t.test('nor one that cannot be sent', async (t) => {
        const { send } = await watchedApp(t, {
          stores,
          env: { HOST: '0.0.0.0', RATE_LIMIT_PASSWORD_RESET: '2/hour' },
        });
        for (let n = 0; n < 4; n += 1) {
          const answer = await send(forgotBy({ phone: freshNumber().typed }));
          expectProblem(t, answer, 503, 'delivery_unavailable');
        }
      });

      t.test('the password asked for counts as a login', async (t) => {
        const ann = await signUp(world);
        for (let n = 0; n < 5; n += 1) {
          expectProblem(
            t,
            await send(changeOf(ann.access, 'a wrong password', NEW_PASSWORD)),
            401,
            'invalid_credentials',
          );
        }
        expectProblem(t, await send(changeOf(ann.access, PASSWORD, NEW_PASSWORD)), 429, 'rate_limited');
      });
    });
  }
});

t.test('a reset ends the delay that wrong passwords brought, and the devices', async (t) => {
  const world = await open(t, 'servers', { RATE_LIMIT_LOGIN: '50/minute', RATE_LIMIT_LOGIN_IP: 'off' });
  const { send } = world;
  const ann = await signUp(world);
  const known = await send(loginAs(ann.email, PASSWORD));
  const device = /latchkey_device=([^;]+)/.exec(String(known.headers['set-cookie']))?.[1] as string;
  for (let n = 0; n < 10; n += 1) await send(loginAs(ann.email, 'a wrong password'));
  expectProblem(t, await send(loginAs(ann.email, PASSWORD)), 429, 'account_delayed');
  const token = await linkFor(world, ann.email);
  t.equal((await send(resetTo(token))).statusCode, 200);
  for (let n = 0; n < 10; n += 1) await send(loginAs(ann.email, 'a wrong password'));
  const asDevice = { ...loginAs(ann.email, NEW_PASSWORD), headers: { cookie: `latchkey_device=${device}` } };
  expectProblem(t, await send(asDevice), 429, 'account_delayed');
  world.advance(10_000);
  t.equal((await send(loginAs(ann.email, NEW_PASSWORD))).statusCode, 200);
});

t.test('the caller of a change stays a known device', async (t) => {
  const world = await open(t, 'embedded', { RATE_LIMIT_LOGIN: '50/minute', RATE_LIMIT_LOGIN_IP: 'off' });
  const { send } = world;
  const ann = await signUp(world);
  const changed = await send(changeOf(ann.access, PASSWORD, NEW_PASSWORD));
  const device = /latchkey_device=([^;]+)/.exec(String(changed.headers['set-cookie']))?.[1] as string;
  for (let n = 0; n < 10; n += 1) await send(loginAs(ann.email, 'a wrong password'));
  expectProblem(t, await send(loginAs(ann.email, NEW_PASSWORD)), 429, 'account_delayed');
  const asDevice = { ...loginAs(ann.email, NEW_PASSWORD), headers: { cookie: `latchkey_device=${device}` } };
  t.equal((await send(asDevice)).statusCode, 200);
});

t.test('where no e-mail can be sent, everybody is told so alike', async (t) => {
  const world = await watchedApp(t, { env: { HOST: '0.0.0.0' } });
  const ann = await signUp(world);
  for (const email of [ann.email, 'nobody@example.com']) {
    expectProblem(t, await world.send(forgotBy({ email })), 503, 'delivery_unavailable');
  }
});

t.test('a store that fails in between spends neither link nor code', async (t) => {
  const world = await open(t, 'servers');
  const { app, send, phones } = world;
  const { credentials, accounts } = app.database;
  const away = async (): Promise<never> => {
    throw storeUnavailable(new Error('away'));
  };
  const failing = async (
    method: 'resetByEmail' | 'resetByPhone' | 'verifyEmail',
    ask: () => Promise<unknown>,
  ) => {
    const real = credentials[method];
    credentials[method] = away;
    await ask();
    credentials[method] = real as never;
  };
  const ann = await signUp(world);
  const token = await linkFor(world, ann.email);
  await failing('resetByEmail', async () =>
    expectProblem(t, await send(resetTo(token)), 503, 'store_unavailable'),
  );
  t.equal((await send(meOf(ann.access))).statusCode, 200, 'nothing has changed');
  t.equal((await send(resetTo(token))).statusCode, 200);

  const pat = await signUpByPhone(world, phones);
  const otp = await codeFor(world, phones, pat.e164, 'reset');
  const reset = () => send(resetBy({ phone: pat.typed, otp, new_password: NEW_PASSWORD }));
  await failing('resetByPhone', async () => expectProblem(t, await reset(), 503, 'store_unavailable'));
  t.equal((await reset()).statusCode, 200);

  const find = accounts.findByIdentifier;
  const code = await codeFor(world, phones, pat.e164, 'reset');
  accounts.findByIdentifier = async () => undefined;
  const gone = await send(resetBy({ phone: pat.typed, otp: code, new_password: NEW_PASSWORD }));
  accounts.findByIdentifier = find;
  expectProblem(t, gone, 400, 'otp_invalid');
});

t.test('an account that changes in between is left alone', async (t) => {
  const world = await open(t, 'embedded');
  const { app, send, phones } = world;
  const { credentials } = app.database;
  const none = async () => undefined;
  const [ann, pat] = [await signUp(world), await signUpByPhone(world, phones)];
  const token = await linkFor(world, ann.email);
  const otp = await codeFor(world, phones, pat.e164, 'reset');
  const number = freshNumber();
  const code = await codeFor(world, phones, number.e164, 'verify');
  Object.assign(credentials, { resetByEmail: none, resetByPhone: none, changePassword: none });
  const race = async () => ({ taken: 'phone' as const });
  credentials.changePhone = race;
  expectProblem(t, await send(resetTo(token)), 400, 'ticket_invalid');
  const reset = resetBy({ phone: pat.typed, otp, new_password: NEW_PASSWORD });
  expectProblem(t, await send(reset), 400, 'otp_invalid');
  expectProblem(t, await send(changeOf(ann.access, PASSWORD, NEW_PASSWORD)), 401, 'token_revoked');
  const change = (otp: string) =>
    send(post('phone/change', { password: PASSWORD, phone: number.typed, otp }, ann.access));
  expectProblem(t, await change(code), 409, 'phone_taken');
  credentials.changePhone = none;
  expectProblem(t, await change(await codeFor(world, phones, number.e164, 'verify')), 401, 'token_revoked');
});

t.test('Redis knows no token and no address', async (t) => {
  const world = await open(t, 'servers');
  const ann = await signUp(world);
  const token = await linkFor(world, ann.email);
  const redis = new Redis(world.config.redisUrl as string);
  t.teardown(() => redis.disconnect());
  const keys = await redis.keys(`${world.config.redisPrefix}{ticket:*`);
  t.equal(keys.length, 1);
  const [key] = keys as [string];
  t.notMatch(key, token);
  t.notMatch(await redis.get(key), token);
  const ttl = await redis.pttl(key);
  t.ok(ttl > 29 * 60_000 && ttl <= 30 * 60_000, `${ttl} ms`);
  const all = await redis.keys(`${world.config.redisPrefix}*`);
  t.notOk(all.some((each) => each.includes('@') || each.includes(ann.email)));
});
