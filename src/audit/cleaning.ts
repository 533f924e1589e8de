import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../lib/clock.js';

/** What may grow without end, in SQL. Every method is short, and throws `store_unavailable` when SQL is away. */
export interface CleaningStore {
  /**
   * Makes this process the one that cleans, until then. `held` is what it was given before and wants to prolong.
   * `undefined`: another process cleans. Times of different machines differ a little: two that clean do no harm.
   */
  lease(input: {
    now: number;
    until: number;
    held: number;
  }): Promise<{ progress: string | undefined } | undefined>;
  saveProgress(progress: string): Promise<void>;
  /** Deletes what is older, at most so many rows; says how many. */
  deleteEvents(before: number, limit: number): Promise<number>;
  deleteCounts(before: number, limit: number): Promise<number>;
  /** Webhooks that were put in before then, and nobody posts any more because no URL is set. */
  deleteWebhooks(before: number, limit: number): Promise<number>;
  /** Revocations of tokens that have expired. */
  deleteTokens(now: number, limit: number): Promise<number>;
  /** What the embedded state store has left behind. Redis does that by itself. */
  deleteState(now: number, limit: number): Promise<number>;
  /** Encrypts by the newest key what the next so many events after `id`, and older than `before`, hold. */
  reseal(input: { after: number; before: number; limit: number }): Promise<Resealed>;
  /** Of the key that encrypts now; `undefined` when there is none. */
  readonly keyId: string | undefined;
}

export interface Resealed {
  /** The last event that was looked at; `undefined`: there are no more. */
  last: number | undefined;
  changed: number;
  /** Encrypted under a key that is not at hand. */
  unreadable: number;
}

export interface CleaningReport {
  events: number;
  counts: number;
  webhooks: number;
  tokens: number;
  state: number;
  resealed: number;
  unreadable: number;
}

export interface CleanerNeeds {
  store: CleaningStore;
  /** Days that events are kept; `undefined`: for ever. */
  retentionDays: number | undefined;
  now: Clock;
}

export interface CleanOptions {
  /** Stops after the batch under way. */
  signal?: AbortSignal;
  /** How long to leave the database to others after a batch, as a multiple of what it took. */
  restFactor: number;
  onProgress?(report: CleaningReport): void;
}

export interface Cleaner {
  /**
   * Deletes what is too old and encrypts what is not, in small steps, until nothing is left to do. `undefined`: another
   * process is doing it.
   */
  clean(options: CleanOptions): Promise<CleaningReport | undefined>;
}

const DAY_MS = 86_400_000;
/** Charts reach back so far: a million rows at most. */
const COUNTS_KEPT_MS = 3 * 366 * DAY_MS;
/** Whoever posts them gives up after a day. */
const WEBHOOKS_KEPT_MS = 2 * DAY_MS;
/** Rows in one statement: some milliseconds, also in the embedded database, which works in this very thread. */
const BATCH = 250;
/** Renewed with every batch; whoever dies is replaced after it (ms). */
const LEASE_MS = 60_000;
const MIN_REST_MS = 5;
/** Younger events may not stand yet in the order of their ids, or be of a server that still has the key before (ms). */
const SETTLED_MS = 600_000;

/** Keeps the database from growing for ever. */
export function createCleaner({ store, retentionDays, now }: CleanerNeeds): Cleaner {
  return {
    async clean({ signal, restFactor, onProgress }) {
      const report: CleaningReport = {
        events: 0,
        counts: 0,
        webhooks: 0,
        tokens: 0,
        state: 0,
        resealed: 0,
        unreadable: 0,
      };
      let held = 0;

      async function lease(): Promise<{ progress: string | undefined } | undefined> {
        const until = now() + LEASE_MS;
        const granted = await store.lease({ now: now(), until, held });
        if (granted) held = until;
        return granted;
      }

      /** Runs a step until it says that nothing is left. `false`: another process goes on from here. */
      async function repeat(step: () => Promise<{ isDone: boolean }>): Promise<boolean> {
        for (;;) {
          if (signal?.aborted || !(await lease())) return false;
          const startedAt = performance.now();
          const { isDone } = await step();
          onProgress?.({ ...report });
          if (isDone) return true;
          const restMs = Math.max(MIN_REST_MS, (performance.now() - startedAt) * restFactor);
          await delay(restMs, undefined, { signal }).catch(() => undefined);
        }
      }

      const deleting = (
        key: 'events' | 'counts' | 'webhooks' | 'tokens' | 'state',
        work: (limit: number) => Promise<number>,
      ) =>
        repeat(async () => {
          const deleted = await work(BATCH);
          report[key] += deleted;
          return { isDone: deleted < BATCH };
        });

      /** Goes on where an earlier run ended, however long ago. */
      async function reseal(progress: string | undefined): Promise<boolean> {
        const { keyId } = store;
        if (keyId === undefined) return true;
        let after = readProgress(progress, keyId);
        return repeat(async () => {
          const { last, changed, unreadable } = await store.reseal({
            after,
            before: now() - SETTLED_MS,
            limit: BATCH,
          });
          report.resealed += changed;
          report.unreadable += unreadable;
          if (last === undefined) return { isDone: true };
          after = last;
          await store.saveProgress(`${keyId}:${after}`);
          return { isDone: false };
        });
      }

      const granted = await lease();
      if (!granted) return undefined;
      try {
        (retentionDays === undefined ||
          (await deleting('events', (limit) => store.deleteEvents(now() - retentionDays * DAY_MS, limit)))) &&
          (await deleting('counts', (limit) => store.deleteCounts(now() - COUNTS_KEPT_MS, limit))) &&
          (await deleting('webhooks', (limit) => store.deleteWebhooks(now() - WEBHOOKS_KEPT_MS, limit))) &&
          (await deleting('tokens', (limit) => store.deleteTokens(now(), limit))) &&
          (await deleting('state', (limit) => store.deleteState(now(), limit))) &&
          (await reseal(granted.progress));
      } finally {
        // Of a process that lost it meanwhile, nothing is prolonged.
        await store.lease({ now: now(), until: now(), held }).catch(() => undefined);
      }
      return report;
    },
  };
}

/** The event to go on after: from the first one on where the key is a new one. */
function readProgress(progress: string | undefined, keyId: string): number {
  const [ofKey, id] = progress?.split(':') ?? [];
  return ofKey === keyId ? Number(id) : 0;
}
