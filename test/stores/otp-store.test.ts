import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { OTP_PURPOSES, type OtpPurpose } from '../../src/contract/otp.js';
import { storeUnavailable } from '../../src/errors.js';
import { newTokenId } from '../../src/lib/ids.js';
import type {
  AnswerChallenge,
  CountSend,
  OpenChallenge,
  OtpStore,
  SendVerdict,
  SpendRules,
} from '../../src/otp/otp-store.js';
import { createKeys } from '../../src/stores/keys.js';
import { connectRedis, type RedisRunner } from '../../src/stores/redis/client.js';
import { createRedisOtpStore } from '../../src/stores/redis/otp-store.js';
import { createRedisStateStore } from '../../src/stores/redis/state-store.js';
import { freePort } from '../support/free-port.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { countTrips } from '../support/trip-counter.js';
import { playAgainstModel, step } from './otp-model.js';
import type { OtpWork } from './otp-worker.js';
import { ADAPTERS, type Adapter, DAY, MINUTE, openStore, SECOND, tempDir } from './state-store-bench.js';

const HOUR = 60 * MINUTE;
const LIFETIME = 300 * SECOND;
const COOL_DOWN = [30, 60, 120, 300].map((seconds) => seconds * SECOND);

/** No limit at all; a test names the one it is about. */
const UNLIMITED = {
  coolDownMs: [],
  perHour: undefined,
  perDay: undefined,
  perAddressHour: undefined,
  guard: undefined,
} satisfies Partial<CountSend>;

const GUARD: SpendRules = {
  mode: 'deny',
  minPerCountry: 1000,
  minPerAddress: 1000,
  minVerifiedRatio: 0.5,
  dailyCap: 100_000,
};

const RIGHT = { status: 'right' };
const WRONG = { status: 'wrong' };
const NONE = { status: 'none' };
const spent = (retryMs: number) => ({ status: 'spent', retryMs });
const counted = (resendMs = 0) => ({ status: 'counted', resendMs, suspicions: [] });
const suspected = (...suspicions: string[]) => ({ status: 'counted', resendMs: 0, suspicions });
const cooling = (retryMs: number) => ({ status: 'cooldown', retryMs });
const limited = (by: string, max: number, retryMs: number) => ({ status: 'limited', by, max, retryMs });
const denied = (retryMs: number, ...suspicions: string[]) => ({ status: 'denied', suspicions, retryMs });

/** What is left of the budgets is a matter of its own: see there, and the model. */
type Bare<Verdict> = Verdict extends unknown ? Omit<Verdict, 'limit'> : never;
const withoutLimit = (verdict: SendVerdict): Bare<SendVerdict> => {
  const { limit: _, ...rest } = { limit: undefined, ...verdict };
  return rest as Bare<SendVerdict>;
};

/** Calls the store as the service does, at the time the test says. */
function createCaller(now: () => number) {
  const sendInput = (change: Partial<CountSend> = {}): CountSend => ({
    sendId: newTokenId(),
    number: newTokenId(),
    address: newTokenId(),
    country: newTokenId(),
    now: now(),
    ...UNLIMITED,
    ...change,
  });
  const openInput = (number: string, change: Partial<OpenChallenge> = {}): OpenChallenge => ({
    number,
    purpose: 'login',
    codeHash: 'good',
    lifetimeMs: LIFETIME,
    now: now(),
    ...change,
  });
  const answerInput = (number: string, change: Partial<AnswerChallenge> = {}): AnswerChallenge => ({
    number,
    purpose: 'login',
    codeHashes: ['bad'],
    maxTries: 5,
    maxTriesPerHour: 1000,
    maxTriesPerDay: undefined,
    now: now(),
    ...change,
  });
  return { sendInput, openInput, answerInput };
}

const tally = (verdicts: readonly (string | { status: string })[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const verdict of verdicts) {
    const status = typeof verdict === 'string' ? verdict : verdict.status;
    counts[status] = (counts[status] ?? 0) + 1;
  }
  return counts;
};

const times = <T>(n: number, make: (n: number) => T): T[] => Array.from({ length: n }, (_, at) => make(at));

for (const adapter of ADAPTERS) t.test(adapter.name, (t) => contract(t, adapter));

