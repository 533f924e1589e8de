import type { EndReason, User } from '../accounts/user.js';

/**
 * A user as the fields of a hash: short names and no JSON, so that Redis keeps the whole hash in one compact
 * listpack. An absent value is the empty string, which none of the nullable columns can hold.
 */
export const USER_FIELDS = [
  'v', // version
  'a', // authVersion
  'ar', // authReason
  'li', // legacyId
  'em', // email
  'un', // username
  'ph', // phone
  'fn', // firstName
  'ln', // lastName
  'ut', // userType
  'ro', // role
  'fl', // flags
  'dj', // dateJoined
  'll', // lastLogin
] as const;

const ACTIVE = 1;
const STAFF = 2;
const SUPERUSER = 4;
const EMAIL_VERIFIED = 8;
const PHONE_VERIFIED = 16;

export function encodeUser(user: User): string[] {
  const flags =
    (user.isActive ? ACTIVE : 0) |
    (user.isStaff ? STAFF : 0) |
    (user.isSuperuser ? SUPERUSER : 0) |
    (user.emailVerified ? EMAIL_VERIFIED : 0) |
    (user.phoneVerified ? PHONE_VERIFIED : 0);
  return [
    String(user.version),
    String(user.authVersion),
    user.authReason ?? '',
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
  ];
}

/** The inverse of `encodeUser`, reading from `offset` on. */
export function decodeUser(id: string, fields: readonly string[], offset = 0): User {
  const at = (index: number): string => fields[offset + index] as string;
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
