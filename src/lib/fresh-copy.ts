import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from './clock.js';

export interface FreshCopyNeeds<T> {
  read(): Promise<T>;
  now: Clock;
  /** No older copy is used while the original can be read (ms). */
  maxAgeMs: number;
  /** Told when the original could not be read and the last copy serves on. */
  onTrouble(error: unknown): void;
}

/** While the original is away nobody can change it either: how often to try again (ms). */
const RETRY_MS = 1000;
/** An original that is slower than this is away, as far as this request is concerned (ms). */
const PATIENCE_MS = 150;

/**
 * Keeps a small thing out of SQL in memory, so that requests do not ask for it. Whoever comes during a read shares
 * it; while the original is away the last copy serves. Only the very first read can fail. As long as the copy is
 * fresh, which is nearly always, there is no promise to wait for.
 */
export function createFreshCopy<T>({
  read,
  now,
  maxAgeMs,
  onTrouble,
}: FreshCopyNeeds<T>): () => T | Promise<T> {
  let copy: { of: T } | undefined;
  let freshUntil = 0;
  let awayUntil = 0;
  let loading: Promise<void> | undefined;

  async function load(): Promise<void> {
    try {
      copy = { of: await read() };
      freshUntil = now() + maxAgeMs;
      awayUntil = 0;
    } catch (error) {
      if (!copy) throw error;
      onTrouble(error);
      freshUntil = now() + RETRY_MS;
      awayUntil = now() + maxAgeMs;
    }
  }

  async function readAgain(): Promise<T> {
    loading ??= load().finally(() => {
      loading = undefined;
    });
    // Nobody waits for a store that was away a moment ago: requests that need no SQL would all turn slow.
    if (!copy) await loading;
    else if (now() >= awayUntil) await Promise.race([loading, delay(PATIENCE_MS, undefined, { ref: false })]);
    return copy!.of;
  }

  return () => (copy && now() < freshUntil ? copy.of : readAgain());
}
