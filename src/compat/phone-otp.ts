import { Type } from 'typebox';
import type { SignedIn } from '../accounts/account-service.js';
import type { User } from '../accounts/user.js';
import { type Locale, MESSAGES, pickLocale } from '../contract/messages.js';
import { OTP_PURPOSES, type OtpPurpose } from '../contract/otp.js';
import type { AuthError } from '../errors.js';
import { toIso } from '../lib/clock.js';
import { Tokens } from './pycoder.js';
import { filled, orNull, text } from './text-schemas.js';
import { type Answer, type Asked, InvalidFields, MethodNotAllowed, type Wording } from './wording.js';

/** The phone OTP system: everything in an envelope, in Persian unless the caller asks for English. */

const Phone = filled({ description: 'A mobile number in any spelling.' });
const Otp = filled({ description: 'The code that was sent; Persian and Arabic digits will do.' });

export const SendOtpBody = Type.Object(
  { phone: Phone, purpose: filled({ enum: [...OTP_PURPOSES] }) },
  { examples: [{ phone: '09123456789', purpose: 'register' }] },
);

export const RegisterBody = Type.Object(
  {
    phone: Phone,
    otp: Otp,
    first_name: Type.Optional(text()),
    last_name: Type.Optional(text()),
  },
  { examples: [{ phone: '09123456789', otp: '123456', first_name: 'John', last_name: 'Doe' }] },
);

export const LoginBody = Type.Object(
  { phone: Phone, otp: Otp },
  { examples: [{ phone: '09123456789', otp: '123456' }] },
);

export const LogoutBody = Type.Object({ refresh: filled({ examples: ['eyJhbGciOiJIUzI1NiIsInR5cCI6…'] }) });

export const ProfileBody = Type.Object(
  {
    first_name: Type.Optional(text()),
    last_name: Type.Optional(text()),
    username: Type.Optional(filled()),
    user_type: Type.Optional(filled()),
  },
  { examples: [{ first_name: 'John', last_name: 'Doe' }] },
);

const Person = Type.Object(
  {
    id: Type.Integer({ description: "The account's `legacy_id`." }),
    phone: orNull(text({ description: 'National (`09…`) when it is Iranian, else E.164.' })),
    email: orNull(text()),
    first_name: text(),
    last_name: text(),
    is_staff: Type.Boolean(),
    date_joined: text({ format: 'date-time' }),
  },
  {
    additionalProperties: false,
    examples: [
      {
        id: 1,
        phone: '09123456789',
        email: null,
        first_name: 'John',
        last_name: 'Doe',
        is_staff: false,
        date_joined: '2026-01-05T10:00:00Z',
      },
    ],
  },
);

const envelopeOf = <Data extends Type.TObject>(data: Data) =>
  Type.Object(
    { success: Type.Literal(true), message: text({ description: 'For people.' }), data },
    { additionalProperties: false },
  );

const closed = <Fields extends Type.TProperties>(fields: Fields) =>
  Type.Object(fields, { additionalProperties: false });

export const Sent = envelopeOf(
  closed({
    expires_in: Type.Integer({ description: 'Seconds until the code expires.' }),
    resend_in: Type.Integer({ description: 'Seconds until another may be asked for.' }),
  }),
);
export const SignedInBody = envelopeOf(closed({ user: Person, tokens: Tokens }));
export const ProfileEnvelope = envelopeOf(closed({ user: Person }));
export const EmptyEnvelope = envelopeOf(closed({}));

/** @throws InvalidFields */
export function readPurpose(purpose: string): OtpPurpose {
  const known = OTP_PURPOSES.find((each) => each === purpose);
  if (!known) throw new InvalidFields({ purpose: [`"${purpose}" is not a valid choice.`] });
  return known;
}

export const describePerson = (user: User) => ({
  id: user.legacyId,
  phone: user.phone && writeNationally(user.phone),
  email: user.email,
  first_name: user.firstName,
  last_name: user.lastName,
  is_staff: user.isStaff,
  date_joined: toIso(user.dateJoined),
});

