import { createHash } from 'node:crypto';
import type { Identifier } from '../../accounts/identifiers.js';
import type { HashCost } from '../../accounts/password-scheme.js';
import { type Fields, type Row, readId, readTime } from './dump.js';
import type { Note } from './roles.js';

/** An account as it is written. */
export interface ImportedAccount {
  legacyId: number;
  id: string;
  email: Identifier | null;
  username: Identifier | null;
  /** E.164. */
  phone: string | null;
  passwordHash: string | null;
  firstName: string;
  lastName: string;
  userType: string | null;
  role: string;
  isStaff: boolean;
  isSuperuser: boolean;
  isActive: boolean;
  emailVerified: boolean;
  phoneVerified: boolean;
  dateJoined: number;
  lastLogin: number | null;
}

/** What can be read from a field of another name; `user` is whom a profile is of. */
export const MAPPABLE = [
  'user',
  'email',
  'username',
  'phone',
  'password',
  'first_name',
  'last_name',
  'user_type',
  'role',
  'is_staff',
  'is_superuser',
  'is_active',
  'date_joined',
  'last_login',
] as const;
export type Mappable = (typeof MAPPABLE)[number];

/** Whether what accounts are reached by counts as proved: for all, for none, or as a field of theirs says. */
export type VerifiedRule = 'all' | 'none' | { field: string };

export interface AccountReaderNeeds {
  map: ReadonlyMap<Mappable, string>;
  verifiedEmail: VerifiedRule;
  verifiedPhone: VerifiedRule;
  now: number;
  readEmail(raw: string): Identifier | undefined;
  readUsername(raw: string): Identifier | undefined;
  readName(raw: string): string | undefined;
  /** From a number as it stands there to E.164. */
  readPhone(raw: string): string | undefined;
  readHash(stored: string): HashCost | undefined;
  roleFor(fields: Fields, title: string | undefined, note: Note): string;
}

/** Where else a project may have put it. */
const ALSO: Partial<Record<Mappable, readonly string[]>> = { phone: ['phone_number', 'mobile'] };

/** What belongs to an account and stands elsewhere in the file. */
export interface Beside {
  /** The fields of its profiles. */
  profile: Fields | undefined;
  /** Keys of addresses that django-allauth has confirmed. */
  confirmed: ReadonlySet<string> | undefined;
}

/** A row that cannot become an account; the text holds nothing of it. */
export class RowFault extends Error {
  override name = 'RowFault';
}

