import {
  type CountedTry,
  type CountTry,
  type DelayRule,
  ROW_LIFETIME_MS,
  type TryVerdict,
} from '../../../security/login-store.js';
import type { Keys } from '../../keys.js';
import { type AccountVerdict, judgeTry } from '../../login-verdict.js';
import type { Rows } from '../rows.js';
import { hitLimits, unhitLimits } from './hit-limits.js';
import { type Device, readDevice } from './known-devices.js';
import { timeLeft } from './sliding-log.js';

/** How many wrong passwords there were in a row, and when the last one was tried; 0 once that was taken back. */
interface WrongRow {
  n: number;
  t: number;
}

export function countTry(rows: Rows, keys: Keys, input: CountTry): TryVerdict {
  const account = countAtAccount(rows, keys, input);
  const address = account.device
    ? undefined
    : hitLimits(rows, keys, { slot: slotOf(input.address), rules: input.addressRules });
  const { verdict, takeBack } = judgeTry(input, account, address);
  uncountTry(rows, keys, takeBack);
  return verdict;
}

function countAtAccount(rows: Rows, keys: Keys, input: CountTry): AccountVerdict {
  const { now } = rows;
  const device = readDevice(rows, keys, input.account, input.deviceId);
  if (device) return countAtDevice(device, input);

  const row = rows.load<WrongRow>(keys.wrongPasswords(input.account));
  const retryMs = delayLeft(row.value, input.delay, now);
  if (retryMs > 0) return { status: 'delayed', device: undefined, retryMs };
  row.value = { n: (row.value?.n ?? 0) + 1, t: now };
  row.expiresAt = now + ROW_LIFETIME_MS;
  return { status: 'counted', device: undefined, retryMs: 0 };
}

function countAtDevice(device: Device, { deviceLimit, delay, now }: CountTry): AccountVerdict {
  const { max, windowMs } = deviceLimit;
  const isOver = device.x <= now;
  // Neither a window nor a delay is ever longer than it is, for a clock that is behind either.
  const [used, endsAt] = isOver ? [0, now + windowMs] : [device.c, Math.min(device.x, now + windowMs)];
  const state = (spent: number) => ({ max, remaining: Math.max(0, max - spent), resetMs: endsAt - now });

  const retryMs = delayLeft(device, delay, now);
  if (used >= max && endsAt - now >= retryMs) return { status: 'limited', device: state(used), retryMs };
  if (retryMs > 0) return { status: 'delayed', device: state(used), retryMs };
  Object.assign(device, { c: used + 1, x: endsAt, n: device.n + 1, t: now });
  return { status: 'counted', device: state(used + 1), retryMs: 0 };
}

function delayLeft(row: WrongRow | undefined, { after, stepMs, maxMs }: DelayRule, now: number): number {
  if (!row || row.n < after) return 0;
  return timeLeft(Math.min((row.n - after + 1) * stepMs, maxMs), row.t, now);
}

/** It was not compared after all. If it was the last one, nobody waits for it either. */
export function uncountTry(rows: Rows, keys: Keys, { address, row, now }: CountedTry): void {
  if (address) unhitLimits(rows, keys, slotOf(address.address), address.rules);
  if (!row) return;
  if (row.deviceId !== undefined) {
    const device = readDevice(rows, keys, row.account, row.deviceId);
    if (!device) return;
    device.c = Math.max(0, device.c - 1);
    device.n = Math.max(0, device.n - 1);
    if (device.t === now) device.t = 0;
    return;
  }
  const wrong = rows.load<WrongRow>(keys.wrongPasswords(row.account));
  if (!wrong.value) return;
  const { n, t } = wrong.value;
  wrong.value = n > 1 ? { n: n - 1, t: t === now ? 0 : t } : undefined;
}

/** The password was right. */
export function endRow(
  rows: Rows,
  keys: Keys,
  { account, deviceId }: { account: string; deviceId: string | undefined },
): void {
  rows.load<WrongRow>(keys.wrongPasswords(account)).value = undefined;
  const device = readDevice(rows, keys, account, deviceId);
  if (device) Object.assign(device, { n: 0, t: 0 });
}

const slotOf = (address: string): string => `ip:${address}`;
