import { storeUnavailable } from '../../errors.js';
import type { AnswerVerdict, CountSend, OtpStore, SendCount } from '../../otp/otp-store.js';
import type { Keys } from '../keys.js';
import {
  type AddressAnswer,
  type BudgetUse,
  type GuardedAnswer,
  judgeSend,
  type NumberAnswer,
  type SlotAnswer,
} from '../send-verdict.js';
import { defineScript, type RedisRunner } from './client.js';
import * as challengeLua from './scripts/challenge.js';
import * as countSendLua from './scripts/count-send.js';
import * as spendLua from './scripts/spend.js';

const scripts = {
  countNumberSend: defineScript(countSendLua.countNumberSend),
  uncountNumberSend: defineScript(countSendLua.uncountNumberSend),
  countAddressSend: defineScript(countSendLua.countAddressSend),
  uncountAddressSend: defineScript(countSendLua.uncountAddressSend),
  countSpend: defineScript(spendLua.countSpend),
  uncountSpend: defineScript(spendLua.uncountSpend),
  countVerified: defineScript(spendLua.countVerified),
  readSpend: defineScript(spendLua.readSpend),
  openChallenge: defineScript(challengeLua.openChallenge),
  answerChallenge: defineScript(challengeLua.answerChallenge),
};

/** A send in one of its slots. */
interface Slot<Answer extends SlotAnswer> {
  count(send: CountSend): Promise<Answer>;
  uncount(send: SendCount): Promise<unknown>;
}

/** Every slot is one Lua script; the scripts of one call are started in one turn and leave in one trip. */
export function createRedisOtpStore(redis: RedisRunner, keys: Keys): OtpStore {
  const run = async <T>(...command: Parameters<RedisRunner['run']>): Promise<T> =>
    (await redis.run(...command)) as T;

  const number: Slot<NumberAnswer> = {
    async count({ sendId, number, perHour, perDay, coolDownMs: steps, now }) {
      const [coolDownMs, hourMs, dayMs, resendMs, [hour, day]] = await run<
        [number, number, number, number, [BudgetUse, BudgetUse]]
      >(
        scripts.countNumberSend,
        [keys.numberSends(number), keys.coolDown(number)],
        [now, sendId, perHour ?? '', perDay ?? '', ...steps],
      );
      const waitMs = Math.max(coolDownMs, hourMs, dayMs);
      return { waitMs, coolDownMs, hourMs, dayMs, resendMs, hour, day };
    },
    uncount: ({ sendId, number }) =>
      run(scripts.uncountNumberSend, [keys.numberSends(number), keys.coolDown(number)], [sendId]),
  };

  const address: Slot<AddressAnswer> = {
    async count({ sendId, address, perAddressHour, guard, now }) {
      const [guardMs, suspicious, hourMs, hour] = await run<[number, number, number, BudgetUse]>(
        scripts.countAddressSend,
        [keys.addressSends(address), keys.addressDay(address)],
        [now, sendId, ...guardArguments(guard, 'minPerAddress'), perAddressHour ?? ''],
      );
      return { waitMs: Math.max(guardMs, hourMs), hourMs, isSuspicious: suspicious === 1, hour };
    },
    uncount: ({ sendId, address, now }) =>
      run(scripts.uncountAddressSend, [keys.addressSends(address), keys.addressDay(address)], [now, sendId]),
  };

  const spendSlot = (
    key: (send: SendCount) => string,
    min: 'minPerCountry' | 'dailyCap',
  ): Slot<GuardedAnswer> => ({
    async count(send) {
      const [waitMs, suspicious] = await run<[number, number]>(
        scripts.countSpend,
        [key(send)],
        [send.now, ...guardArguments(send.guard, min)],
      );
      return { waitMs, isSuspicious: suspicious === 1 };
    },
    uncount: (send) => run(scripts.uncountSpend, [key(send)], [send.now]),
  });
  const country = spendSlot((send) => keys.countryDay(send.country), 'minPerCountry');
  const all = spendSlot(() => keys.allDay(), 'dailyCap');

  return {
    async countSend(input) {
      const slots = [number, address, country, all] as const;
      const counts = [
        number.count(input),
        address.count(input),
        country.count(input),
        all.count(input),
      ] as const;
      const outcomes = await Promise.allSettled<SlotAnswer>(counts);

      const isCounted = outcomes.map((each) => each.status === 'fulfilled' && each.value.waitMs === 0);
      if (isCounted.includes(false)) {
        const counted = slots.filter((_, n) => isCounted[n]);
        await Promise.allSettled(counted.map((slot) => slot.uncount(input)));
      }
      // Throws what one of them threw.
      const [ofNumber, ofAddress, ofCountry, ofAll] = await Promise.all(counts);
      return judgeSend(input, { number: ofNumber, address: ofAddress, country: ofCountry, all: ofAll });
    },

    async uncountSend(input) {
      await Promise.all([number, address, country, all].map((slot) => slot.uncount(input)));
    },

    async openChallenge({ number, purpose, codeHash, lifetimeMs, now }) {
      await run(scripts.openChallenge, [keys.challenge(number, purpose)], [now, codeHash, lifetimeMs]);
    },

    async answerChallenge({ number, purpose, codeHashes, maxTries, maxTriesPerHour, maxTriesPerDay, now }) {
      const reply = await run<[string, number]>(
        scripts.answerChallenge,
        [keys.challenge(number, purpose), keys.wrongTries(number), keys.coolDown(number)],
        [now, maxTries, maxTriesPerHour, maxTriesPerDay ?? '', ...codeHashes],
      );
      return readAnswer(reply);
    },

    async countVerified({ address, country, now }) {
      const days = [keys.addressDay(address), keys.countryDay(country)];
      await Promise.all(days.map((day) => run(scripts.countVerified, [day], [now])));
    },

    async readSpend({ countries, now }) {
      const days = [keys.allDay(), ...countries.map(keys.countryDay)];
      const [all, ...each] = await Promise.all(
        days.map((day) => run<[number, number]>(scripts.readSpend, [day], [now])),
      );
      return {
        countries: each.map(([sends, verified], n) => ({ country: countries[n] as string, sends, verified })),
        total: (all as [number, number])[0],
      };
    },
  };
}

/** Whether to deny, from how many sends on, and below which ratio; the daily cap asks for none. */
function guardArguments(
  guard: CountSend['guard'],
  min: 'minPerCountry' | 'minPerAddress' | 'dailyCap',
): (string | number)[] {
  if (!guard) return ['', '', ''];
  return [guard.mode === 'deny' ? 1 : 0, guard[min], min === 'dailyCap' ? '' : guard.minVerifiedRatio];
}

function readAnswer([status, retryMs]: [string, number]): AnswerVerdict {
  switch (status) {
    case 'right':
    case 'wrong':
    case 'none':
      return { status };
    case 'spent':
      return { status, retryMs };
    default:
      throw storeUnavailable(new Error(`the otp script answered ${String(status)}`));
  }
}
