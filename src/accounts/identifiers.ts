import { domainToASCII } from 'node:url';

/** An identifier as its owner wrote it, and the form that two spellings of it share. */
export interface Identifier {
  display: string;
  /** What to store under a unique index and to look up by. */
  key: string;
}

// RFC 5321 §4.5.3.1 with RFC 3696 erratum 1690; octets of UTF-8.
const EMAIL_MAX_OCTETS = 254;
const LOCAL_PART_MAX_OCTETS = 64;

const USERNAME_MAX_LENGTH = 150;
const NAME_MAX_LENGTH = 150;

// RFC 5322 §3.2.3 dot-atom, with the letters of RFC 6531. No dot in the class, so that matching is linear.
const LOCAL_PART = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u;
const DOMAIN_CHARACTERS = /^[\p{L}\p{M}\p{Nd}.-]+$/u;
const DOMAIN_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** An address that is its own key, as most are typed: nothing in it to fold, to map or to hide. */
const PLAIN_ADDRESS =
  /^[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/;

/** Letters and marks that show nothing (Hangul filler, variation selectors): two names would look alike. */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}/u;

/** Django's `UnicodeUsernameValidator` without its `@`. */
const USERNAME = /^[\p{L}\p{N}_.+-]+$/u;

/** Control characters and broken surrogates, which no store keeps, and what reorders the text of a page. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;

/**
 * Reads an e-mail address, or gives `undefined` when it is none. Only unquoted local parts and full domain
 * names; internationalised ones are fine (RFC 6531, UTS 46).
 *
 * Two addresses may share a key without being one mailbox, so mail goes to the stored `display`, never to
 * what was typed (Django's CVE-2019-19844).
 */
export function normalizeEmail(raw: string): Identifier | undefined {
  if (isPlainAddress(raw)) return { display: raw, key: raw };
  // An address ends up in mail headers: a line break is never an accident worth repairing.
  if (/[\r\n]/.test(raw)) return undefined;
  const address = readAddress(raw.trim().normalize('NFC'));
  if (!address) return undefined;

  // Compatibility forms may turn into dots, spaces or more octets, so the key must be an address by itself.
  const folded = readAddress(`${foldCase(address.local)}@${address.asciiDomain}`);
  if (!folded) return undefined;
  return {
    display: `${address.local}@${address.domain}`,
    key: `${folded.local}@${folded.asciiDomain}`,
  };
}

/** Unicode's tables cost a login more than its statement does. Two hyphens may be Punycode, which is to be checked. */
const isPlainAddress = (raw: string): boolean =>
  raw.length <= EMAIL_MAX_OCTETS &&
  raw.indexOf('@') <= LOCAL_PART_MAX_OCTETS &&
  !raw.includes('--') &&
  PLAIN_ADDRESS.test(raw);

function readAddress(text: string): { local: string; domain: string; asciiDomain: string } | undefined {
  if (Buffer.byteLength(text) > EMAIL_MAX_OCTETS || INVISIBLE.test(text)) return undefined;
  const [local, domain, ...rest] = text.split('@');
  if (local === undefined || domain === undefined || rest.length > 0) return undefined;
  if (Buffer.byteLength(local) > LOCAL_PART_MAX_OCTETS || !LOCAL_PART.test(local)) return undefined;

  const asciiDomain = readDomain(domain);
  return asciiDomain ? { local, domain: domain.toLowerCase(), asciiDomain } : undefined;
}

/** The domain in ASCII, so that `bücher.de` and `xn--bcher-kva.de` are one. */
function readDomain(domain: string): string | undefined {
  if (!DOMAIN_CHARACTERS.test(domain)) return undefined;
  const ascii = domainToASCII(domain);
  const labels = ascii.split('.');
  if (labels.length < 2 || !labels.every((label) => DOMAIN_LABEL.test(label))) return undefined;
  // RFC 3696 §2: no top-level domain is all digits, but an IPv4 address ends like that.
  return /^\d+$/.test(labels.at(-1)!) ? undefined : ascii;
}

/**
 * Reads a username, or gives `undefined`: 1 to 150 Unicode letters, digits and `_ . + -`. One that reads as
 * a phone number is refused, in any script's digits, because a login by phone must not meet it.
 */
export function normalizeUsername(raw: string): Identifier | undefined {
  const display = raw.normalize('NFKC');
  if (!USERNAME.test(display) || INVISIBLE.test(display)) return undefined;
  if (readsAsPhone(display)) return undefined;
  // Folding makes some letters two, and the key has a column as long as the name's.
  const key = foldCase(display);
  if (Math.max(countCharacters(display), countCharacters(key)) > USERNAME_MAX_LENGTH) return undefined;
  return { display, key };
}

function readsAsPhone(username: string): boolean {
  return /^\p{Nd}{5,}$/u.test(username.replace(/[+.-]/g, ''));
}

/**
 * Tidies a first or last name: NFC, single spaces, nothing around it. The zero-width non-joiner stays,
 * because Persian is spelled with it. A blank name is the empty string.
 *
 * @returns `undefined` for more than 150 characters, control characters and bidirectional overrides.
 */
export function normalizeName(raw: string): string | undefined {
  if (UNPRINTABLE.test(raw)) return undefined;
  const name = raw.normalize('NFC').trim().replace(/\s+/g, ' ');
  return countCharacters(name) > NAME_MAX_LENGTH ? undefined : name;
}

/** Lowercasing can undo a normal form, hence the second pass: the key of a key is that key. */
function foldCase(text: string): string {
  return text.normalize('NFKC').toLowerCase().normalize('NFKC');
}

function countCharacters(text: string): number {
  return [...text].length;
}