/** What both adapters promise. Windows go by the caller's clock, so that no key needs to age here. */
async function contract(t: Test, adapter: Adapter): Promise<void> {
  const bench = await adapter.setUp(t);
  const { otp } = bench.store;
  const stores = [otp, bench.other.otp];
  let time = bench.now();
  const now = () => time;
  const pass = (ms: number) => {
    time += ms;
  };
  const { sendInput, openInput, answerInput } = createCaller(now);
  const countSend = async (input: CountSend) => withoutLimit(await otp.countSend(input));
  const send = (change?: Partial<CountSend>) => countSend(sendInput(change));
  const open = (number: string, change?: Partial<OpenChallenge>) =>
    otp.openChallenge(openInput(number, change));
  const answer = (number: string, change?: Partial<AnswerChallenge>) =>
    otp.answerChallenge(answerInput(number, change));
  const right = { codeHashes: ['good'] };
  const sentIn = async (country: string) =>
    (await otp.readSpend({ countries: [country], now: now() })).countries[0];
  const total = async () => (await otp.readSpend({ countries: [], now: now() })).total;

  t.test('sends per number', async (t) => {
    await t.test('so many in any hour, wherever it begins', async (t) => {
      const rules = { number: newTokenId(), perHour: 3 };
      t.strictSame(await send(rules), counted());
      pass(50 * MINUTE);
      t.strictSame(await send(rules), counted());
      pass(5 * MINUTE);
      t.strictSame(await send(rules), counted());
      t.strictSame(await send(rules), limited('number_hour', 3, 5 * MINUTE));
      pass(5 * MINUTE - 1);
      t.strictSame(await send(rules), limited('number_hour', 3, 1));
      pass(1);
      t.strictSame(await send(rules), counted(), 'the oldest has left');
      t.strictSame(await send(rules), limited('number_hour', 3, 50 * MINUTE), 'and no other');
      pass(50 * MINUTE);
      t.strictSame(await send(rules), counted());
      t.strictSame(await send(rules), limited('number_hour', 3, 5 * MINUTE));
      t.strictSame(await send({ perHour: 3 }), counted(), 'another number has its own');
    });

    await t.test('so many in any 24 hours', async (t) => {
      const rules = { number: newTokenId(), perHour: 2, perDay: 3 };
      await send(rules);
      await send(rules);
      t.strictSame(await send(rules), limited('number_hour', 2, HOUR));
      pass(23 * HOUR);
      t.strictSame(await send(rules), counted());
      t.strictSame(await send(rules), limited('number_day', 3, HOUR), 'the longest wait is told');
      pass(HOUR - 1);
      t.strictSame(await send(rules), limited('number_day', 3, 1));
      pass(1);
      t.strictSame(await send(rules), counted());
      t.strictSame(await send(rules), counted());
      t.strictSame(await send(rules), limited('number_day', 3, 23 * HOUR));
      t.strictSame(
        await send({ ...rules, perDay: 2 }),
        limited('number_day', 2, DAY),
        'a limit that was lowered',
      );
    });

    await t.test('or as many as they like', async (t) => {
      const number = newTokenId();
      for (const verdict of await Promise.all(times(50, () => send({ number }))))
        t.strictSame(verdict, counted());
      t.strictSame(await send({ number, perDay: 1 }), limited('number_day', 1, DAY));
    });
  });

  t.test('what is left is told of the budget with the least of it', async (t) => {
    const limitOf = async (change: Partial<CountSend>) => {
      const verdict = await otp.countSend(sendInput(change));
      return 'limit' in verdict ? verdict.limit : verdict;
    };
    const left = (max: number, remaining: number, resetMs: number) => ({ max, remaining, resetMs });
    const rules = { number: newTokenId(), address: newTokenId(), perHour: 3, perDay: 3, perAddressHour: 5 };
    t.strictSame(await limitOf(rules), left(3, 2, HOUR));
    pass(10 * MINUTE);
    t.strictSame(await limitOf(rules), left(3, 1, 50 * MINUTE), 'until the first has left the hour');
    const cool = { coolDownMs: COOL_DOWN };
    t.strictSame(await limitOf({ ...rules, number: newTokenId(), ...cool }), left(3, 2, HOUR));
    pass(50 * MINUTE);
    t.strictSame(await limitOf(rules), left(3, 0, 23 * HOUR), 'of the day');
    const other = { ...rules, number: newTokenId(), perHour: 9, perDay: 9, ...cool };
    t.strictSame(await limitOf(other), left(5, 1, 10 * MINUTE), 'of the address');
    t.strictSame(await limitOf(other), left(5, 1, 10 * MINUTE), 'a refused one spends nothing');
    t.equal(await limitOf({}), undefined, 'without budgets');
  });

  t.test('sends per address, in any hour and across numbers', async (t) => {
    const rules = { address: newTokenId(), perAddressHour: 2 };
    await send(rules);
    pass(59 * MINUTE);
    await send(rules);
    t.strictSame(await send(rules), limited('address', 2, MINUTE));
    pass(MINUTE - 1);
    t.strictSame(await send(rules), limited('address', 2, 1));
    pass(1);
    t.strictSame(await send(rules), counted());
    t.strictSame(await send(rules), limited('address', 2, 59 * MINUTE));
    t.strictSame(await send({ perAddressHour: 2 }), counted(), 'another address has its own');
  });

  t.test('the cool-down of a number', async (t) => {
    await t.test('grows with every send, and its last step repeats', async (t) => {
      const rules = { number: newTokenId(), coolDownMs: COOL_DOWN };
      for (const wait of [...COOL_DOWN, ...times(6, () => 300 * SECOND)]) {
        t.strictSame(await send(rules), counted(wait));
        t.strictSame(await send(rules), cooling(wait));
        pass(wait - 1);
        t.strictSame(await send(rules), cooling(1));
        pass(1);
      }
    });

    await t.test('ends with a proved code', async (t) => {
      const number = newTokenId();
      const rules = { number, coolDownMs: COOL_DOWN, perHour: 3 };
      await send(rules);
      pass(30 * SECOND);
      t.strictSame(await send(rules), counted(60 * SECOND));
      await open(number, { purpose: 'verify' });
      t.strictSame(await answer(number, { purpose: 'verify' }), WRONG);
      t.strictSame(await send(rules), cooling(60 * SECOND), 'not with a wrong one');
      t.strictSame(await answer(number, { ...right, purpose: 'verify' }), RIGHT);
      t.strictSame(await send(rules), counted(30 * SECOND), 'and begins anew');
      t.strictSame(await send(rules), cooling(HOUR - 30 * SECOND), 'the hour’s budget has gone on');
      pass(30 * SECOND);
      t.strictSame(await send(rules), limited('number_hour', 3, HOUR - MINUTE));
    });

    await t.test('remembers 24 hours', async (t) => {
      const rules = { number: newTokenId(), coolDownMs: COOL_DOWN };
      await send(rules);
      pass(DAY - 1);
      t.strictSame(await send(rules), counted(60 * SECOND));
      pass(60 * SECOND);
      t.strictSame(await send(rules), counted(60 * SECOND), 'the first is forgotten');
      pass(DAY);
      t.strictSame(await send({ ...rules, coolDownMs: [] }), counted());
      t.strictSame(await send({ ...rules, coolDownMs: [] }), counted(), 'none where none is asked for');
    });

    await t.test('goes with a send that is taken back', async (t) => {
      const rules = { number: newTokenId(), coolDownMs: COOL_DOWN, perHour: 9 };
      await send(rules);
      pass(30 * SECOND);
      const lost = sendInput(rules);
      t.strictSame(await countSend(lost), counted(60 * SECOND));
      await otp.uncountSend(lost);
      t.strictSame(await send(rules), counted(60 * SECOND));

      for (const wait of [60, 120, 300, 300, 300]) {
        pass(wait * SECOND);
        await send(rules);
      }
      pass(300 * SECOND);
      for (const _ of times(3, String)) {
        const undelivered = sendInput({ ...rules, perHour: undefined });
        t.strictSame(await countSend(undelivered), counted(300 * SECOND), 'the last step stays the last');
        await otp.uncountSend(undelivered);
      }
    });
  });

  t.test('where several refuse, the first in order is named and the longest wait told', async (t) => {
    const [number, address, country] = [newTokenId(), newTokenId(), newTokenId()];
    const first = { number, address, country, perAddressHour: 20 };
    const guard = { ...GUARD, minPerCountry: 1 };
    await send(first);
    pass(HOUR / 2);
    await send({ ...first, coolDownMs: [MINUTE] });
    const all = { ...first, coolDownMs: [MINUTE], perHour: 1, perDay: 1, perAddressHour: 1, guard };
    const untilTomorrow = DAY - HOUR / 2;

    t.strictSame(await send({ ...all, perDay: undefined, guard: undefined }), cooling(HOUR));
    t.strictSame(await send(all), cooling(DAY));
    const ready = { ...all, coolDownMs: [] };
    t.strictSame(await send(ready), limited('number_day', 1, DAY));
    t.strictSame(await send({ ...ready, perDay: undefined }), limited('number_hour', 1, untilTomorrow));
    const stranger = { ...ready, number: newTokenId() };
    t.strictSame(await send(stranger), limited('address', 1, untilTomorrow));
    t.strictSame(await send({ ...stranger, address: newTokenId() }), denied(untilTomorrow, 'country'));
    t.strictSame(await sentIn(country), { country, sends: 2, verified: 0 }, 'and none of it was counted');
    t.strictSame(await send({ ...stranger, address: newTokenId(), country: newTokenId() }), counted());
  });

  t.test('what one slot refuses no slot counts', async (t) => {
    const before = await total();
    const [number, address, country] = [newTokenId(), newTokenId(), newTokenId()];
    const rules = { perHour: 1, perAddressHour: 1, coolDownMs: [30 * SECOND] };
    await send({ ...rules, address });

    t.match(await send({ ...rules, number, address, country }), { status: 'limited', by: 'address' });
    t.strictSame(await sentIn(country), { country, sends: 0, verified: 0 });
    t.strictSame(await send({ ...rules, number, country }), counted(30 * SECOND), 'neither the number');

    const other = newTokenId();
    t.match(await send({ ...rules, number, address: other, country }), { status: 'cooldown' });
    t.strictSame(await send({ ...rules, address: other, country }), counted(30 * SECOND), 'nor the address');
    t.strictSame(await sentIn(country), { country, sends: 2, verified: 0 }, 'nor the country');
    t.equal(await total(), before + 3, 'nor the total');

    const closed = { ...GUARD, dailyCap: 1 };
    const tried = { number: newTokenId(), address: newTokenId(), country: newTokenId() };
    t.match(await send({ ...rules, ...tried, guard: closed }), {
      status: 'denied',
      suspicions: ['daily_cap'],
    });
    t.strictSame(await sentIn(tried.country), { country: tried.country, sends: 0, verified: 0 });
    t.strictSame(await send({ ...rules, ...tried }), counted(30 * SECOND), 'nor any, for the guard');
  });

  t.test('the spend guard', async (t) => {
    await t.test('a country whose codes are not proved', async (t) => {
      const country = newTokenId();
      const rules = { country, guard: { ...GUARD, minPerCountry: 4 } };
      const prove = () => otp.countVerified({ address: newTokenId(), country, now: now() });
      for (const _ of times(4, String)) t.strictSame(await send(rules), counted(), 'too few to tell');
      pass(HOUR);
      t.strictSame(await send(rules), denied(23 * HOUR, 'country'));
      t.strictSame(await send({ ...rules, guard: { ...rules.guard, mode: 'record' } }), suspected('country'));
      await prove();
      await prove();
      t.strictSame(await send(rules), denied(23 * HOUR, 'country'), 'two of five');
      await prove();
      t.strictSame(await send(rules), counted(), 'three of five');
      t.strictSame(await send(rules), counted(), 'three of six');
      t.strictSame(await send(rules), denied(23 * HOUR, 'country'), 'three of seven');
      t.strictSame(await sentIn(country), { country, sends: 7, verified: 3 });
      pass(23 * HOUR - 1);
      t.strictSame(await send(rules), denied(1, 'country'));
      pass(1);
      t.strictSame(
        await sentIn(country),
        { country, sends: 0, verified: 0 },
        'a day counts from its first send',
      );
      t.strictSame(await send(rules), counted());
    });

    await t.test('an address whose codes are not proved', async (t) => {
      const address = newTokenId();
      const rules = { address, guard: { ...GUARD, minPerAddress: 2 } };
      await send(rules);
      await send(rules);
      t.strictSame(await send(rules), denied(DAY, 'address'));
      t.strictSame(await send({ ...rules, guard: { ...rules.guard, mode: 'record' } }), suspected('address'));
      t.strictSame(await send({ ...rules, guard: undefined }), counted(), 'nobody asks');
      await otp.countVerified({ address, country: newTokenId(), now: now() });
      await otp.countVerified({ address, country: newTokenId(), now: now() });
      t.strictSame(await send(rules), counted(), 'half of them');
      pass(DAY);
      t.strictSame(await send(rules), counted());
    });

    await t.test('so many a day in all', async (t) => {
      pass(2 * DAY);
      t.equal(await total(), 0);
      const rules = { guard: { ...GUARD, dailyCap: 2 } };
      await send(rules);
      pass(HOUR);
      await send(rules);
      t.strictSame(await send(rules), denied(23 * HOUR, 'daily_cap'));
      const record: SpendRules = { ...rules.guard, mode: 'record', minPerCountry: 1, minPerAddress: 1 };
      const place = { address: newTokenId(), country: newTokenId() };
      await send(place);
      t.strictSame(await send({ ...place, guard: record }), suspected('country', 'address', 'daily_cap'));
      t.strictSame(
        await send({ ...place, guard: { ...record, mode: 'deny' } }),
        denied(DAY, 'country', 'address', 'daily_cap'),
      );
      t.equal(await total(), 4);
      const none = { guard: { ...GUARD, dailyCap: 0 } };
      pass(DAY);
      t.strictSame(await send(none), denied(DAY, 'daily_cap'), 'a cap of none, before any send');
    });

    await t.test('what is proved on a day without sends is not kept', async (t) => {
      const country = newTokenId();
      const address = newTokenId();
      await otp.countVerified({ address, country, now: now() });
      t.strictSame(await sentIn(country), { country, sends: 0, verified: 0 });
      await send({ address, country });
      t.strictSame(await sentIn(country), { country, sends: 1, verified: 0 });
    });

    await t.test('taking back stays within the day, and above nothing', async (t) => {
      const place = { address: newTokenId(), country: newTokenId() };
      const { country } = place;
      const yesterday = sendInput({ ...place });
      await otp.uncountSend(yesterday);
      t.strictSame(await sentIn(country), { country, sends: 0, verified: 0 }, 'what was never counted');
      await otp.countSend(yesterday);
      pass(DAY);
      const today = sendInput({ ...place });
      await otp.countSend(today);
      await otp.uncountSend(yesterday);
      t.strictSame(await sentIn(country), { country, sends: 1, verified: 0 });
      await otp.uncountSend(today);
      await otp.uncountSend(today);
      t.strictSame(await sentIn(country), { country, sends: 0, verified: 0 });
      const guard = { ...GUARD, minPerAddress: 1 };
      t.strictSame(await send({ ...place, guard }), counted(), 'the address too has none');
    });

    await t.test('several countries at once, in the order asked for', async (t) => {
      const [one, two] = [newTokenId(), newTokenId()];
      await Promise.all([send({ country: two }), send({ country: two }), send({ country: one })]);
      await otp.countVerified({ address: newTokenId(), country: two, now: now() });
      const { countries } = await bench.other.otp.readSpend({ countries: [two, one], now: now() });
      t.strictSame(countries, [
        { country: two, sends: 2, verified: 1 },
        { country: one, sends: 1, verified: 0 },
      ]);
    });
  });

  t.test('a send that runs twice counts once', async (t) => {
    const once = sendInput({ coolDownMs: COOL_DOWN, perHour: 2, perDay: 2, perAddressHour: 2 });
    t.strictSame(await countSend(once), counted(30 * SECOND));
    pass(10 * SECOND);
    t.strictSame(await countSend({ ...once, now: now() }), counted(20 * SECOND));
    pass(20 * SECOND);
    const { sendId: _, ...rules } = { ...once, now: now() };
    t.strictSame(await send(rules), counted(60 * SECOND));
    pass(60 * SECOND);
    t.match(await send({ ...rules, now: now() }), { status: 'limited', by: 'number_day', max: 2 });
    const there = { address: once.address, perAddressHour: 2 };
    t.match(await send(there), { status: 'limited', by: 'address' }, 'two from the address as well');
    await otp.uncountSend(once);
    await otp.uncountSend(once);
    t.match(await send(there), { status: 'counted' }, 'and one taken back twice is one');
    t.match(await send(there), { status: 'limited', by: 'address' });
  });

  t.test('a challenge', async (t) => {
    await t.test('is answered once, for its purpose and number', async (t) => {
      const number = newTokenId();
      t.strictSame(await answer(number, right), NONE);
      await open(number);
      t.strictSame(await answer(number, { ...right, purpose: 'reset' }), NONE);
      t.strictSame(await answer(newTokenId(), right), NONE);
      t.strictSame(await answer(number, { codeHashes: ['bad', 'good'] }), RIGHT, 'under any key in force');
      t.strictSame(await answer(number, right), NONE);
    });

    await t.test('lives as long as its code', async (t) => {
      const number = newTokenId();
      for (const late of [1, 0]) {
        await open(number);
        pass(LIFETIME - late);
        t.strictSame(await answer(number, right), late ? RIGHT : NONE);
      }
    });

    await t.test('takes so many wrong tries, and not the right one after them', async (t) => {
      const number = newTokenId();
      await open(number);
      for (const _ of times(5, String)) t.strictSame(await answer(number), WRONG);
      pass(10 * SECOND);
      t.strictSame(await answer(number, right), spent(LIFETIME - 10 * SECOND));
      t.strictSame(await answer(number), spent(LIFETIME - 10 * SECOND));
      pass(LIFETIME - 10 * SECOND - 1);
      t.strictSame(await answer(number, right), spent(1));
      pass(1);
      t.strictSame(await answer(number, right), NONE);

      await open(number);
      for (const _ of times(4, String)) await answer(number);
      t.strictSame(await answer(number, right), RIGHT, 'the last try may be right');
    });

    await t.test('ends the one before, with new tries of its own', async (t) => {
      const number = newTokenId();
      await open(number, { codeHash: 'old' });
      for (const _ of times(5, String)) await answer(number);
      pass(1);
      await open(number);
      t.strictSame(await answer(number, { codeHashes: ['old'] }), WRONG);
      for (const _ of times(4, String)) t.strictSame(await answer(number), WRONG);
      t.match(await answer(number, right), { status: 'spent' });
      await open(number, { codeHash: 'third' });
      t.strictSame(await answer(number, { codeHashes: ['third'] }), RIGHT, 'though of the same millisecond');
    });

    await t.test('of another purpose stands beside it', async (t) => {
      const number = newTokenId();
      for (const purpose of OTP_PURPOSES) await open(number, { purpose, codeHash: purpose });
      for (const purpose of OTP_PURPOSES) {
        const others = OTP_PURPOSES.filter((each) => each !== purpose);
        t.strictSame(await answer(number, { purpose, codeHashes: others }), WRONG);
        t.strictSame(await answer(number, { purpose, codeHashes: [purpose] }), RIGHT);
      }
    });
  });

  t.test('wrong tries per number', async (t) => {
    await t.test('so many in any hour, across codes and purposes', async (t) => {
      const number = newTokenId();
      const tryIt = (purpose: OtpPurpose, codeHashes = ['bad']) =>
        answer(number, { purpose, codeHashes, maxTriesPerHour: 3 });
      await open(number, { lifetimeMs: 3 * HOUR });
      t.strictSame(await tryIt('login'), WRONG);
      pass(50 * MINUTE);
      await open(number, { purpose: 'verify', lifetimeMs: 3 * HOUR });
      t.strictSame(await tryIt('verify'), WRONG);
      t.strictSame(await tryIt('verify'), WRONG);
      t.strictSame(await tryIt('login', ['good']), spent(10 * MINUTE));
      t.strictSame(await tryIt('reset'), NONE, 'where there is no challenge nothing is spent');
      await open(number, { purpose: 'reset', lifetimeMs: 3 * HOUR });
      t.strictSame(await tryIt('reset', ['good']), spent(10 * MINUTE), 'a new code brings no new tries');
      pass(10 * MINUTE - 1);
      t.strictSame(await tryIt('reset', ['good']), spent(1));
      pass(1);
      t.strictSame(await tryIt('reset', ['good']), RIGHT);
      t.strictSame(await tryIt('login'), WRONG, 'the right one was given back');
      t.strictSame(await tryIt('login', ['good']), spent(50 * MINUTE));
    });

    await t.test('so many in any 24 hours', async (t) => {
      const number = newTokenId();
      const tryIt = (codeHashes = ['bad']) =>
        answer(number, { codeHashes, maxTries: 2, maxTriesPerHour: 2, maxTriesPerDay: 3 });
      const reopen = () => open(number, { lifetimeMs: 10 * MINUTE });
      await reopen();
      await tryIt();
      await tryIt();
      t.strictSame(await tryIt(['good']), spent(HOUR), 'the longest of the waits');
      pass(2 * HOUR);
      await reopen();
      t.strictSame(await tryIt(), WRONG);
      t.strictSame(await tryIt(['good']), spent(22 * HOUR));
      pass(22 * HOUR - 1);
      await reopen();
      t.strictSame(await tryIt(['good']), spent(1));
      pass(1);
      t.strictSame(await tryIt(), WRONG);
      t.strictSame(await tryIt(['good']), RIGHT);
    });

    await t.test('without a challenge none is counted', async (t) => {
      const number = newTokenId();
      const once = { maxTriesPerHour: 1, maxTriesPerDay: 1 };
      for (const _ of times(3, String)) t.strictSame(await answer(number, once), NONE);
      await open(number);
      t.strictSame(await answer(number, { ...right, ...once }), RIGHT);
      for (const _ of times(3, String)) t.strictSame(await answer(number, once), NONE);
      await open(number);
      t.strictSame(await answer(number, { ...right, ...once }), NONE, 'opening that again opens nothing');
      await open(number, { codeHash: 'new' });
      t.strictSame(await answer(number, once), WRONG);
      t.match(await answer(number, once), { status: 'spent' });
    });
  });

  t.test('a command that runs late', async (t) => {
    await t.test('puts no older challenge over a newer one', async (t) => {
      const number = newTokenId();
      const late = openInput(number, { codeHash: 'old' });
      pass(1);
      await open(number);
      t.strictSame(await answer(number), WRONG);
      await otp.openChallenge(late);
      t.strictSame(await answer(number, { codeHashes: ['old'] }), WRONG);
      t.strictSame(await answer(number, right), RIGHT);
    });

    await t.test('gives a challenge no new tries', async (t) => {
      const number = newTokenId();
      const input = openInput(number);
      await otp.openChallenge(input);
      for (const _ of times(5, String)) await answer(number);
      await otp.openChallenge(input);
      t.match(await answer(number, right), { status: 'spent' });
    });

    await t.test('revives none that was answered', async (t) => {
      const number = newTokenId();
      const first = openInput(number, { codeHash: 'first' });
      await otp.openChallenge(first);
      pass(LIFETIME - 2);
      const lost = openInput(number, { codeHash: 'lost' });
      pass(1);
      t.strictSame(await answer(number, { codeHashes: ['first'] }), RIGHT);
      for (const wait of [0, 30 * SECOND]) {
        pass(wait);
        // So many that what has expired is swept out.
        for (const other of times(101, newTokenId)) await open(other);
        await otp.openChallenge(first);
        await otp.openChallenge(lost);
        t.strictSame(await answer(number, { codeHashes: ['first', 'lost'] }), NONE);
      }
      await open(number);
      t.strictSame(await answer(number, right), RIGHT, 'but for a new one there is room');
    });

    await t.test('from a clock that is behind breaks nothing', async (t) => {
      const rules = { number: newTokenId(), address: newTokenId(), country: newTokenId() };
      const limits = { perHour: 2, perAddressHour: 2 };
      await send({ ...rules, ...limits });
      const behind = sendInput({ ...rules, ...limits, now: now() - SECOND });
      t.strictSame(await countSend(behind), counted());
      await otp.uncountSend(behind);
      t.strictSame(await sentIn(rules.country), { country: rules.country, sends: 1, verified: 0 });
      t.strictSame(await countSend(behind), counted());
      t.strictSame(await send({ ...rules, ...limits }), limited('number_hour', 2, HOUR - SECOND));
      t.strictSame(await sentIn(rules.country), { country: rules.country, sends: 2, verified: 0 });

      await open(rules.number);
      pass(1);
      const before = { now: now() - 2 * SECOND };
      t.strictSame(await answer(rules.number, { ...right, ...before }), RIGHT);
      await open(rules.number, { ...before, codeHash: 'late' });
      t.strictSame(await answer(rules.number, { codeHashes: ['late'] }), NONE);
    });
  });

  t.test('by a clock that is behind nobody waits longer than the rule says', async (t) => {
    const early = { now: now() - 5 };
    const asked = { number: newTokenId(), coolDownMs: COOL_DOWN };
    t.strictSame(await send(asked), counted(30 * SECOND));
    t.strictSame(await send({ ...asked, ...early }), cooling(30 * SECOND));
    const hour = { number: newTokenId(), perHour: 1 };
    await send(hour);
    t.strictSame(await send({ ...hour, ...early }), limited('number_hour', 1, HOUR));
    const address = { address: newTokenId(), perAddressHour: 1 };
    await send(address);
    t.strictSame(await send({ ...address, ...early }), limited('address', 1, HOUR));
    const country = { country: newTokenId(), guard: { ...GUARD, minPerCountry: 1 } };
    await send(country);
    t.strictSame(await send({ ...country, ...early }), denied(DAY, 'country'));

    const number = newTokenId();
    await open(number);
    t.strictSame(await answer(number, { maxTriesPerHour: 1 }), WRONG);
    t.strictSame(await answer(number, { maxTriesPerHour: 1, ...early }), spent(HOUR));
    t.strictSame(await answer(number, { maxTries: 1, ...early }), spent(LIFETIME));
  });

  t.test('side by side', async (t) => {
    await t.test('of three hundred right answers one is told so', async (t) => {
      const number = newTokenId();
      await open(number);
      const verdicts = await Promise.all(
        times(300, (n) => stores[n % 2]!.answerChallenge(answerInput(number, right))),
      );
      t.strictSame(tally(verdicts), { right: 1, none: 299 });
      await open(number, { codeHash: 'next' });
      t.strictSame(await answer(number, { maxTriesPerHour: 1 }), WRONG, 'and none counts as wrong');
    });

    await t.test('of three hundred wrong ones as many as allowed are compared', async (t) => {
      const number = newTokenId();
      const rules = { maxTriesPerHour: 7 };
      const flood = () =>
        Promise.all(times(300, (n) => stores[n % 2]!.answerChallenge(answerInput(number, rules))));
      await open(number);
      t.strictSame(tally(await flood()), { wrong: 5, spent: 295 });
      await open(number, { purpose: 'login', codeHash: 'next' });
      t.strictSame(tally(await flood()), { wrong: 2, spent: 298 });
    });

    await t.test('a right one among wrong ones wins once, or not at all', async (t) => {
      for (const at of [0, 3, 150, 299]) {
        const number = newTokenId();
        await open(number);
        // Of one connection the first is the first; of two nobody can tell.
        const from = at === 0 ? [otp] : stores;
        const verdicts = await Promise.all(
          times(300, (n) =>
            from[n % from.length]!.answerChallenge(answerInput(number, n === at ? right : {})),
          ),
        );
        const { right: won = 0, wrong = 0, spent = 0, none = 0 } = tally(verdicts);
        t.ok(won <= 1 && wrong <= 5, `${won} right, ${wrong} wrong`);
        t.equal(won ? spent : none, 0, 'an answered one spends nothing, a spent one is not answered');
        if (at === 0) t.equal(won, 1, 'the first');
      }
    });

    await t.test('sends to one number', async (t) => {
      const rules = { number: newTokenId(), country: newTokenId(), perHour: 5, perDay: 10 };
      const before = await total();
      const verdicts = await Promise.all(times(200, (n) => stores[n % 2]!.countSend(sendInput(rules))));
      t.strictSame(tally(verdicts), { counted: 5, limited: 195 });
      t.equal((await sentIn(rules.country))?.sends, 5, 'the others were taken back everywhere');
      t.equal(await total(), before + 5);

      const cool = { number: newTokenId(), coolDownMs: COOL_DOWN };
      const resent = await Promise.all(times(200, (n) => stores[n % 2]!.countSend(sendInput(cool))));
      t.strictSame(tally(resent), { counted: 1, cooldown: 199 });
    });

    await t.test('sends from one address', async (t) => {
      const rules = { address: newTokenId(), country: newTokenId(), perAddressHour: 20, perHour: 1 };
      const numbers = times(150, newTokenId);
      const verdicts = await Promise.all(
        numbers.map((number, n) => stores[n % 2]!.countSend(sendInput({ ...rules, number }))),
      );
      t.strictSame(tally(verdicts), { counted: 20, limited: 130 });
      t.equal((await sentIn(rules.country))?.sends, 20);
      const elsewhere = await Promise.all(numbers.map((number) => send({ number, perHour: 1 })));
      t.strictSame(tally(elsewhere), { counted: 130, limited: 20 }, 'who was refused has their budget still');
    });

    await t.test('sends from one address to one number: never more, and exact in the end', async (t) => {
      const rules = { number: newTokenId(), address: newTokenId(), perHour: 5, perAddressHour: 20 };
      const verdicts = await Promise.all(times(100, (n) => stores[n % 2]!.countSend(sendInput(rules))));
      const { counted: won = 0 } = tally(verdicts);
      t.ok(won <= 5, `${won} counted`);
      const { address, perAddressHour } = rules;
      const rest: Bare<SendVerdict>[] = [];
      for (const _ of times(25, String)) rest.push(await send({ address, perAddressHour }));
      t.equal(tally(rest).counted, 20 - won, 'the rest of the address’s budget is there');
    });

    await t.test('a proof and the next send', async (t) => {
      for (const _ of times(20, String)) {
        const number = newTokenId();
        const rules = { number, coolDownMs: COOL_DOWN };
        await send(rules);
        await open(number);
        const [verdict, next] = await Promise.all([
          answer(number, right),
          bench.other.otp.countSend(sendInput(rules)),
        ]);
        t.strictSame(verdict, RIGHT);
        t.ok(next.status === 'counted' || next.status === 'cooldown');
        if (next.status === 'counted') t.equal(next.resendMs, 30 * SECOND);
      }
    });
  });

  t.test('whoever guesses compares 50 codes in any 24 hours at most', async (t) => {
    /** When to send the next code after one, and how long to hold its guesses back. */
    interface Strategy {
      spacingMs: number;
      holdMs(day: number): number;
      /** How many of the most compared in 24 hours the strategy gets. */
      reaches: number;
    }
    const strategies: Record<string, Strategy> = {
      'as soon and as much as possible': { spacingMs: 0, holdMs: () => 0, reaches: 20 },
      'no faster than the hour’s tries allow': { spacingMs: 30 * MINUTE, holdMs: () => 0, reaches: 50 },
      'each as late as possible': { spacingMs: 30 * MINUTE, holdMs: () => LIFETIME - 1, reaches: 50 },
      'late on one day and at once on the next': {
        spacingMs: 30 * MINUTE,
        holdMs: (day) => (day % 2 === 0 ? LIFETIME - 1 : 0),
        reaches: 50,
      },
      'late, all purposes at once': {
        spacingMs: 0,
        holdMs: (day) => (day % 2 === 0 ? LIFETIME - 60 * SECOND : 0),
        reaches: 20,
      },
    };
    for (const [name, strategy] of Object.entries(strategies)) {
      await t.test(name, async (t) => {
        const compared = await guess(strategy);
        const most = Math.max(
          ...compared.map((from) => compared.filter((at) => at >= from && at < from + DAY).length),
        );
        t.ok(most <= 50, `${most} in 24 hours`);
        t.ok(
          most >= strategy.reaches,
          `and ${compared.length} in all: the strategy does what it is named for`,
        );
      });
    }

    /** Plays for three days, from a new address each time. Gives the times of all compared guesses. */
    async function guess({ spacingMs, holdMs }: Strategy): Promise<number[]> {
      const number = newTokenId();
      const rules = { number, coolDownMs: COOL_DOWN, perHour: 5, perDay: 10, perAddressHour: 20 };
      const tries = { maxTries: 5, maxTriesPerHour: 10, maxTriesPerDay: 50 };
      const start = now();
      const codes = new Map<OtpPurpose, { guessAt: number; expiresAt: number }>();
      const compared: number[] = [];
      let sendAt = start;
      let sent = 0;

      while (now() < start + 3 * DAY) {
        if (now() >= sendAt) {
          const verdict = await send(rules);
          if (verdict.status === 'counted') {
            const purpose = OTP_PURPOSES[sent++ % OTP_PURPOSES.length]!;
            await open(number, { purpose });
            const day = Math.floor((now() - start) / DAY);
            codes.set(purpose, { guessAt: now() + holdMs(day), expiresAt: now() + LIFETIME });
            sendAt = now() + Math.max(spacingMs, verdict.resendMs);
          } else {
            sendAt = now() + retryMs(verdict);
          }
        }
        for (const [purpose, code] of codes) {
          while (code.guessAt <= now()) {
            const verdict = await answer(number, { purpose, ...tries });
            if (verdict.status === 'wrong') compared.push(now());
            else
              code.guessAt = verdict.status === 'spent' ? now() + verdict.retryMs : Number.POSITIVE_INFINITY;
          }
          if (code.guessAt >= code.expiresAt) codes.delete(purpose);
        }
        pass(Math.min(sendAt, ...Array.from(codes.values(), ({ guessAt }) => guessAt)) - now());
      }
      return compared;
    }
  });
}

