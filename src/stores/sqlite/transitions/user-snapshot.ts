import type { User } from '../../../accounts/user.js';
import { FENCE_MS, type PublishUser } from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';
import { forgetDevices } from './known-devices.js';
import { isFenced, keep, newUser, raiseEpoch, type UserHash, writeUser } from './shared.js';

export function fenceUser(
  rows: Rows,
  keys: Keys,
  { userId, fenceId }: { userId: string; fenceId: string },
): number | undefined {
  const { now } = rows;
  const user = rows.load<UserHash>(keys.user(userId));
  user.value ??= newUser(now);
  const u = user.value;
  const deadline = now + FENCE_MS;
  u.f = u.f.filter((fence) => fence.id !== fenceId && fence.deadline > now);
  u.f.push({ id: fenceId, deadline });
  u.g += 1;
  const lastLogin = u.user?.lastLogin ?? undefined;
  delete u.user;
  keep(user, deadline);
  return lastLogin;
}

export function publishUser(rows: Rows, keys: Keys, p: PublishUser): void {
  const u = rows.load<UserHash>(keys.user(p.userId)).value;
  if (!u) return;
  if (u.f.some(({ id }) => id === p.fenceId)) {
    u.f = u.f.filter(({ id }) => id !== p.fenceId);
    u.g += 1;
    if (p.endSessions) {
      raiseEpoch(u, p.endSessions);
      forgetDevices(rows, keys, p.userId);
    }
  }
  if (!p.user) {
    forgetDevices(rows, keys, p.userId);
    delete u.user;
    u.d = 1;
  } else if (u.f.length > 0) {
    if (p.user.version <= u.v) return;
    delete u.user;
    u.v = p.user.version;
  } else if (!u.d) {
    writeUser(u, p.user);
  }
}

export function cacheUser(
  rows: Rows,
  keys: Keys,
  { user, generation }: { user: User; generation: string },
): void {
  const u = rows.load<UserHash>(keys.user(user.id)).value;
  if (!u || String(u.g) !== generation || u.d || isFenced(u, rows.now)) return;
  writeUser(u, user);
}
