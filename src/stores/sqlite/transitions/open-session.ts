import type { OpenSession } from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';
import { rememberDevice } from './known-devices.js';
import {
  isFenced,
  isLive,
  keep,
  newUser,
  type SessionHash,
  USER_AGENT_LENGTH,
  type UserHash,
  writeUser,
} from './shared.js';

export function openSession(rows: Rows, keys: Keys, o: OpenSession): { generation: string } {
  const { now } = rows;
  const session = rows.load<SessionHash>(keys.session(o.userId, o.sessionId));
  const user = rows.load<UserHash>(keys.user(o.userId));
  user.value ??= newUser(now);
  const u = user.value;
  const generation = String(u.g);
  if (session.value) return { generation };

  session.expiresAt = Math.max(o.expiresAtSeconds * 1000, now + 1000);
  keep(user, session.expiresAt);

  session.value = {
    j: o.jti,
    i: o.issuedAtSeconds,
    x: o.expiresAtSeconds,
    m: o.endsAtSeconds,
    c: now,
    l: now,
    e: u.e,
    a: o.authVersion,
    ip: o.ip,
    ua: o.userAgent.slice(0, USER_AGENT_LENGTH),
  };
  if (o.deviceId !== undefined && isLive(session.value, u)) {
    rows.load(keys.wrongPasswords(o.userId)).value = undefined;
    rememberDevice(rows, keys, o.userId, o.deviceId);
  }
  if (o.user && !u.d && !isFenced(u, now)) writeUser(u, o.user);
  return { generation };
}