const writeNationally = (e164: string): string => e164.replace(/^\+98(?=9\d{9}$)/, '0');

export const describeSignedIn = ({ user, pair }: SignedIn) => ({
  user: describePerson(user),
  tokens: { access: pair.access, refresh: pair.refresh },
});

const DONE = {
  sent: {
    fa: 'اگر این شماره بتواند از کد استفاده کند، کد برایش ارسال می‌شود.',
    en: 'If this number can use a code, it is on its way.',
  },
  registered: { fa: 'ثبت‌نام با موفقیت انجام شد.', en: 'You are registered.' },
  loggedIn: { fa: 'ورود با موفقیت انجام شد.', en: 'You are logged in.' },
  loggedOut: { fa: 'با موفقیت خارج شدید.', en: 'You are logged out.' },
  loggedOutEverywhere: { fa: 'از همه دستگاه‌ها خارج شدید.', en: 'You are logged out on every device.' },
  profile: { fa: 'اطلاعات کاربر دریافت شد.', en: 'Your profile.' },
  profileChanged: { fa: 'اطلاعات کاربر به‌روزرسانی شد.', en: 'Your profile has been updated.' },
} as const satisfies Record<string, Record<Locale, string>>;

export const succeed = <Data extends object>(done: keyof typeof DONE, locale: Locale, data: Data) => ({
  success: true as const,
  message: DONE[done][locale],
  data,
});

/** Of routes that take a token, or none, in the body. */
export const describeInEnvelope: Wording = (error, asked) => {
  const refresh = (asked.body as { refresh?: unknown } | null | undefined)?.refresh;
  return describe(error, asked, typeof refresh === 'string' ? refresh : '');
};

/** Of routes that ask for a bearer token. */
export const describeBearerInEnvelope: Wording = (error, asked) =>
  describe(error, asked, (asked.authorization ?? '').replace(/^\S+\s*/, ''));

function describe(error: AuthError, asked: Asked, token: string): Answer {
  const status = statusOf(error, asked, token);
  const locale = pickLocale(asked.acceptLanguage, LOCALE);
  const message = describeFailure(error, status, locale);
  return { status, body: { success: false, message, data: {} }, locale };
}

function describeFailure(error: AuthError, status: number, locale: Locale): string {
  if (error instanceof MethodNotAllowed) return METHOD_NOT_ALLOWED[locale];
  return status === 401 ? AUTHENTICATION_FAILED[locale] : MESSAGES[locale][error.code].detail;
}

/** 403 is for tokens that were revoked, 400 for what is no token at all; what is taken is a fault of the form. */
function statusOf(error: AuthError, { status }: Asked, token: string): number {
  if (error instanceof MethodNotAllowed) return 405;
  switch (error.code) {
    case 'token_revoked':
    case 'token_reused':
    case 'session_ended':
      return 403;
    case 'token_invalid':
      return looksLikeJwt(token) ? 401 : 400;
    case 'invalid_credentials':
      return 400;
    default:
      return status === 409 ? 400 : status;
  }
}

/** The language of those who have no preference. */
export const LOCALE: Locale = 'fa';

const AUTHENTICATION_FAILED: Record<Locale, string> = {
  fa: 'خطا در احراز هویت',
  en: 'Authentication failed.',
};

const METHOD_NOT_ALLOWED: Record<Locale, string> = {
  fa: 'این روش درخواست برای این نشانی مجاز نیست.',
  en: 'This method is not allowed here.',
};

/** RFC 7519 §7.2, as far as it can be told without a key: three parts, of which the first two are JSON objects. */
function looksLikeJwt(token: string): boolean {
  const [header, payload, signature, ...more] = token.split('.');
  return more.length === 0 && [header, payload].every(isJsonPart) && /^[\w-]+$/.test(signature ?? '');
}

function isJsonPart(part = ''): boolean {
  if (!/^[\w-]+$/.test(part)) return false;
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
