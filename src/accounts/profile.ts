import type { FieldCode } from '../contract/codes.js';
import type { FieldFault } from '../errors.js';
import type { Profile } from './account-store.js';
import { type Identifier, normalizeName, normalizeUsername } from './identifiers.js';

/** What people say of themselves, as they typed it. */
export interface ProfileChange {
  firstName?: string | undefined;
  lastName?: string | undefined;
  username?: string | undefined;
  userType?: string | undefined;
}

/** Reads what is there; what cannot be accepted goes to `faults`. */
export function readProfile(
  input: ProfileChange,
  { userTypes }: { userTypes: readonly string[] },
  faults: FieldFault[],
): Profile {
  const profile: Profile = {};
  const read = <T>(
    field: string,
    raw: string | undefined,
    parse: (raw: string) => T | undefined,
    code: FieldCode,
  ) => {
    if (raw === undefined) return undefined;
    const value = parse(raw);
    if (value === undefined) faults.push({ field, code });
    return value;
  };
  const username = read<Identifier>('username', input.username, normalizeUsername, 'invalid_format');
  const firstName = read('first_name', input.firstName, normalizeName, 'invalid_format');
  const lastName = read('last_name', input.lastName, normalizeName, 'invalid_format');
  const known = (type: string) => (userTypes.includes(type) ? type : undefined);
  const userType = read('user_type', input.userType, known, 'invalid_value');
  if (username) profile.username = username;
  if (firstName !== undefined) profile.firstName = firstName;
  if (lastName !== undefined) profile.lastName = lastName;
  if (userType !== undefined) profile.userType = userType;
  return profile;
}
