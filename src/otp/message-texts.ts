import type { Locale } from '../contract/messages.js';
import type { OtpPurpose } from '../contract/otp.js';

/** What the code is, in the words of somebody who asked for it: whoever did not should wonder. */
const KIND: Record<Locale, Record<OtpPurpose, string>> = {
  en: {
    register: 'Your registration code',
    login: 'Your sign-in code',
    reset: 'Your password reset code',
    verify: 'Your confirmation code',
  },
  fa: {
    register: 'کد ثبت‌نام',
    login: 'کد ورود',
    reset: 'کد بازیابی رمز',
    verify: 'کد تأیید',
  },
};

const WARNING: Record<Locale, string> = {
  en: 'Never pass it on to anyone.',
  fa: 'به هیچ‌کس ندهید.',
};

export interface MessageContent {
  locale: Locale;
  purpose: OtpPurpose;
  code: string;
  /** Host name of the pages that ask for the code. */
  domain: string;
}

/**
 * The text of a message. Its last line binds the code to the site (WICG, Origin-bound one-time codes): browsers and
 * phones fill it in there and nowhere else, so a page that imitates ours gets nothing filled in.
 *
 * A part holds 160 characters of the GSM alphabet or 70 of UCS-2, which Persian needs: every further one costs again.
 */
export const writeMessage = ({ locale, purpose, code, domain }: MessageContent): string =>
  `${KIND[locale][purpose]}: ${code}\n${WARNING[locale]}\n\n@${domain} #${code}`;
