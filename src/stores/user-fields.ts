import type { EndReason, User } from '../accounts/user.js';

/** Between the values of a text: ASCII's unit separator. None holds it: names with control characters are refused. */
export const SEPARATOR = '\x1f';

const ACTIVE = 1;
const STAFF = 2;
const SUPERUSER = 4;
const EMAIL_VERIFIED = 8;
const PHONE_VERIFIED = 16;

/**
 * A user's snapshot, for the state store's scripts: version, auth version and auth reason, by which they judge, and all
 * of it as one text, which they only keep and hand out. No JSON, which they would not know how to take apart. An absent
 * value is the empty string, which none of the nullable columns can hold.
 */
export function encodeUser(user: User): [version: string, authVersion: string, reason: string, text: string] {
  const flags =
    (user.isActive ? ACTIVE : 0) |
    (user.isStaff ? STAFF : 0) |
    (user.isSuperuser ? SUPERUSER : 0) |
    (user.emailVerified ? EMAIL_VERIFIED : 0) |
    (user.phoneVerified ? PHONE_VERIFIED : 0);
  const [version, authVersion, reason] = [
    String(user.version),
    String(user.authVersion),
    user.authReason ?? '',
  ];
  const text = [
    version,
    authVersion,
    reason,
    String(user.legacyId),
    user.email ?? '',
    user.username ?? '',
    user.phone ?? '',
    user.firstName,
    user.lastName,
    user.userType ?? '',
    user.role,
    String(flags),
    String(user.dateJoined),
    user.lastLogin === null ? '' : String(user.lastLogin),
  ].join(SEPARATOR);
  return [version, authVersion, reason, text];
}

/** The user of a snapshot's text, taken apart: its values stand from `offset` on. */
export function decodeUser(id: string, values: readonly string[], offset = 0): User {
  const at = (index: number): string => values[offset + index] as string;
  const flags = Number(at(11));
  return {
    id,
    version: Number(at(0)),
    authVersion: Number(at(1)),
    authReason: (at(2) || null) as EndReason | null,
    legacyId: Number(at(3)),
    email: at(4) || null,
    username: at(5) || null,
    phone: at(6) || null,
    firstName: at(7),
    lastName: at(8),
    userType: at(9) || null,
    role: at(10),
    isActive: (flags & ACTIVE) !== 0,
    isStaff: (flags & STAFF) !== 0,
    isSuperuser: (flags & SUPERUSER) !== 0,
    emailVerified: (flags & EMAIL_VERIFIED) !== 0,
    phoneVerified: (flags & PHONE_VERIFIED) !== 0,
    dateJoined: Number(at(12)),
    lastLogin: at(13) === '' ? null : Number(at(13)),
  };
}
