import type { EndReason, User } from '../../../accounts/user.js';
import type { Limit, LimitState, Refusal } from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Row, Rows } from '../rows.js';

/**
 * What several transitions share. Each of these files does in TypeScript what the Lua script of the same name in
 * `redis/scripts` does in Redis, on hashes with the same fields; what the fields mean is said there.
 */
export interface LiveSession extends Counter {
  j: string;
  p?: string;
  k?: number;
  n?: 1;
  i: number;
  x: number;
  c: number;
  m: number;
  e: number;
  a: number;
  l: number;
  ip: string;
  ua: string;
  /** An old system's token that has not been refreshed: no session to list. In Redis the index does not name it. */
  o?: 1;
}

export type SessionHash = LiveSession | { end: EndReason };

export interface UserHash extends Counter {
  e: number;
  w: EndReason[];
  g: number;
  f: { id: string; deadline: number }[];
  d?: 1;
  v: number;
  /** The snapshot; Redis keeps its fields one by one. */
  user?: User;
}

interface Counter {
  rc?: number;
  rt?: number;
}

/** As much of a user agent as Redis keeps. */
export const USER_AGENT_LENGTH = 192;

const DAY_MS = 86_400_000;
const REASONS_KEPT = 8;

/** A user the store does not know gets the time as first epoch: see `open-session` in `redis/scripts`. */
export const newUser = (now: number): UserHash => ({ e: now, w: [], g: now, f: [], v: 0 });

/** Raises a row's life to at least that moment, with a day to spare so that the next rotations need not. */
export function keep(row: Row<unknown>, until: number): void {
  if (row.expiresAt < until) row.expiresAt = until + DAY_MS;
}

/** Ends a session: what is left is the reason, for as long as its tokens would have lived. */
export function finish(session: Row<SessionHash>, reason: EndReason): void {
  session.value = { end: reason };
}

/** Why a session of an older epoch ended: one reason a rise, the newest eight are kept. */
function epochReason(s: LiveSession, u: UserHash): EndReason {
  return u.w[u.w.length - (u.e - s.e)] ?? 'unknown';
}

export function raiseEpoch(u: UserHash, reason: EndReason): void {
  u.e += 1;
  u.w = [...u.w, reason].slice(-REASONS_KEPT);
}

/** Is a change of the account under way? A fence whose deadline passed was left by one that died. */
export const isFenced = (u: UserHash, now: number): boolean => u.f.some(({ deadline }) => deadline > now);

/** Does the session stand, as far as the store knows without asking SQL? */
export const isLive = (s: LiveSession, u: UserHash | undefined): boolean =>
  u !== undefined && !u.d && u.e === s.e && s.a >= (u.user?.authVersion ?? 0);

/** The snapshot, where it can be relied on for this session. */
export const trustedUser = (s: LiveSession, u: UserHash, now: number): User | undefined =>
  u.user && !isFenced(u, now) && u.user.authVersion >= s.a ? u.user : undefined;

/** Writes the snapshot unless a newer one has been seen. */
export function writeUser(u: UserHash, user: User): void {
  if (user.version < u.v) return;
  u.v = user.version;
  u.user = user;
}

/** Counts in a window kept in two fields of a hash, unless it is spent. */
export function count(counter: Counter, limit: Limit, now: number): { allowed: boolean; state: LimitState } {
  let { rc = 0, rt = 0 } = counter;
  if (rt <= now) [rc, rt] = [0, now + limit.windowMs];
  const allowed = rc < limit.max;
  if (allowed) [counter.rc, counter.rt] = [++rc, rt];
  const resetMs = Math.min(limit.windowMs, rt - now);
  return { allowed, state: { max: limit.max, remaining: Math.max(0, limit.max - rc), resetMs } };
}

interface Token {
  userId: string;
  sessionId: string;
  jti: string;
}

interface Standing {
  session: Row<SessionHash>;
  s: LiveSession;
  user: Row<UserHash>;
  u: UserHash;
}

/** The session and the user of a token, or the first reason to refuse it that needs no snapshot. */
export function loadStanding(rows: Rows, keys: Keys, token: Token): Refusal | Standing {
  const session = rows.load<SessionHash>(keys.session(token.userId, token.sessionId));
  const s = session.value;
  const user = rows.load<UserHash>(keys.user(token.userId));
  const u = user.value;
  // A deleted account took its sessions along.
  if (!s) return u?.d ? { status: 'ended', reason: 'account_deleted' } : { status: 'gone' };
  if ('end' in s) return { status: 'ended', reason: s.end };
  if (rows.load(keys.blacklisted(token.userId, token.jti)).value) return { status: 'revoked' };

  if (!u) return { status: 'gone' };
  if (u.d) return { status: 'ended', reason: 'account_deleted' };
  if (u.e !== s.e) return { status: 'ended', reason: epochReason(s, u) };
  return { session, s, user, u };
}
