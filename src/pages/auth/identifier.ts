import type { Credentials } from '../../client/auth-client.js';

/** `۰۹۱۲` and `٠٩١٢` are `0912`. */
const toLatinDigits = (text: string): string =>
  text.replace(/[۰-۹٠-٩]/g, (digit) => String((digit.charCodeAt(0) - (digit >= '۰' ? 0x6f0 : 0x660)) % 10));

/** Which of an account's names this is: only addresses have an `@`, and no username reads as a number. */
export function readIdentifier(typed: string): Pick<Credentials, 'email' | 'phone' | 'username'> {
  const text = typed.trim();
  if (text.includes('@')) return { email: text };
  const isNumber = /^\+?\d{6,}$/.test(toLatinDigits(text).replace(/[\s()./-]/g, ''));
  return isNumber ? { phone: text } : { username: text };
}
