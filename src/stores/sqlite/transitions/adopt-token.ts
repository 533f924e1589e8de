import type { AdoptToken } from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';
import {
  isFenced,
  keep,
  newUser,
  type SessionHash,
  USER_AGENT_LENGTH,
  type UserHash,
  writeUser,
} from './shared.js';

export function adoptToken(rows: Rows, keys: Keys, a: AdoptToken): string | undefined {
  const { now } = rows;
  const session = rows.load<SessionHash>(keys.session(a.userId, a.sessionId));
  if (session.value) return undefined;
  const user = rows.load<UserHash>(keys.user(a.userId));
  user.value ??= newUser(now);
  const u = user.value;
  const expiresAt = Math.max(a.expiresAt, now + 1000);
  keep(user, expiresAt);
  if (a.vouched?.generation !== String(u.g)) return String(u.g);

  session.expiresAt = expiresAt;
  session.value = {
    j: a.jti,
    i: a.issuedAtSeconds,
    x: Math.floor(a.expiresAt / 1000),
    m: a.endsAtSeconds,
    c: now,
    l: now,
    e: u.e,
    a: a.authVersion,
    ip: a.ip,
    ua: a.userAgent.slice(0, USER_AGENT_LENGTH),
    o: 1,
  };
  if (!u.d && !isFenced(u, now)) writeUser(u, a.vouched.user);
  return undefined;
}
