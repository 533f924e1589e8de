import { DAY_MS, type SpendReport, type SpendRules } from '../../../otp/otp-store.js';
import type { Keys } from '../../keys.js';
import type { GuardedAnswer } from '../../send-verdict.js';
import type { Row, Rows } from '../rows.js';

/** A day's counters: sent, and proved. The row lives as long as the day. */
export interface SpendDay {
  s: number;
  v: number;
}

/** What the guard thinks of a send. Without a ratio it is enough that `min` were sent. */
export function askGuard(
  { value: day = { s: 0, v: 0 }, expiresAt }: Row<SpendDay>,
  rules: { mode: SpendRules['mode']; min: number; ratio?: number } | undefined,
  now: number,
): GuardedAnswer {
  const isSuspicious =
    rules !== undefined && day.s >= rules.min && (rules.ratio === undefined || day.v < rules.ratio * day.s);
  const denies = isSuspicious && rules.mode === 'deny';
  return { isSuspicious, waitMs: denies ? Math.min(DAY_MS, (expiresAt || now + DAY_MS) - now) : 0 };
}

/** A clock that is behind may count before the first send: then the day starts there. */
export function countToday(day: Row<SpendDay>, now: number): void {
  const { s, v } = day.value ?? { s: 0, v: 0 };
  const endsAt = now + DAY_MS;
  day.expiresAt = day.value ? Math.min(day.expiresAt, endsAt) : endsAt;
  day.value = { s: s + 1, v };
}

/** Only in the day in which it was counted, and never below 0. */
export function uncountToday({ value: day, expiresAt }: Row<SpendDay>, sentAt: number): void {
  if (day && expiresAt - DAY_MS <= sentAt && day.s > 0) day.s -= 1;
}

export function countVerified(
  rows: Rows,
  keys: Keys,
  { address, country }: { address: string; country: string },
): void {
  for (const key of [keys.addressDay(address), keys.countryDay(country)]) {
    const day = rows.load<SpendDay>(key).value;
    if (day) day.v += 1;
  }
}

export function readSpend(rows: Rows, keys: Keys, countries: readonly string[]): SpendReport {
  const read = (key: string) => rows.load<SpendDay>(key).value ?? { s: 0, v: 0 };
  return {
    countries: countries.map((country) => {
      const { s: sends, v: verified } = read(keys.countryDay(country));
      return { country, sends, verified };
    }),
    total: read(keys.allDay()).s,
  };
}
