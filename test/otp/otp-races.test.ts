import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import {
  codeFor,
  freshNumber,
  loginBy,
  phones as openPhones,
  otherThan,
  type Phones,
  registerBy,
  sendOf,
  signUpByPhone,
  statusAndCode,
  UNLIMITED,
} from '../http/phones.js';
import { STORES, type Stores, type TestApp, testApp } from '../support/app.js';
import { freshDatabase } from '../support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';

interface Pair {
  phones: Phones;
  apps: [TestApp, TestApp];
  /** Answers to so many requests at once, which the two instances share: what was said how often. */
  tally(size: number, ask: (n: number) => Parameters<TestApp['send']>[0]): Promise<Record<string, number>>;
}

/** Two instances of the service on one set of stores. */
async function pairOfApps(t: Test, stores: Stores, env: Record<string, string>): Promise<Pair> {
  const phones = await openPhones(t);
  const where: Record<string, string> =
    stores === 'embedded'
      ? { LATCHKEY_DATA_DIR: t.testdir() }
      : {
          REDIS_URL: sharedRedisUrl(),
          REDIS_PREFIX: freshPrefix(t),
          DATABASE_URL: await freshDatabase(t),
        };
  const run = () => testApp(t, { env: { ...phones.env, ...where, LOG_LEVEL: 'silent', ...env } });
  const apps: Pair['apps'] = [await run(), await run()];
  return {
    phones,
    apps,
    async tally(size, ask) {
      const answers = await Promise.all(
        Array.from({ length: size }, (_, n) => apps[n % 2 === 0 ? 0 : 1].send(ask(n))),
      );
      return count(answers);
    },
  };
}

function count(answers: LightMyRequestResponse[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const said of answers.map(statusAndCode)) counts[said] = (counts[said] ?? 0) + 1;
  return counts;
}

for (const stores of STORES) {
  t.test(`${stores}: two instances, hundreds of codes at once`, async (t) => {
    const { phones, apps, tally } = await pairOfApps(t, stores, UNLIMITED);
    const [one, two] = apps;

    await t.test('five wrong ones are compared', async (t) => {
      const { typed, e164 } = await signUpByPhone(one, phones);
      const code = await codeFor(two, phones, e164);
      const answers = await tally(300, () => loginBy(typed, otherThan(code)));
      t.strictSame(answers, { '400 otp_invalid': 5, '429 otp_attempts_exceeded': 295 });
      t.strictSame(await tally(10, () => loginBy(typed, code)), { '429 otp_attempts_exceeded': 10 });
    });

    await t.test('one right one signs in', async (t) => {
      const { typed, e164 } = await signUpByPhone(two, phones);
      const code = await codeFor(one, phones, e164);
      t.strictSame(await tally(200, () => loginBy(typed, code)), { '200': 1, '400 otp_expired': 199 });
    });

    await t.test('one right one registers', async (t) => {
      const { typed, e164 } = freshNumber();
      const code = await codeFor(one, phones, e164, 'register');
      t.strictSame(await tally(200, () => registerBy(typed, code)), { '201': 1, '400 otp_expired': 199 });
    });

    await t.test('right and wrong ones in any order', async (t) => {
      const { typed, e164 } = await signUpByPhone(one, phones);
      const code = await codeFor(one, phones, e164);
      const answers = await tally(200, (n) => loginBy(typed, n % 50 < 5 ? otherThan(code) : code));
      const { '200': won = 0, '400 otp_invalid': wrong = 0 } = answers;
      t.ok(won === 1 ? wrong < 5 : won === 0 && wrong === 5, JSON.stringify(answers));
    });

    await t.test('ten wrong ones in an hour, over all codes of a number', async (t) => {
      const { typed, e164 } = await signUpByPhone(one, phones);
      let wrong = 0;
      for (let n = 0; n < 4; n += 1) {
        const code = await codeFor(two, phones, e164);
        wrong += (await tally(60, () => loginBy(typed, otherThan(code))))['400 otp_invalid'] ?? 0;
      }
      t.equal(wrong, 10);
      one.advance(3_600_000);
      two.advance(3_600_000);
      const code = await codeFor(two, phones, e164);
      t.strictSame(await tally(50, () => loginBy(typed, code)), { '200': 1, '400 otp_expired': 49 });
    });
  });

  t.test(`${stores}: two instances, hundreds of sends at once`, async (t) => {
    const env = { OTP_SENDS_PER_IP_HOUR: '20', OTP_SPEND_GUARD: 'off' };
    const { phones, tally } = await pairOfApps(t, stores, env);
    const { typed, e164 } = freshNumber();

    t.strictSame(await tally(200, () => sendOf(typed, 'register')), { '200': 1, '429 otp_cooldown': 199 });
    const many = Array.from({ length: 100 }, () => freshNumber());
    t.strictSame(await tally(many.length, (n) => sendOf(many[n]!.typed, 'register')), {
      '200': 19,
      '429 rate_limited': 81,
    });
    const reached = () => many.filter(({ e164 }) => phones.inbox(e164).length > 0).length;
    while (reached() < 19) await new Promise((resolve) => setTimeout(resolve, 2));
    t.equal(phones.inbox(e164).length, 1);
    t.equal(phones.provider.received.length, 20, 'as many messages as were promised');
  });

  t.test(`${stores}: two instances, one address trying everybody`, async (t) => {
    const env = { ...UNLIMITED, RATE_LIMIT_LOGIN: '5/minute', RATE_LIMIT_LOGIN_IP: '30/5minute' };
    const { phones, apps, tally } = await pairOfApps(t, stores, env);
    const victims = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const { typed, e164 } = freshNumber();
        return { typed, code: await codeFor(apps[0], phones, e164, 'register') };
      }),
    );
    const guesses = await tally(100, (n) => registerBy(victims[n]!.typed, otherThan(victims[n]!.code)));
    t.strictSame(guesses, { '400 otp_invalid': 30, '429 rate_limited': 70 });
    const lucky = await tally(100, (n) => registerBy(victims[n]!.typed, victims[n]!.code));
    t.strictSame(lucky, { '429 rate_limited': 100 }, 'what it guesses beyond is of no use to it');
  });
}
