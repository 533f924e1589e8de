import { createHash } from 'node:crypto';
import { type CountryCode, isSupportedCountry, parsePhoneNumberFromString } from 'libphonenumber-js/core';
import metadata from 'libphonenumber-js/mobile/metadata';

/** A number that a text message may reach. */
export interface PhoneNumber {
  /** The one spelling that is stored, counted by and sent to. */
  e164: string;
  /** ISO 3166 alpha-2, or `001` for numbers of no country (ITU-T E.164 §6: satellites and global networks). */
  country: string;
}

/** What somebody types is far shorter; nothing longer is looked at. */
const MAX_LENGTH = 64;

/** Zero-width characters and bidirectional marks: they come along when a number is copied out of a page. */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}/gu;

/** Arabic-Indic and Persian digits. The last four bits of each are its value. */
const ARABIC_DIGIT = /[\u0660-\u0669\u06f0-\u06f9]/g;

/** Spaces, any dash or minus, dots and brackets. No comma, semicolon or slash: those stand between two numbers. */
const SEPARATOR = /[\p{Zs}\p{Pd}\u2212.()[\]]/gu;

/** E.164 has at most 15 digits; before them an international prefix may stand in place of the plus sign. */
const DIALLED = /^\+?\d{4,20}$/;

/**
 * Reads a number as it was typed, nationally in `region` or internationally, or gives `undefined` when no text
 * message can be sent there: a landline where mobile numbers can be told from landlines, a service or premium
 * number, one with an extension, two at once, no number at all.
 *
 * The metadata is the library's set of mobile numbers: a third smaller than the full one, and as its other types
 * are not in it, the type decides, never `isValid()` alone (which holds for the toll-free +800 too).
 */
export function readPhoneNumber(raw: string, region: string): PhoneNumber | undefined {
  const dialled = readDialled(raw);
  if (dialled === undefined) return undefined;
  const options = { defaultCountry: region as CountryCode, extract: false };
  const number = parsePhoneNumberFromString(dialled, options, metadata);
  if (!number?.isValid() || !RECEIVING.has(number.getType())) return undefined;
  const country = number.country ?? (number.isNonGeographic() ? '001' : undefined);
  return country && { e164: number.number, country };
}

/** In North America and a few more places a number does not tell which of the two it is. */
const RECEIVING = new Set<string | undefined>(['MOBILE', 'FIXED_LINE_OR_MOBILE']);

/** Whether the library knows this country: as the region of national numbers, or to allow or refuse. */
export const isPhoneRegion = (code: string): boolean => isSupportedCountry(code as CountryCode, metadata);

/** The digits alone, after the plus sign if there is one. */
function readDialled(raw: string): string | undefined {
  if (raw.length > MAX_LENGTH) return undefined;
  const dialled = raw
    // Full-width digits, signs and spaces become plain ones.
    .normalize('NFKC')
    .trim()
    .replace(INVISIBLE, '')
    .replace(ARABIC_DIGIT, (digit) => String(digit.charCodeAt(0) & 0xf))
    .replace(SEPARATOR, '');
  return DIALLED.test(dialled) ? dialled : undefined;
}

/** What store keys know a number by: a key that is seen in passing tells nobody's number. */
export const fingerprintOfNumber = (e164: string): string =>
  createHash('sha256').update(`phone:${e164}`).digest('base64url').slice(0, 22);
