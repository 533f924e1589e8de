import type { EventType } from './events.js';
import { QUARTER_MS } from './time-buckets.js';

/** How many events of a type there were in a quarter of an hour, which begins at `at` (ms). */
export interface Tally {
  at: number;
  type: EventType;
  count: number;
}

/** Adds up what is counted and not stored, until it is taken to the database. */
export function createTallies() {
  let tallies = new Map<string, Tally>();

  function add(type: EventType, time: number, count = 1): void {
    const at = time - (time % QUARTER_MS);
    const key = `${at} ${type}`;
    const tally = tallies.get(key);
    if (tally) tally.count += count;
    else tallies.set(key, { at, type, count });
  }

  return {
    add,
    /** Hands over all, in one order, so that no two servers wait for each other's rows. */
    take(): Tally[] {
      const taken = [...tallies.values()].sort((a, b) => a.at - b.at || (a.type < b.type ? -1 : 1));
      tallies = new Map();
      return taken;
    },
    putBack(taken: readonly Tally[]): void {
      for (const { type, at, count } of taken) add(type, at, count);
    },
  };
}