const retryMs = (verdict: Bare<SendVerdict>): number => ('retryMs' in verdict ? verdict.retryMs : 0);

for (const adapter of ADAPTERS.filter(({ name }) => name !== 'redis cluster')) {
  t.test(`${adapter.name} and a model of it agree on any life of a number’s codes`, async (t) => {
    const { store, now } = await adapter.setUp(t);
    const play = fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) =>
      playAgainstModel(store.otp, now(), steps),
    );
    const details = await fc.check(play, { numRuns: 500, interruptAfterTimeLimit: 4000 });
    // With the shortest play that tells them apart.
    if (details.failed) t.fail(String(fc.defaultReportMessage(details)));
    const { numRuns } = details;
    t.ok(numRuns >= 20, `${numRuns} lives`);
  });
}

t.test('several processes count as one', async (t) => {
  const dataDir = tempDir(t);
  const embedded = await openStore(t, dataDir, Date.now);
  const redis = { url: sharedRedisUrl(), prefix: freshPrefix(t) };
  const shared = createRedisStateStore(redis);
  t.teardown(() => shared.close());
  const { sendInput, openInput, answerInput } = createCaller(Date.now);

  for (const [name, { otp }, at] of [
    ['redis', shared, redis],
    ['sqlite', embedded, { dataDir }],
  ] as const) {
    const [rightly, wrongly, sent] = [newTokenId(), newTokenId(), newTokenId()];
    for (const number of [rightly, wrongly]) await otp.openChallenge(openInput(number));
    const work = (): OtpWork => ({
      at,
      sends: times(40, () => sendInput({ number: sent, country: sent, perHour: 5 })),
      answers: [
        ...times(60, () => answerInput(rightly, { codeHashes: ['good'] })),
        ...times(60, () => answerInput(wrongly)),
      ],
    });
    const workers = times(
      2,
      () => new Worker(new URL('./otp-worker.js', import.meta.url), { workerData: work() }),
    );
    const answers = await Promise.all(workers.map((worker) => once(worker, 'message')));
    const verdicts = answers.map(([statuses]) => statuses as string[]);
    t.strictSame(
      tally(verdicts.flatMap((statuses) => statuses.slice(0, 40))),
      { counted: 5, limited: 75 },
      name,
    );
    t.strictSame(tally(verdicts.flatMap((statuses) => statuses.slice(40, 100))), { right: 1, none: 119 });
    t.strictSame(tally(verdicts.flatMap((statuses) => statuses.slice(100))), { wrong: 5, spent: 115 });
    const { countries, total } = await otp.readSpend({ countries: [sent], now: Date.now() });
    t.strictSame([countries[0]?.sends, total], [5, 5]);
  }
});

