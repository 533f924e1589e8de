/** What the user is known by; a password equal to any of it is the first thing to be guessed. */
export interface OwnData {
  email?: string | null;
  username?: string | null;
  phone?: string | null;
  firstName?: string | null;
  lastName?: string | null;
}

/** Why a password was refused; `limit` is a number of characters. */
export interface PasswordFault {
  code: 'too_short' | 'too_long' | 'too_common' | 'own_data';
  limit?: number;
}

/** Bounds in Unicode code points, counted after normalisation (NIST SP 800-63B §5.1.1.2). */
export const PASSWORD_MIN_LENGTH = 8;
export const PASSWORD_MAX_LENGTH = 128;

/**
 * Gives the form of a password to hash and to compare: NFKC, so that the same password typed on another
 * keyboard is the same password (NIST SP 800-63B §5.1.1.2).
 */
export function normalizePassword(password: string): string {
  return password.normalize('NFKC');
}

/**
 * Says why a new password is refused, or `undefined` when it is fine. There are no composition rules, as NIST
 * SP 800-63B §5.1.1.2 asks. `blocklist: false` accepts common passwords, for demonstrations.
 */
export async function checkPassword(
  password: string,
  own: OwnData,
  options: { blocklist: boolean },
): Promise<PasswordFault | undefined> {
  const normalized = normalizePassword(password);
  const length = [...normalized].length;
  if (length < PASSWORD_MIN_LENGTH) return { code: 'too_short', limit: PASSWORD_MIN_LENGTH };
  if (length > PASSWORD_MAX_LENGTH) return { code: 'too_long', limit: PASSWORD_MAX_LENGTH };

  const folded = normalized.toLowerCase();
  if (isOwnData(folded, own)) return { code: 'own_data' };
  if (options.blocklist && (await isCommon(folded))) return { code: 'too_common' };
  return undefined;
}

function isOwnData(password: string, own: OwnData): boolean {
  const first = fold(own.firstName);
  const last = fold(own.lastName);
  const email = fold(own.email);
  const localPart = email.slice(0, Math.max(email.lastIndexOf('@'), 0));
  const pieces = [email, localPart, fold(own.username), first, last, first + last, `${first} ${last}`];
  return pieces.includes(password) || isOwnPhone(password, own.phone ?? '');
}

function fold(text: string | null | undefined): string {
  return normalizePassword(text ?? '').toLowerCase();
}

/** Numbers are compared from the right: `+98912…`, `0098912…`, `0912…` and `912…` are one number. */
function isOwnPhone(password: string, phone: string): boolean {
  const typed = readPhoneDigits(password);
  const known = readPhoneDigits(phone);
  if (typed.length < PASSWORD_MIN_LENGTH || known.length < PASSWORD_MIN_LENGTH) return false;
  return known.endsWith(typed) || typed.endsWith(known);
}

/** The digits of a text that reads as a phone number, without its leading zeros; empty for any other text. */
function readPhoneDigits(text: string): string {
  const digits = text
    .replace(/[\s().+-]/g, '')
    // Arabic-Indic and Persian digits: the low four bits are the value.
    .replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (digit) => String(digit.charCodeAt(0) & 0xf));
  return /^\d+$/.test(digits) ? digits.replace(/^0+/, '') : '';
}

async function isCommon(password: string): Promise<boolean> {
  return isDigitPattern(password) || (await loadBlocklist()).has(password);
}

/** `00000000`, `12121212`, `87654321`: very common, but left out of a list made for a matcher of patterns. */
function isDigitPattern(password: string): boolean {
  return (
    /^(\d{1,4})\1+$/.test(password) || '01234567890'.includes(password) || '09876543210'.includes(password)
  );
}

let blocklist: Promise<ReadonlySet<string>> | undefined;

/**
 * Loads the offline list of common passwords, once per process. Left to the first check, because a process
 * that only verifies tokens should not pay for it at its start; a server may call it early to warm up.
 */
export function loadBlocklist(): Promise<ReadonlySet<string>> {
  blocklist ??= readBlocklist();
  return blocklist;
}

async function readBlocklist(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common');
  // All in lower case already. Shorter ones are refused for their length.
  return new Set(dictionary['passwords-common'].filter((entry) => entry.length >= PASSWORD_MIN_LENGTH));
}
