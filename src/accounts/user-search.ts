import { normalizeEmail } from './identifiers.js';
import type { SearchText, UserQuery } from './user-admin-store.js';

/** A search as it was typed. */
export interface UserSearch extends Omit<UserQuery, 'text'> {
  text?: string | undefined;
}

/** From a number as it was typed to E.164. */
export type ReadPhone = (raw: string) => string | undefined;

export const readSearch = ({ text, ...filters }: UserSearch, readPhone: ReadPhone): UserQuery => ({
  ...filters,
  text: text === undefined ? undefined : readText(text.trim(), readPhone),
});

/** Numbers are found by all of their digits in any spelling, or by the first ones of E.164. */
function readText(text: string, readPhone: ReadPhone): SearchText {
  const folded = text.normalize('NFKC').toLowerCase().normalize('NFKC');
  const digits = /^(?:\+|00)?([1-9]\d*)$/.exec(text.replace(/[\s-]/g, ''))?.[1];
  return {
    email: normalizeEmail(text)?.key ?? folded,
    username: folded,
    name: text.normalize('NFC').toLowerCase().replace(/\s+/g, ' '),
    phone: readPhone(text) ?? (digits && `+${digits}`),
  };
}