t.test('redis keeps little, and nothing for ever', async (t) => {
  const [url, prefix] = [sharedRedisUrl(), freshPrefix(t)];
  const store = createRedisStateStore({ url, prefix });
  const redis = new Redis(url);
  t.teardown(async () => {
    await store.close();
    redis.disconnect();
  });
  const { otp } = store;
  const keys = createKeys(prefix);
  const { sendInput, openInput, answerInput } = createCaller(Date.now);
  const number = newTokenId();
  const within = async (key: string, ms: number, what: string) => {
    const ttl = await redis.pttl(key);
    t.ok(ttl > ms - 2 * SECOND && ttl <= ms, `${what}: ${ttl} of ${ms} ms`);
  };

  const place = { number, address: '192.0.2.1', country: 'IR' };
  const limits = { coolDownMs: COOL_DOWN, perHour: 5, perDay: 10, perAddressHour: 20, guard: GUARD };
  const lost = sendInput({ ...place, ...limits });
  await otp.countSend(lost);
  await within(keys.numberSends(number), DAY, 'the sends of a number live a day');
  await within(keys.coolDown(number), DAY, 'so does its cool-down');
  await within(keys.addressSends(place.address), HOUR, 'those of an address an hour');
  for (const key of [keys.addressDay(place.address), keys.countryDay('IR'), keys.allDay()])
    await within(key, DAY, 'a day’s counters a day');
  await redis.pexpire(keys.allDay(), MINUTE);
  await otp.countSend(sendInput());
  await within(keys.allDay(), MINUTE, 'from its first send on');

  await otp.openChallenge(openInput(number));
  await within(keys.challenge(number, 'login'), LIFETIME, 'a challenge lives as long as its code');
  await otp.answerChallenge(answerInput(number));
  await within(keys.challenge(number, 'login'), LIFETIME, 'a wrong answer does not change that');
  await within(keys.wrongTries(number), DAY, 'wrong tries live a day');
  await otp.openChallenge(openInput(number, { purpose: 'reset', lifetimeMs: 10 }));
  const short = await redis.pttl(keys.challenge(number, 'reset'));
  t.ok(short > 10 && short <= 1000, `no less than a second: ${short} ms`);
  await otp.openChallenge(openInput(number, { purpose: 'verify', lifetimeMs: 5 * SECOND }));
  await otp.answerChallenge(answerInput(number, { purpose: 'verify', codeHashes: ['good'] }));
  await within(keys.challenge(number, 'verify'), MINUTE, 'the mark of an answered one a minute at least');
  t.equal(await redis.exists(keys.coolDown(number)), 0, 'the cool-down ends with it');
  await otp.countVerified({ ...place, now: Date.now() });

  t.equal(await redis.exists(keys.addressSends('192.0.2.9'), keys.addressDay('192.0.2.9')), 0);
  await otp.uncountSend(sendInput({ address: '192.0.2.9' }));
  await otp.countVerified({ address: '192.0.2.9', country: 'XX', now: Date.now() });
  await otp.readSpend({ countries: ['XX'], now: Date.now() });
  t.equal(
    await redis.exists(keys.addressSends('192.0.2.9'), keys.addressDay('192.0.2.9'), keys.countryDay('XX')),
    0,
    'taking back and proving make no keys',
  );

  const busy = newTokenId();
  for (const _ of times(30, String)) await otp.countSend(sendInput({ number: busy }));
  t.equal(await redis.zcard(keys.numberSends(busy)), 1, 'sends without a limit are not piled up');
  for (const n of times(30, (n) => n))
    await otp.countSend(sendInput({ number: busy, perHour: 4, coolDownMs: [5], now: Date.now() + n * HOUR }));
  t.equal(await redis.zcard(keys.numberSends(busy)), 4, 'nor those of hours that are over');
  t.equal(await redis.zcard(keys.coolDown(busy)), 1, 'a cool-down knows no more sends than it has steps');
  await otp.openChallenge(openInput(busy, { lifetimeMs: DAY }));
  for (const n of times(30, (n) => n))
    await otp.answerChallenge(
      answerInput(busy, { maxTries: 99, maxTriesPerHour: 2, now: Date.now() + n * (HOUR / 2) }),
    );
  t.equal(await redis.llen(keys.wrongTries(busy)), 2, 'nor wrong tries');

  const found: string[] = [];
  for await (const batch of redis.scanStream({ match: `${prefix}*` })) found.push(...batch);
  for (const key of found) {
    t.ok((await redis.pttl(key)) > 0, key.slice(prefix.length));
    t.match(key.slice(prefix.length), /^\{[^{}]+\}:[a-z]+(:[a-z]+)?$/, 'has one hash tag');
  }
  t.ok(found.length >= 12, `all kinds of keys were there: ${found.length}`);
});

