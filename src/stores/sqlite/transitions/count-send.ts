import {
  type CountSend,
  DAY_MS,
  HOUR_MS,
  type SendCount,
  type SendVerdict,
  type SpendRules,
} from '../../../otp/otp-store.js';
import type { Keys } from '../../keys.js';
import { judgeSend, tightestBudget } from '../../send-verdict.js';
import type { Row, Rows } from '../rows.js';
import { addToLog, type Log, logUse, logWait, timeLeft } from './sliding-log.js';
import { askGuard, countToday, type SpendDay, uncountToday } from './spend.js';

interface SendRows {
  sends: Row<Log>;
  unproved: Row<Log>;
  addressSends: Row<Log>;
  addressDay: Row<SpendDay>;
  countryDay: Row<SpendDay>;
  allDay: Row<SpendDay>;
}

const loadRows = (rows: Rows, keys: Keys, { number, address, country }: SendCount): SendRows => ({
  sends: rows.load(keys.numberSends(number)),
  unproved: rows.load(keys.coolDown(number)),
  addressSends: rows.load(keys.addressSends(address)),
  addressDay: rows.load(keys.addressDay(address)),
  countryDay: rows.load(keys.countryDay(country)),
  allDay: rows.load(keys.allDay()),
});

/** All slots are one transaction here: nothing is ever taken back. */
export function countSend(rows: Rows, keys: Keys, input: CountSend): SendVerdict {
  const { now } = rows;
  const { sendId, perHour, perDay, perAddressHour, coolDownMs: steps } = input;
  const all = loadRows(rows, keys, input);
  const sends = all.sends.value ?? [];
  const unproved = all.unproved.value ?? [];
  const isRepeated = sends.some(([, id]) => id === sendId);
  if (isRepeated) {
    const limit = tightestBudget(input, readUse(all, input, now), 1);
    return { status: 'counted', resendMs: coolDown(unproved, steps, now), suspicions: [], limit };
  }

  const verdict = judge(all, input, now);
  if (verdict.status !== 'counted') return verdict;

  write(all.sends, addToLog(sends, [now, sendId], Math.max(perHour ?? 1, perDay ?? 1)), now + DAY_MS);
  const cooling = steps.length > 0 ? addToLog(unproved, [now, sendId], steps.length) : [];
  write(all.unproved, cooling, now + DAY_MS);
  if (perAddressHour !== undefined) {
    const log = addToLog(all.addressSends.value ?? [], [now, sendId], perAddressHour);
    write(all.addressSends, log, now + HOUR_MS);
  }
  for (const day of [all.addressDay, all.countryDay, all.allDay]) countToday(day, now);
  return { ...verdict, resendMs: coolDown(cooling, steps, now) };
}

function judge(all: SendRows, input: CountSend, now: number): SendVerdict {
  const { perHour, perDay, perAddressHour, guard } = input;
  const sends = all.sends.value ?? [];
  const coolDownMs = coolDown(all.unproved.value ?? [], input.coolDownMs, now);
  const hourMs = logWait(sends, perHour, HOUR_MS, now);
  const dayMs = logWait(sends, perDay, DAY_MS, now);
  const addressMs = logWait(all.addressSends.value ?? [], perAddressHour, HOUR_MS, now);
  const ofAddress = askGuard(all.addressDay, withRatio(guard, 'minPerAddress'), now);
  const use = readUse(all, input, now);
  const numberMs = Math.max(coolDownMs, hourMs, dayMs);
  return judgeSend(input, {
    number: { ...use.number, waitMs: numberMs, coolDownMs, hourMs, dayMs, resendMs: 0 },
    address: {
      ...use.address,
      ...ofAddress,
      waitMs: Math.max(ofAddress.waitMs, addressMs),
      hourMs: addressMs,
    },
    country: askGuard(all.countryDay, withRatio(guard, 'minPerCountry'), now),
    all: askGuard(all.allDay, guard && { mode: guard.mode, min: guard.dailyCap }, now),
  });
}

function readUse({ sends, addressSends }: SendRows, { sendId }: CountSend, now: number) {
  const use = ({ value = [] }: Row<Log>, windowMs: number) => logUse(value, sendId, windowMs, now);
  return {
    number: { hour: use(sends, HOUR_MS), day: use(sends, DAY_MS) },
    address: { hour: use(addressSends, HOUR_MS) },
  };
}

const withRatio = (guard: SpendRules | undefined, min: 'minPerAddress' | 'minPerCountry') =>
  guard && { mode: guard.mode, min: guard[min], ratio: guard.minVerifiedRatio };

/** What is left of the wait after the sends since the last proved code, of those in the last 24 hours. */
function coolDown(unproved: Log, steps: readonly number[], now: number): number {
  const sent = unproved.filter(([at]) => at > now - DAY_MS);
  const last = sent.at(-1);
  const step = steps[Math.min(sent.length, steps.length) - 1];
  return last && step !== undefined ? timeLeft(step, last[0], now) : 0;
}

export function uncountSend(rows: Rows, keys: Keys, input: SendCount): void {
  const all = loadRows(rows, keys, input);
  for (const row of [all.sends, all.unproved, all.addressSends])
    write(
      row,
      (row.value ?? []).filter(([, id]) => id !== input.sendId),
      row.expiresAt,
    );
  for (const day of [all.addressDay, all.countryDay, all.allDay]) uncountToday(day, input.now);
}

/** An empty log is none. */
function write(row: Row<Log>, log: Log, expiresAt: number): void {
  row.value = log.length > 0 ? log : undefined;
  row.expiresAt = expiresAt;
}
