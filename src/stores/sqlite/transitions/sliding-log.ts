import type { BudgetUse } from '../../send-verdict.js';

/** Times of what was counted (ms), with an id where one may be taken back; oldest first. */
export type Log = [at: number, id?: string][];

/** What is left of a time that began then. A clock that is behind sees less than nothing of it gone: never more is told. */
export const timeLeft = (lengthMs: number, began: number, now: number): number =>
  Math.max(0, Math.min(lengthMs, began + lengthMs - now));

/** How long until fewer than `max` of the log are younger than the window; 0 when it is so, or without a `max`. */
export function logWait(log: Log, max: number | undefined, windowMs: number, now: number): number {
  const nth = max === undefined ? undefined : log.at(-max);
  return nth ? timeLeft(windowMs, nth[0], now) : 0;
}

/** How many of the log are younger than the window, but for this one, and how long until the oldest has left it. */
export function logUse(log: Log, id: string, windowMs: number, now: number): BudgetUse {
  const young = log.filter(([at]) => at > now - windowMs);
  const oldest = young[0];
  const used = young.filter(([, each]) => each !== id).length;
  return [used, oldest ? timeLeft(windowMs, oldest[0], now) : windowMs];
}

/** The log with one more; what falls out has left its window: whoever adds has asked first. */
export const addToLog = (log: Log, entry: Log[number], keep: number): Log =>
  [...log, entry].sort(([a], [b]) => a - b).slice(-keep);
