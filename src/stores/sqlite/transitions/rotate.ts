import {
  type LimitState,
  RACE_WINDOW_MS,
  type Rotate,
  type RotateResult,
} from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';
import { count, finish, isFenced, keep, loadStanding, trustedUser, writeUser } from './shared.js';

export function rotate(rows: Rows, keys: Keys, r: Rotate): RotateResult {
  const { now } = rows;
  const { jti } = r;
  const standing = loadStanding(rows, keys, r);
  if ('status' in standing) return standing;
  const { session, s, u } = standing;

  let user = trustedUser(s, u, now);
  if (!user) {
    if (r.vouched?.generation !== String(u.g)) {
      return { status: 'stale', limit: undefined, generation: String(u.g), authVersion: s.a };
    }
    user = r.vouched.user;
    if (!isFenced(u, now)) writeUser(u, user);
  }
  if (user.authVersion > s.a) return { status: 'ended', reason: user.authReason ?? 'unknown' };

  const repeated = jti === s.p && (!s.n || now - Number(s.k) < RACE_WINDOW_MS);
  if (!repeated && jti !== s.j && r.issuedAtSeconds <= s.i) {
    finish(session, 'reuse');
    return { status: 'reused' };
  }

  let limit: LimitState | undefined;
  if (r.limit) {
    const counted = count(s, r.limit, now);
    limit = counted.state;
    if (!counted.allowed) return { status: 'limited', limit };
  }

  const lastIp = s.ip;
  if (repeated) {
    return { status: 'repeated', limit, jti: s.j, issuedAtSeconds: s.i, expiresAtSeconds: s.x, lastIp, user };
  }

  const x = Math.min(r.next.expiresAtSeconds, s.m);
  const i = Math.max(r.next.issuedAtSeconds, s.i);
  if (x * 1000 - now < 1000) {
    finish(session, 'expired');
    return { status: 'ended', reason: 'expired' };
  }
  session.value = { ...s, j: r.next.jti, p: jti, k: now, l: now, i, x, ip: r.ip, n: undefined, o: undefined };
  session.expiresAt = x * 1000;
  keep(standing.user, session.expiresAt);
  return { status: 'rotated', limit, jti: r.next.jti, issuedAtSeconds: i, expiresAtSeconds: x, lastIp, user };
}
