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

export function createEventRecorder({ store, now, onTrouble }: EventRecorderNeeds): EventRecorder {
  let waiting: SecurityEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> | undefined;
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
      const dropped = waiting.length - MAX_WAITING;
      waiting = waiting.slice(dropped);
      onTrouble(new Error('too many events wait for the database'), dropped);
    }
    schedule();
  }

  function schedule(): void {
    if (timer || closed) return;
    timer = setTimeout(() => {
      timer = undefined;
      void flush();
    }, FLUSH_MS);
  }

  function flush(): Promise<void> {
    flushing ??= write().finally(() => {
      flushing = undefined;
    });
    return flushing;
  }

  async function write(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH);
      waiting = waiting.slice(BATCH);
      try {
        await store.insert(batch);
      } catch (error) {
        // What SQL refuses it would refuse for ever; what it could not take now waits for its return.
        const away = error instanceof AuthError && error.code === 'store_unavailable';
        onTrouble(error, away ? 0 : batch.length);
        if (!away) continue;
        waiting = [...batch, ...waiting];
        schedule();
        return;
      }
    }
  }

  return {
    prepare,
    record: (happening) => enqueue(prepare(happening)),
    async store(happening) {
      const event = prepare(happening);
      try {
        await store.insert([event]);
      } catch (error) {
        onTrouble(error, 0);
        enqueue(event);
      }
    },
    flush,
    async close() {
      closed = true;
      clearTimeout(timer);
      await flushing;
      await flush();
    },
  };
}