t.test('redis is asked once per method', async (t) => {
  const counter = await countTrips(t, sharedRedisUrl());
  const store = createRedisStateStore({ url: counter.url, prefix: freshPrefix(t) });
  t.teardown(() => store.close());
  const { otp } = store;
  const { sendInput, openInput, answerInput } = createCaller(Date.now);
  const place = { number: newTokenId(), address: newTokenId(), country: newTokenId() };
  const crowded = { address: newTokenId(), perAddressHour: 1 };
  const spentOut = { ...place, number: newTokenId(), coolDownMs: [DAY] };
  const all = { ...spentOut, ...crowded, guard: { ...GUARD, minPerCountry: 1, dailyCap: 1 } };
  await otp.countSend(sendInput(crowded));
  await otp.countSend(sendInput(spentOut));
  await otp.openChallenge(openInput(place.number, { purpose: 'reset' }));

  const methods: Record<
    string,
    { call(): Promise<unknown>; answers?: object; trips: number; commands: number }
  > = {
    'a send that is counted': {
      call: () => otp.countSend(sendInput(place)),
      answers: counted(),
      trips: 1,
      commands: 4,
    },
    'one that its number refuses': {
      call: () => otp.countSend(sendInput(spentOut)),
      answers: { status: 'cooldown' },
      trips: 2,
      commands: 7,
    },
    'one that its address refuses': {
      call: () => otp.countSend(sendInput(crowded)),
      answers: { status: 'limited' },
      trips: 2,
      commands: 7,
    },
    'one that every slot refuses': {
      call: () => otp.countSend(sendInput(all)),
      answers: { status: 'cooldown' },
      trips: 1,
      commands: 4,
    },
    'a send taken back': { call: () => otp.uncountSend(sendInput(place)), trips: 1, commands: 4 },
    'a challenge': { call: () => otp.openChallenge(openInput(place.number)), trips: 1, commands: 1 },
    'an answer': {
      call: () => otp.answerChallenge(answerInput(place.number)),
      answers: WRONG,
      trips: 1,
      commands: 1,
    },
    'an answer to nothing': {
      call: () => otp.answerChallenge(answerInput(newTokenId())),
      answers: NONE,
      trips: 1,
      commands: 1,
    },
    'a proof': { call: () => otp.countVerified({ ...place, now: Date.now() }), trips: 1, commands: 2 },
    'a report on three countries': {
      call: () => otp.readSpend({ countries: ['IR', 'DE', place.country], now: Date.now() }),
      trips: 1,
      commands: 4,
    },
  };
  for (const [name, { call, answers, trips, commands }] of Object.entries(methods)) {
    // The first call may have to send the script's text.
    await call();
    counter.reset();
    const answer = await call();
    if (answers) t.match(answer, answers, name);
    t.equal(counter.trips(), trips, `${name}: trips`);
    t.equal(counter.commands().length, commands, `${name}: ${counter.commands()}`);
  }
});

