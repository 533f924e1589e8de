import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { newEventId } from '../lib/ids.js';
import { alertsAbout } from './alerts.js';
import type { EventRecorder, EventStore, EventType, Happening, SecurityEvent } from './events.js';
import { createTallies } from './tally.js';
import { createWaitingRooms, type Waiting } from './waiting-rooms.js';

export interface EventRecorderNeeds {
  store: EventStore;
  now: Clock;
  /** `inline` where nothing runs after the answer, as on Lambda: whoever answers calls `flush` first. */
  mode?: 'background' | 'inline';
  /** Told of every event that is recorded here: for the metrics. */
  onEvent?(type: EventType): void;
  /** Told when events could not be stored, and when some were dropped for good. */
  onTrouble(error: unknown, dropped: number): void;
}

const FLUSH_MS = 500;
/** An embedded database works in this very thread: so many take it some ten milliseconds. */
const BATCH = 100;

/**
 * Keeps events for at most half a second and stores them together. What matters goes first, and whoever waits for it
 * waits for no more than the batch under way: a flood of failed logins holds up nothing.
 */
export function createEventRecorder(needs: EventRecorderNeeds): EventRecorder {
  const { store, now, mode = 'background', onEvent, onTrouble } = needs;
  const listeners: Parameters<EventRecorder['onStored']>[0][] = [];
  const rooms = createWaitingRooms({
    now,
    onDropped: (count) => onTrouble(new Error('too many events wait for the database'), count),
  });
  const tallies = createTallies();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  let closed = false;
  let isBehind = false;

  const prepare = ({ client, ...what }: Happening): SecurityEvent => ({
    uid: what.once === undefined ? newEventId() : undefined,
    at: now(),
    ...what,
    ip: client?.ip,
    userAgent: client?.userAgent,
  });

  function add(event: SecurityEvent, onSettled?: () => void): void {
    for (const { type } of [event, ...alertsAbout(event)]) onEvent?.(type);
    rooms.add(event, onSettled);
  }

  function schedule(): void {
    if (timer || closed || mode === 'inline') return;
    timer = setTimeout(() => {
      timer = undefined;
      void tryFlush();
    }, FLUSH_MS);
  }

  /** Stores all that waits at this moment. Whoever comes while a flush is under way shares the one after it. */
  function flush(): Promise<void> {
    if (!flushing) {
      flushing = write().finally(() => {
        flushing = undefined;
      });
      return flushing;
    }
    // If that one fails so do they: each would wait as long for the same answer.
    next ??= flushing
      .finally(() => {
        next = undefined;
      })
      .then(flush);
    return next;
  }

  /** For those who can do without: what could not be stored was told, and waits. */
  const tryFlush = (): Promise<void> => flush().catch(() => undefined);

  async function write(): Promise<void> {
    if (!rooms.tellDropped({ isLast: closed })) schedule();
    await writeEvents();
    await writeTallies();
  }

  async function writeEvents(): Promise<void> {
    // What is routine and comes meanwhile waits for its turn: a busy hour would never let this end.
    const covered = rooms.lastTicket();
    let size = BATCH;
    for (;;) {
      const batch = rooms.take(size, covered);
      if (batch.length === 0) return;
      const isStored = await tryInsert(batch);
      size = isStored ? Math.min(BATCH, 2 * size) : Math.ceil(batch.length / 2);
      // An embedded database works in this very thread: others get their turn between two batches.
      if (rooms.size() > 0) await yieldToOthers();
    }
  }

  /** `false`: SQL refused them, and those that are not alone wait again. @throws store_unavailable */
  async function tryInsert(batch: readonly Waiting[]): Promise<boolean> {
    // In one statement with what they are drawn from: an alert about a stored event is never lost.
    const events = batch.flatMap(({ event }) => [event, ...alertsAbout(event)]);
    try {
      await store.insert(events);
      isBehind = false;
    } catch (error) {
      const away = isAway(error);
      // What SQL refuses it would refuse for ever: it is looked for by halves, so that it takes no other along.
      if (away || batch.length > 1) rooms.putBack(batch);
      else onTrouble(error, 1);
      if (away) giveUpForNow(error);
      if (batch.length === 1) batch[0]?.onSettled?.();
      return false;
    }
    for (const { onSettled } of batch) onSettled?.();
    for (const listener of listeners) listener(events);
    return true;
  }

  async function writeTallies(): Promise<void> {
    const taken = tallies.take();
    if (taken.length === 0) return;
    try {
      await store.tally(taken);
    } catch (error) {
      if (isAway(error)) {
        tallies.putBack(taken);
        giveUpForNow(error);
      }
      onTrouble(
        error,
        taken.reduce((sum, { count }) => sum + count, 0),
      );
    }
  }

  function giveUpForNow(error: unknown): never {
    isBehind = true;
    onTrouble(error, 0);
    rooms.settleAll();
    schedule();
    throw error;
  }

  return {
    prepare,
    record(happening) {
      add(prepare(happening));
      schedule();
    },
    async store(happening) {
      const settled = new Promise<void>((onSettled) => add(prepare(happening), onSettled));
      await Promise.race([settled, tryFlush()]);
    },
    count(type) {
      onEvent?.(type);
      tallies.add(type, now());
      schedule();
    },
    flush,
    isBehind: () => isBehind,
    waiting: () => rooms.size(),
    onStored(listener) {
      listeners.push(listener);
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await flush().catch((error: unknown) => onTrouble(error, rooms.size()));
    },
  };
}

const isAway = (error: unknown): boolean => error instanceof AuthError && error.code === 'store_unavailable';
