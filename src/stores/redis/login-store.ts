import type { CountedTry, CountTry, LoginStore } from '../../security/login-store.js';
import type { Keys } from '../keys.js';
import { type AccountVerdict, judgeTry, whereCounted } from '../login-verdict.js';
import { defineScript, type RedisRunner } from './client.js';
import { hitLimits, unhitLimits } from './limits.js';
import * as countTryLua from './scripts/count-try.js';
import { listDevices } from './scripts/devices.js';

const scripts = {
  countTry: defineScript(countTryLua.countTry),
  uncountTry: defineScript(countTryLua.uncountTry),
  endRow: defineScript(countTryLua.endRow),
  listDevices: defineScript(listDevices),
};

/** The address and the account are a slot each: their scripts are started in one turn and leave in one trip. */
export function createRedisLoginStore(redis: RedisRunner, keys: Keys): LoginStore {
  const rowKeys = (account: string) => [keys.wrongPasswords(account), keys.devices(account)];

  async function countAtAccount(input: CountTry): Promise<AccountVerdict> {
    const { deviceLimit, delay } = input;
    const reply = await redis.run(scripts.countTry, rowKeys(input.account), [
      input.now,
      input.deviceId ?? '',
      deviceLimit.max,
      deviceLimit.windowMs,
      delay.after,
      delay.stepMs,
      delay.maxMs,
    ]);
    const [status, isKnown, tries, resetMs, retryMs] = reply as [
      AccountVerdict['status'],
      number,
      number,
      number,
      number,
    ];
    const { max } = deviceLimit;
    const device = isKnown === 1 ? { max, remaining: Math.max(0, max - tries), resetMs } : undefined;
    return { status, device, retryMs };
  }

  async function uncountTry({ address, row, now }: CountedTry): Promise<void> {
    await Promise.all([
      address && unhitLimits(redis, keys, slotOf(address.address), address.rules),
      row && redis.run(scripts.uncountTry, rowKeys(row.account), [now, row.deviceId ?? '']),
    ]);
  }

  return {
    async countTry(input) {
      const asked = [
        countAtAccount(input),
        hitLimits(redis, keys, slotOf(input.address), input.addressRules),
      ] as const;
      const [account, address] = await Promise.allSettled(asked);
      if (account.status === 'fulfilled' && address.status === 'fulfilled') {
        const { verdict, takeBack } = judgeTry(input, account.value, address.value);
        await quietly(uncountTry(takeBack));
        return verdict;
      }
      await quietly(uncountTry(whereCounted(input, outcomeOf(account), outcomeOf(address))));
      throw account.status === 'rejected' ? account.reason : (address as PromiseRejectedResult).reason;
    },

    uncountTry,

    async endRow({ account, deviceId, now }) {
      await redis.run(scripts.endRow, rowKeys(account), [now, deviceId ?? '']);
    },

    async listDevices({ account, now }) {
      const logins = await redis.run(scripts.listDevices, [keys.devices(account)], [now]);
      return (logins as string[]).map(Number).sort((a, b) => b - a);
    },
  };
}

const slotOf = (address: string): string => `ip:${address}`;

const outcomeOf = <T>(result: PromiseSettledResult<T>): T | undefined =>
  result.status === 'fulfilled' ? result.value : undefined;

/** A count that could not be taken back is a count too many, and no reason to keep the verdict back. */
const quietly = (work: Promise<void>): Promise<void> => work.catch(() => undefined);
