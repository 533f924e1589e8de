import type { EndReason } from '../accounts/user.js';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';

/** What can happen to an account or a session that its owner, or an operator, may one day want to know. */
export const EVENT_TYPES = [
  'registered',
  'login',
  'login_failed',
  'token_refreshed',
  /** A refresh token one behind was answered again, to another address than its session was last seen at. */
  'token_replayed',
  'token_reused',
  'logout',
  'logout_all',
  'session_deleted',
  'profile_changed',
  'account_disabled',
  'account_enabled',
  'account_deleted',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

export interface SecurityEvent {
  type: EventType;
  /** Milliseconds since the epoch. */
  at: number;
  userId?: string | undefined;
  sessionId?: string | undefined;
  /** Why the session ended. */
  reason?: EndReason | undefined;
  ip?: string | undefined;
  userAgent?: string | undefined;
}

export interface StoredEvent extends SecurityEvent {
  id: number;
}

/** Events in SQL. Every method throws `store_unavailable` when SQL is away. */
export interface EventStore {
  insert(events: readonly SecurityEvent[]): Promise<void>;
  /** Newest first, older than `before`. */
  listOfUser(userId: string, options: { before?: number | undefined; limit: number }): Promise<StoredEvent[]>;
}

export interface Happening extends Omit<SecurityEvent, 'at' | 'ip' | 'userAgent'> {
  client?: { ip: string; userAgent: string } | undefined;
}

/** How the rest of Latchkey reports what happened. */
export interface EventRecorder {
  /** For routine events: stored within a second, many in one statement. */
  record(happening: Happening): void;
  /** For events that matter: stored before this resolves, or kept for the next try when SQL is away. */
  store(happening: Happening): Promise<void>;
  /** The event as a row, for a transaction that wants to write it itself. */
  prepare(happening: Happening): SecurityEvent;
  /** Stores what waits. @throws store_unavailable when SQL is away: then it goes on waiting. */
  flush(): Promise<void>;
  /** Flushes what is left and stops. */
  close(): Promise<void>;
}

export interface EventRecorderNeeds {
  store: EventStore;
  now: Clock;
  /** Told when events could not be stored, and when some were dropped for good. */
  onTrouble(error: unknown, dropped: number): void;
}

const FLUSH_MS = 500;
const BATCH = 500;
/** While SQL is away events wait in memory, up to this many; then the oldest go. */
const MAX_WAITING = 10_000;
const DROP_AT_ONCE = 1000;

export function createEventRecorder({ store, now, onTrouble }: EventRecorderNeeds): EventRecorder {
  let waiting: SecurityEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  let closed = false;

  const prepare = ({ client, ...event }: Happening): SecurityEvent => ({
    ...event,
    at: now(),
    ip: client?.ip,
    userAgent: client?.userAgent,
  });

  function enqueue(event: SecurityEvent): void {
    waiting.push(event);
    if (waiting.length > MAX_WAITING) {
      // A tenth at once: to copy and to tell for each single one would be a burden of its own.
      waiting = waiting.slice(DROP_AT_ONCE);
      onTrouble(new Error('too many events wait for the database'), DROP_AT_ONCE);
    }
    schedule();
  }

  function schedule(): void {
    if (timer || closed) return;
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
    // What is added meanwhile waits for its turn: a busy hour would never let this end.
    let size = BATCH;
    for (let left = waiting.length; left > 0 && waiting.length > 0; ) {
      const batch = waiting.slice(0, Math.min(left, size));
      waiting = waiting.slice(batch.length);
      try {
        await store.insert(batch);
      } catch (error) {
        const away = error instanceof AuthError && error.code === 'store_unavailable';
        // What SQL refuses it would refuse for ever: it is looked for by halves, so that it takes no other along.
        if (away || batch.length > 1) waiting = [...batch, ...waiting];
        else onTrouble(error, 1);
        if (away) {
          onTrouble(error, 0);
          schedule();
          throw error;
        }
        size = Math.ceil(batch.length / 2);
        if (batch.length > 1) continue;
      }
      left -= batch.length;
      size = Math.min(BATCH, 2 * size);
    }
  }

  return {
    prepare,
    record: (happening) => enqueue(prepare(happening)),
    async store(happening) {
      // After those that wait: events are listed in the order of their rows.
      enqueue(prepare(happening));
      await tryFlush();
    },
    flush,
    async close() {
      closed = true;
      clearTimeout(timer);
      await flush().catch((error: unknown) => onTrouble(error, waiting.length));
    },
  };
}
