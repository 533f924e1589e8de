/** Times of what was counted (ms), with an id where one may be taken back; oldest first. */
export type Log = [at: number, id?: string][];

/** How long until fewer than `max` of the log are younger than the window; 0 when it is so, or without a `max`. */
export function logWait(log: Log, max: number | undefined, windowMs: number, now: number): number {
  const nth = max === undefined ? undefined : log.at(-max);
  return nth ? Math.max(0, nth[0] + windowMs - now) : 0;
}

/** The log with one more; what falls out has left its window: whoever adds has asked first. */
export const addToLog = (log: Log, entry: Log[number], keep: number): Log =>
  [...log, entry].sort(([a], [b]) => a - b).slice(-keep);
