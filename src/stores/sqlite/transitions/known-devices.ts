import { DEVICE_LIFETIME_MS, DEVICES_KEPT } from '../../../security/login-store.js';
import type { Keys } from '../../keys.js';
import type { Row, Rows } from '../rows.js';

/** What the numbers mean is said in `redis/scripts/devices.ts`. */
export interface Device {
  l: number;
  s: 0 | 1;
  c: number;
  x: number;
  n: number;
  t: number;
}

type Devices = Record<string, Device>;

const isKept = ({ l }: Device, now: number): boolean => l + DEVICE_LIFETIME_MS > now;

/** The device, unless it is unknown or was away for too long. What is changed in it is written. */
export function readDevice(
  rows: Rows,
  keys: Keys,
  userId: string,
  deviceId: string | undefined,
): Device | undefined {
  if (deviceId === undefined) return undefined;
  const device = rows.load<Devices>(keys.devices(userId)).value?.[deviceId];
  return device && isKept(device, rows.now) ? device : undefined;
}

/** When each of them last logged in, the latest first. */
export function listDevices(rows: Rows, keys: Keys, userId: string): number[] {
  const devices = Object.values(rows.load<Devices>(keys.devices(userId)).value ?? {});
  return devices
    .filter((device) => isKept(device, rows.now))
    .map(({ l }) => l)
    .sort((a, b) => b - a);
}

/** After a login from it. */
export function rememberDevice(rows: Rows, keys: Keys, userId: string, deviceId: string): void {
  const { now } = rows;
  const row = rows.load<Devices>(keys.devices(userId));
  const device = readDevice(rows, keys, userId, deviceId);
  if (device) {
    Object.assign(device, { l: now, s: 1, n: 0, t: 0 });
  } else {
    makeRoom(row, now);
    row.value = { ...row.value, [deviceId]: { l: now, s: 0, c: 0, x: 0, n: 0, t: 0 } };
  }
  row.expiresAt = now + DEVICE_LIFETIME_MS;
}

/** For one more. Whoever never came back goes first: see `redis/scripts/devices.ts`. */
function makeRoom(row: Row<Devices>, now: number): void {
  const kept = Object.entries(row.value ?? {})
    .filter(([, device]) => isKept(device, now))
    .sort(([, a], [, b]) => b.s - a.s || b.l - a.l)
    .slice(0, DEVICES_KEPT - 1);
  row.value = Object.fromEntries(kept);
}

/** Whatever ends all sessions of a user ends these as well. */
export function forgetDevices(rows: Rows, keys: Keys, userId: string): void {
  rows.load<Devices>(keys.devices(userId)).value = undefined;
}
