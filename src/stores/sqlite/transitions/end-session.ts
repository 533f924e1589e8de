import type { EndSession, SessionRecord } from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';
import { forgetDevices } from './known-devices.js';
import { finish, isLive, type SessionHash, type UserHash } from './shared.js';

export function endSession(
  rows: Rows,
  keys: Keys,
  { userId, sessionId, reason, buryForMs }: EndSession,
): boolean {
  const session = rows.load<SessionHash>(keys.session(userId, sessionId));
  const s = session.value;
  if (!s && buryForMs !== undefined) {
    finish(session, reason);
    session.expiresAt = rows.now + Math.max(1000, buryForMs);
    return true;
  }
  if (!s || 'end' in s || !isLive(s, rows.load<UserHash>(keys.user(userId)).value)) return false;
  finish(session, reason);
  return true;
}

/** The keys of a user's sessions lie side by side: no index is needed here. */
export function listSessions(rows: Rows, keys: Keys, userId: string): SessionRecord[] {
  const u = rows.load<UserHash>(keys.user(userId)).value;
  return rows
    .scan<SessionHash>(keys.session(userId, ''))
    .flatMap(({ rest: id, value: s }) => {
      if ('end' in s || s.o || !isLive(s, u)) return [];
      return { id, createdAt: s.c, lastUsedAt: s.l, expiresAt: s.x * 1000, ip: s.ip, userAgent: s.ua };
    })
    .sort((a, b) => b.createdAt - a.createdAt);
}

/** Deletes a user's sessions, and the devices. What says why one ended stays, as in Redis: it tells of no device or address. */
export function forgetSessions(rows: Rows, keys: Keys, userId: string): void {
  for (const { rest: sessionId } of rows.scan<SessionHash>(keys.session(userId, ''))) {
    const session = rows.load<SessionHash>(keys.session(userId, sessionId));
    if (session.value && !('end' in session.value)) session.value = undefined;
  }
  forgetDevices(rows, keys, userId);
}