/** From a row of the user model to an account, or a `RowFault`. */
export function createAccountReader(needs: AccountReaderNeeds) {
  const { map, now } = needs;

  function valuesOf(name: Mappable, fields: Fields, { profile = {} }: Beside): unknown[] {
    const mapped = map.get(name);
    const places = mapped ? [mapped] : [name, ...(ALSO[name] ?? [])];
    return places.map((place) => (Object.hasOwn(fields, place) ? fields[place] : profile[place]));
  }

  const fieldOf = (name: Mappable, fields: Fields, beside: Beside): unknown =>
    valuesOf(name, fields, beside).find((value) => value !== undefined && value !== null && value !== '');

  return function readAccount({ pk, fields }: Row, beside: Beside, note: Note): ImportedAccount {
    const legacyId = readId(pk);
    if (legacyId === undefined) throw new RowFault('its primary key is no whole number above zero');
    const text = (name: Mappable): string | undefined => {
      const value = fieldOf(name, fields, beside);
      if (value === undefined) return undefined;
      if (typeof value !== 'string') throw new RowFault(`${name} is no text`);
      return value;
    };
    const flag = (name: Mappable, otherwise: boolean): boolean => {
      // In Django a flag that is null is as good as false: `is_active` too.
      const isNull = valuesOf(name, fields, beside).includes(null);
      const value = fieldOf(name, fields, beside) ?? (isNull ? false : otherwise);
      if (typeof value !== 'boolean') throw new RowFault(`${name} is neither true nor false`);
      return value;
    };
    const time = (name: Mappable): number | undefined => {
      const value = fieldOf(name, fields, beside);
      const read = readTime(value);
      if (value !== undefined && read === undefined) throw new RowFault(`${name} is no time`);
      return read;
    };

    const dateJoined = time('date_joined') ?? time('last_login') ?? now;
    const identifiers = readIdentifiers(text, note);
    const isProved = (rule: VerifiedRule): boolean =>
      typeof rule === 'string'
        ? rule === 'all'
        : (fields[rule.field] ?? beside.profile?.[rule.field]) === true;
    const { email, phone } = identifiers;
    return {
      legacyId,
      id: importedId(legacyId, dateJoined),
      ...identifiers,
      passwordHash: readPassword(text('password')),
      firstName: readTidyName(text('first_name'), note),
      lastName: readTidyName(text('last_name'), note),
      userType: readLabel(text('user_type'), 'user_type') ?? null,
      role: needs.roleFor(fields, readLabel(text('role'), 'role'), note),
      isStaff: flag('is_staff', false),
      isSuperuser: flag('is_superuser', false),
      isActive: flag('is_active', true),
      emailVerified: email !== null && (isProved(needs.verifiedEmail) || !!beside.confirmed?.has(email.key)),
      phoneVerified: phone !== null && isProved(needs.verifiedPhone),
      dateJoined,
      lastLogin: time('last_login') ?? null,
    };
  };

  /**
   * Projects put addresses and numbers into the username: there they are what they are here. An account goes without one
   * that cannot be kept, as long as another is left to sign in by.
   */
  function readIdentifiers(text: (name: Mappable) => string | undefined, note: Note) {
    const [rawEmail, rawUsername, rawPhone] = [text('email'), text('username'), text('phone')];
    let email = rawEmail === undefined ? undefined : needs.readEmail(rawEmail);
    let phone = rawPhone === undefined ? undefined : needs.readPhone(rawPhone);
    const username = rawUsername === undefined ? undefined : needs.readUsername(rawUsername);
    if (rawUsername !== undefined && !username) {
      const asEmail = needs.readEmail(rawUsername);
      const asPhone = asEmail ? undefined : needs.readPhone(rawUsername);
      if (rawEmail === undefined) email ??= asEmail;
      if (rawPhone === undefined) phone ??= asPhone;
      const isKept = (asEmail && asEmail.key === email?.key) || (asPhone && asPhone === phone);
      if (!isKept) note('without its username, which no account here may have');
    }
    if (!email && !username && !phone) throw new RowFault('nothing is left that anybody could sign in by');
    if (rawEmail !== undefined && !email) note('without its e-mail address, which is none');
    if (rawPhone !== undefined && !phone) note('without its phone number, which is none');
    return { email: email ?? null, username: username ?? null, phone: phone ?? null };
  }

  /** An unusable password is none: Django marks it with an exclamation mark. */
  function readPassword(stored: string | undefined): string | null {
    if (stored === undefined || stored.startsWith('!')) return null;
    if (!needs.readHash(stored)) {
      throw new RowFault(
        'its password hash is of no kind that is known here, malformed, or too dear to check',
      );
    }
    return stored;
  }

  function readTidyName(raw: string | undefined, note: Note): string {
    if (raw === undefined) return '';
    const name = needs.readName(raw);
    if (name !== undefined) return name;
    note('with a name that was tidied');
    const clean = raw.replace(/[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]+/gu, ' ');
    return needs.readName([...clean.normalize('NFC').trim()].slice(0, 150).join('')) ?? '';
  }
}

function readLabel(value: string | undefined, field: string): string | undefined {
  if (value === undefined) return undefined;
  if (value.length > 64 || /[\p{Cc}\p{Cs}]/u.test(value))
    throw new RowFault(`${field} is too long, or not text`);
  return value;
}

/**
 * The id of an imported account: a UUIDv7 (RFC 9562 §5.7) of when its owner joined, whose random part follows from the
 * old number. So a second import knows its accounts again, whatever became of them meanwhile.
 */
function importedId(legacyId: number, dateJoined: number): string {
  const bytes = createHash('sha256').update(`latchkey import django ${legacyId}`).digest().subarray(0, 16);
  bytes.writeUIntBE(Math.max(0, dateJoined), 0, 6);
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [8, 12, 16, 20].reduceRight((text, at) => `${text.slice(0, at)}-${text.slice(at)}`, hex);
}

/** Whether the account came from the row of this number. */
export const isImported = (id: string, legacyId: number): boolean =>
  id.slice(14) === importedId(legacyId, 0).slice(14);