t.test('redis half away is no verdict, and leaves as little counted as it can', async (t) => {
  const [url, prefix] = [sharedRedisUrl(), freshPrefix(t)];
  const redis = connectRedis({ url });
  t.teardown(() => redis.close());
  const keys = createKeys(prefix);
  const { sendInput, openInput, answerInput } = createCaller(Date.now);
  const healthy = createRedisOtpStore(redis, keys);
  /** Fails what touches a key, from its nth command there on. */
  const failing = (isAway: (key: string) => boolean, from = 1): OtpStore => {
    let asked = 0;
    const run: RedisRunner['run'] = (script, names, args) =>
      names.some(isAway) && ++asked >= from
        ? Promise.reject(storeUnavailable(new Error('away')))
        : redis.run(script, names, args);
    return createRedisOtpStore({ ...redis, run }, keys);
  };

  const rules = { number: newTokenId(), country: newTokenId(), perHour: 1 };
  const isCountry = (key: string) => key === keys.countryDay(rules.country);
  await t.rejects(failing(isCountry).countSend(sendInput(rules)), {
    code: 'store_unavailable',
    retryAfter: 1,
  });
  const { total } = await healthy.readSpend({ countries: [], now: Date.now() });
  t.equal(total, 0, 'what the others had counted was taken back');
  t.strictSame(withoutLimit(await healthy.countSend(sendInput(rules))), counted());

  const other = { ...rules, address: newTokenId(), perAddressHour: 1 };
  const isAddress = (key: string) => key.startsWith(`${prefix}{ip:`);
  t.match(await failing(isAddress, 2).countSend(sendInput(other)), { status: 'limited', by: 'number_hour' });
  const { address, perAddressHour } = other;
  t.match(
    await healthy.countSend(sendInput({ address, perAddressHour })),
    { status: 'limited', by: 'address' },
    'what could not be taken back stays counted',
  );
  for (const call of [
    (otp: OtpStore) => otp.uncountSend(sendInput(rules)),
    (otp: OtpStore) => otp.countVerified({ ...other, now: Date.now() }),
    (otp: OtpStore) => otp.readSpend({ countries: [rules.country], now: Date.now() }),
  ])
    await t.rejects(Promise.resolve(call(failing(isCountry))), { code: 'store_unavailable' });

  await healthy.openChallenge(openInput(rules.number));
  const isNumber = (key: string) => key.includes(rules.number);
  await t.rejects(failing(isNumber).openChallenge(openInput(rules.number)), { code: 'store_unavailable' });
  await t.rejects(failing(isNumber).answerChallenge(answerInput(rules.number)), {
    code: 'store_unavailable',
  });
  const babbling = createRedisOtpStore({ ...redis, run: async () => ['maybe', 0] }, keys);
  await t.rejects(babbling.answerChallenge(answerInput(rules.number)), { code: 'store_unavailable' });

  const away = createRedisStateStore({ url: `redis://127.0.0.1:${await freePort()}`, prefix });
  t.teardown(() => away.close());
  await t.rejects(away.otp.countSend(sendInput()), { code: 'store_unavailable', retryAfter: 1 });
  await t.rejects(away.otp.answerChallenge(answerInput('n')), { code: 'store_unavailable', retryAfter: 1 });
});
