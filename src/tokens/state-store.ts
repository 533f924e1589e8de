import type { EndReason, User } from '../accounts/user.js';

/**
 * Everything with a lifetime: sessions and their rotation, the blacklist, snapshots of users, counters.
 *
 * Two adapters implement it (`stores/redis`, `stores/sqlite`) and one contract suite tests both. Rules for
 * every method: it is one atomic transition; running it twice, or late after the caller gave up, does no harm;
 * a store that cannot answer within its timeout throws `store_unavailable` and never returns a verdict.
 *
 * Times are milliseconds since the epoch unless the name says seconds; the caller passes `now`.
 */
export interface StateStore {
  /**
   * Stores a new session, and the user's snapshot unless a newer one or a fence is there. Gives the generation
   * under which a snapshot may be cached later.
   */
  openSession(input: OpenSession): Promise<{ generation: string }>;
  /** Says whether a token of this session is good now, counts it against the user's limit, notes its use. */
  checkToken(input: CheckToken): Promise<CheckResult>;
  /** Rotates a refresh token: at most one successor exists, whoever asks and however often. */
  rotate(input: Rotate): Promise<RotateResult>;
  /**
   * Makes a session of a token that an old system signed, unless it is one already, live or ended: from then on the
   * token is judged like any other. Gives nothing when that is done. Else the `generation` to come back with after SQL
   * was asked once more: what was read before may be older than this store's memory of it, which was emptied since.
   */
  adoptToken(input: AdoptToken): Promise<string | undefined>;
  /** Ends one session. `true` when it was live until now. */
  endSession(input: EndSession): Promise<boolean>;
  /**
   * Ends every session of the user in O(1) by raising the epoch, and forgets the devices; with `caller`, only if that
   * token is good.
   */
  endAllSessions(input: EndAllSessions): Promise<{ status: 'done' } | Stale | Refusal>;
  /** The live sessions, newest first. */
  listSessions(input: { userId: string; now: number }): Promise<SessionRecord[]>;
  /** Deletes what is known of a user's sessions and devices, once a higher epoch or the account's end has ended them. */
  forgetSessions(input: { userId: string }): Promise<void>;
  /** Blacklists one token for exactly as long as it would have lived. */
  revokeToken(input: { userId: string; jti: string; expiresAt: number; now: number }): Promise<void>;

  /**
   * Declares that the account is about to change: until `publishUser` no snapshot of it is trusted. Resolves to the last
   * login that the snapshot knew (ms), of which SQL may have yet to hear.
   */
  fenceUser(input: { userId: string; fenceId: string; now: number }): Promise<number | undefined>;
  /** Writes what the change made of the account (`null`: deleted) and lifts that fence. */
  publishUser(input: PublishUser): Promise<void>;
  /** Caches what SQL said after a `stale` answer, unless the account was fenced since. */
  cacheUser(input: { user: User; generation: string; now: number }): Promise<void>;

  /** Counts one hit against every rule of a slot, or against none when one of them is spent. */
  hitLimits(input: { slot: string; rules: LimitRule[]; now: number }): Promise<LimitVerdict>;
  /** Takes back a hit that was counted: what it was for did not come about. */
  unhitLimits(input: { slot: string; rules: string[]; now: number }): Promise<void>;

