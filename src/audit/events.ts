import type { EndReason } from '../accounts/user.js';
import type { AlertKind } from './alerts.js';
import type { Tally } from './tally.js';

/** What can happen to an account or a session that its owner, or an operator, may one day want to know. */
export const EVENT_TYPES = [
  'registered',
  'login',
  'login_failed',
  /** Stored when it tells something new, from another address or on another day; always counted. */
  'token_refreshed',
  /** A refresh token one behind was answered again, to another address than its session was last seen at. */
  'token_replayed',
  'token_reused',
  'logout',
  'logout_all',
  'session_deleted',
  'otp_sent',
  /** A code was asked for that could be of use to nobody: no message went out, and the answer did not tell. */
  'otp_withheld',
  /** The provider did not take a message, however often it was tried. */
  'otp_send_failed',
  /** The spend guard found a send suspicious, whether or not it denied it. */
  'otp_send_suspected',
  /** A wrong code, or one where none was expected. */
  'otp_failed',
  /** A right code. */
  'otp_verified',
  /** Somebody proved to hold the number of the account; whoever came before is out. */
  'phone_verified',
  'profile_changed',
  'email_verified',
  'email_changed',
  'phone_changed',
  'password_changed',
  /** By a link in an e-mail or a code, without the old one. */
  'password_reset',
  'password_reset_requested',
  /** Somebody asked for a link where there is no account: nothing was sent, and the answer did not tell. */
  'password_reset_withheld',
  /** Somebody registered with the address of an account; the answer did not tell. */
  'registration_repeated',
  'account_disabled',
  'account_enabled',
  'account_deleted',
  /** By an operator, not by its owner. */
  'account_created',
  /** Somebody was given another role. What a role means changes by `role_defined`. */
  'role_changed',
  'staff_granted',
  'staff_withdrawn',
  'superuser_granted',
  'superuser_withdrawn',
  'sessions_ended_by_staff',
  'role_defined',
  'role_deleted',
  /** Several events together look like an attack; see `alerts.ts`. */
  'alert',
  /** Nobody took the webhook of an alert for a whole day. */
  'alert_undelivered',
  /** So many of a type happened that some of them were only counted. */
  'events_dropped',
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/**
 * What an event tells beside its columns: numbers, and words out of closed lists (roles are one). Never what a caller
 * typed, never a secret, and nothing personal: it stays when the account goes, and is not encrypted.
 */
export interface EventDetail {
  /** Of an alert. */
  alert?: AlertKind;
  /** Of events that were only counted: of which type. */
  of?: EventType;
  count?: number;
  failures?: number;
  accounts?: number;
  addresses?: number;
  /** Seconds in which all of that happened. */
  window?: number;
  /** The role that was given, defined or deleted, and the one that somebody had before. */
  role?: string;
  former_role?: string;
}

export interface SecurityEvent {
  /** A UUID. Whoever stores the event again under the same one stores it once; without one it gets its own. */
  uid?: string | undefined;
  /** Instead of a `uid`: of all events with this name one is stored. Never stored itself. */
  once?: string | undefined;
  type: EventType;
  /** Milliseconds since the epoch. */
  at: number;
  userId?: string | undefined;
  /** Of staff who did it to the user. */
  actorId?: string | undefined;
  sessionId?: string | undefined;
  /** Why the session ended. */
  reason?: EndReason | undefined;
  ip?: string | undefined;
  userAgent?: string | undefined;
  detail?: EventDetail | undefined;
  /** Of `events_dropped`: count these instead of it. Never stored itself. */
  standsFor?: { type: EventType; count: number } | undefined;
}

export interface StoredEvent extends Omit<SecurityEvent, 'once' | 'standsFor'> {
  id: number;
  /** Its address and user agent are encrypted under a key that is not at hand. */
  unreadable?: true | undefined;
}

/** What is left out does not matter. An address stands for those that are limited together: an IPv6 one for its /64. */
export interface EventFilter {
  userId?: string | undefined;
  actorId?: string | undefined;
  sessionId?: string | undefined;
  ip?: string | undefined;
  types?: readonly EventType[] | undefined;
  /** From the first moment on, and before the last one. */
  from?: number | undefined;
  to?: number | undefined;
}

export interface EventPage {
  /** The `id` that the page before ended on. */
  before?: number | undefined;
  limit: number;
}

/** Spans of time that do not overlap, in order. */
export interface TimeSpan {
  from: number;
  to: number;
}

export interface EventCount {
  /** Which of the spans. */
  span: number;
  type: EventType;
  count: number;
}

/** The last events of one address or one user, by type. */
export interface EventSummary {
  of: 'ip' | 'user';
  /** The address or user id that was asked about. */
  value: string;
  type: EventType;
  count: number;
  /** How many users, known ones, an address dealt with; how many addresses dealt with a user. */
  others: number;
  /** How many of an address's events belong to nobody. */
  unknown: number;
}

/** Events in SQL. Every method throws `store_unavailable` when SQL is away. */
export interface EventStore {
  /**
   * Stores and counts them, all or none; of a user who is gone nothing is stored that could be personal. A `login` is
   * the user's last one, unless a later one is known.
   */
  insert(events: readonly SecurityEvent[]): Promise<void>;
  /** Adds to the counts of the charts alone. */
  tally(tallies: readonly Tally[]): Promise<void>;
  /** Newest first. */
  list(filter: EventFilter, page: EventPage): Promise<StoredEvent[]>;
  /** Those that the owner of an account is shown. */
  listOfUser(userId: string, page: EventPage): Promise<StoredEvent[]>;
  /** How many there were, whether or not they are still stored. To the quarter of an hour. */
  count(spans: readonly TimeSpan[], types: readonly EventType[]): Promise<EventCount[]>;
  /** Looks at the newest thousand of each since then. */
  summarize(suspects: {
    ips: readonly string[];
    userIds: readonly string[];
    since: number;
  }): Promise<EventSummary[]>;
}

export interface Happening extends Omit<SecurityEvent, 'uid' | 'at' | 'ip' | 'userAgent'> {
  /** Milliseconds since the epoch; now, where it is left out. */
  at?: number;
  client?: { ip: string; userAgent?: string } | undefined;
}

/** How the rest of Latchkey reports what happened. */
export interface EventRecorder {
  /** For routine events: stored within a second, many in one statement. */
  record(happening: Happening): void;
  /** For events that matter: stored before this resolves, or kept for the next try when SQL is away. */
  store(happening: Happening): Promise<void>;
  /** For what happens all day and tells nobody anything new: only its number is kept, for charts and metrics. */
  count(type: EventType): void;
  /** The event as a row, for a transaction that wants to write it itself. */
  prepare(happening: Happening): SecurityEvent;
  /** Stores what waits. @throws store_unavailable when SQL is away: then it goes on waiting. */
  flush(): Promise<void>;
  /** Whether the database took none the last time. Then `flush` asks it once more. */
  isBehind(): boolean;
  /** How many wait. */
  waiting(): number;
  /** Tells of everything that this process stores from now on, once it is stored. */
  onStored(listener: (events: readonly SecurityEvent[]) => void): void;
  /** Flushes what is left and stops. */
  close(): Promise<void>;
}
