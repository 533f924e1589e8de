import { createHmac, randomInt } from 'node:crypto';
import type { OtpPurpose } from '../contract/otp.js';

/** Digits drawn evenly by the system's generator. */
export const makeCode = (length: number): string => String(randomInt(10 ** length)).padStart(length, '0');

/** Arabic-Indic and Persian digits; the last four bits of each are its value. NFKC makes full-width ones plain. */
const ARABIC_DIGIT = /[\u0660-\u0669\u06f0-\u06f9]/g;

/** What comes along when a code is copied out of a message, or is typed in groups. */
const BETWEEN = /[\s\p{Pd}\p{Default_Ignorable_Code_Point}]/gu;

/** A code as it was typed, in the digits it was made of; `undefined` when it cannot be one of that length. */
export function readCode(raw: string, length: number): string | undefined {
  const digits = raw
    .normalize('NFKC')
    .replace(BETWEEN, '')
    .replace(ARABIC_DIGIT, (digit) => String(digit.charCodeAt(0) & 0xf));
  return digits.length === length && /^\d+$/.test(digits) ? digits : undefined;
}

export interface Challenge {
  purpose: OtpPurpose;
  /** E.164. */
  phone: string;
  code: string;
}

/**
 * What the store keeps of a code. Plain hashes of six digits are found by trying them all, so it is keyed; what it is
 * for and whose number it went to are in it, so that one challenge's hash is worth nothing in another's place.
 */
export const hashCode = (secret: Buffer, { purpose, phone, code }: Challenge): string =>
  createHmac('sha256', secret).update(`${purpose}|${phone}|${code}`).digest('base64url');