  /** Resolves when the store answers and takes writes; throws `store_unavailable` when not. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** How long a fence holds if whoever set it dies: longer than any SQL transaction may take. */
export const FENCE_MS = 60_000;
/** Tabs that race: a token one behind is answered for this long in any case. */
export const RACE_WINDOW_MS = 60_000;
/** `last_used_at` is kept to this grain, so that most checks write only their counter. */
export const LAST_USED_GRAIN_MS = 60_000;

export interface OpenSession {
  sessionId: string;
  jti: string;
  issuedAtSeconds: number;
  expiresAtSeconds: number;
  /** The absolute end of the session, however often it is refreshed. */
  endsAtSeconds: number;
  ip: string;
  userAgent: string;
  userId: string;
  authVersion: number;
  /**
   * The device it is opened from, known to the account from now on. Whoever opens a session has proved to be the
   * owner, so with it the row of wrong passwords ends: see `LoginStore`.
   */
  deviceId?: string | undefined;
  /** Left out while the account is not committed yet. */
  user?: User | undefined;
  now: number;
}

export interface AdoptToken {
  userId: string;
  sessionId: string;
  jti: string;
  issuedAtSeconds: number;
  /** Until then it is taken, unless it is refreshed before. */
  expiresAt: number;
  /** The absolute end of the session, should it be refreshed. */
  endsAtSeconds: number;
  authVersion: number;
  ip: string;
  userAgent: string;
  /** What SQL said, with the generation it was asked under; left out before it was asked. */
  vouched?: { user: User; generation: string } | undefined;
  now: number;
}

export interface EndSession {
  userId: string;
  sessionId: string;
  reason: EndReason;
  /** One that the store does not know is noted as ended for so long, and cannot be adopted meanwhile. */
  buryForMs?: number | undefined;
}

export interface CheckToken {
  userId: string;
  sessionId: string;
  jti: string;
  issuedAtSeconds: number;
  /** A refresh token is good only while a refresh with it would succeed. */
  type: 'access' | 'refresh';
  /** Requests per user; left out where they are not counted. */
  limit?: Limit | undefined;
  now: number;
}

export type CheckResult = { status: 'ok'; user: User; limit?: LimitState | undefined } | Stale | Refusal;

export type Refusal =
  /** The store knows nothing of the session: it expired, or the store was emptied. */
  | { status: 'gone' }
  | { status: 'ended'; reason: EndReason }
  /** This very token was blacklisted, or is a spent refresh token. */
  | { status: 'revoked' }
  | { status: 'limited'; limit: LimitState };

/** The snapshot is fenced or missing: ask SQL; the session stands if its `authVersion` is still the account's. */
export interface Stale {
  status: 'stale';
  generation: string;
  authVersion: number;
  limit?: LimitState | undefined;
}

export interface Rotate {
  userId: string;
  sessionId: string;
  /** The token presented. */
  jti: string;
  issuedAtSeconds: number;
  /** The successor, should this call be the one that makes it. */
  next: { jti: string; issuedAtSeconds: number; expiresAtSeconds: number };
  ip: string;
  /** Refreshes per session. */
  limit?: Limit | undefined;
  /** What SQL said after a `stale` answer, with the generation that answer carried. */
  vouched?: { user: User; generation: string } | undefined;
  now: number;
}

export type RotateResult =
  | {
      status: 'rotated' | 'repeated';
      jti: string;
      issuedAtSeconds: number;
      expiresAtSeconds: number;
      user: User;
      /** Where the session was opened or last refreshed from. */
      lastIp: string;
      limit?: LimitState | undefined;
    }
  /** A spent token: the session has just been ended. */
  | { status: 'reused' }
  | Stale
  | Refusal;

export interface EndAllSessions {
  userId: string;
  reason: EndReason;
  caller?: CheckToken;
  now: number;
}

export interface PublishUser {
  userId: string;
  fenceId: string;
  user: User | null;
  /** Set when the change ends every session of the user. */
  endSessions?: EndReason;
  now: number;
}

export interface SessionRecord {
  id: string;
  createdAt: number;
  lastUsedAt: number;
  expiresAt: number;
  ip: string;
  userAgent: string;
}

/** At most `max` hits in each window of `windowMs`, which starts with its first hit. */
export interface Limit {
  max: number;
  windowMs: number;
}

export interface LimitRule extends Limit {
  /** Distinguishes the counters of one slot. */
  name: string;
}

export interface LimitState {
  max: number;
  remaining: number;
  /** Until the window ends. */
  resetMs: number;
}

/** `limit` is the rule that refused, else the one with the least left. */
export interface LimitVerdict {
  allowed: boolean;
  limit: LimitState;
}
