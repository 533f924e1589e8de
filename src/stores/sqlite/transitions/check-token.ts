import {
  type CheckResult,
  type CheckToken,
  type EndAllSessions,
  LAST_USED_GRAIN_MS,
  type LimitState,
  RACE_WINDOW_MS,
  type Refusal,
  type Stale,
} from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';
import { forgetDevices } from './known-devices.js';
import { count, loadStanding, raiseEpoch, trustedUser, type UserHash } from './shared.js';

export function checkToken(rows: Rows, keys: Keys, token: CheckToken): CheckResult {
  const { now } = rows;
  const { jti } = token;
  const standing = loadStanding(rows, keys, token);
  if ('status' in standing) return standing;
  const { s, u } = standing;

  if (token.type === 'refresh' && jti !== s.j) {
    // Good as far as a rotation would take it.
    const replayable = jti === s.p && (!s.n || now - Number(s.k) < RACE_WINDOW_MS);
    if (!replayable && token.issuedAtSeconds <= s.i) return { status: 'revoked' };
  }

  let limit: LimitState | undefined;
  if (token.limit) {
    const counted = count(u, token.limit, now);
    limit = counted.state;
    if (!counted.allowed) return { status: 'limited', limit };
  }

  // An access token shares the first twelve digits of its jti with the refresh token it was issued with.
  if (s.p && !s.n && jti.slice(0, 12) === s.j.slice(0, 12)) s.n = 1;
  if (now - s.l >= LAST_USED_GRAIN_MS) s.l = now;

  const user = trustedUser(s, u, now);
  if (!user) return { status: 'stale', limit, generation: String(u.g), authVersion: s.a };
  if (user.authVersion > s.a) return { status: 'ended', reason: user.authReason ?? 'unknown' };
  return { status: 'ok', user, limit };
}

export function endAllSessions(
  rows: Rows,
  keys: Keys,
  e: EndAllSessions,
): { status: 'done' } | Stale | Refusal {
  if (e.caller) {
    const verdict = checkToken(rows, keys, { ...e.caller, userId: e.userId });
    if (verdict.status !== 'ok') return verdict;
  }
  const user = rows.load<UserHash>(keys.user(e.userId));
  if (user.value) raiseEpoch(user.value, e.reason);
  forgetDevices(rows, keys, e.userId);
  return { status: 'done' };
}
