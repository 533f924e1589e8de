import type { Code, FieldCode } from './codes.js';

/** The languages callers are answered in. */
export const LOCALES = ['en', 'fa'] as const;

export type Locale = (typeof LOCALES)[number];

/** What a caller reads about a failure: `title` and `detail` of RFC 9457. */
export interface Message {
  title: string;
  detail: string;
}

/** The text of every code. It never says more than the code does: not which half of a login was wrong. */
export const MESSAGES: Record<Locale, Record<Code, Message>> = {
  en: {
    invalid_request: {
      title: 'Invalid request',
      detail: 'Some of what was sent cannot be accepted. Correct it and try again.',
    },
    weak_password: {
      title: 'Unsuitable password',
      detail: 'This password cannot be used. Choose another one.',
    },
    password_mismatch: {
      title: 'Passwords differ',
      detail: 'The password and its repetition are not the same.',
    },
    invalid_phone: {
      title: 'Invalid phone number',
      detail: 'This is not a valid mobile number. Check it and try again.',
    },
    otp_invalid: {
      title: 'Wrong code',
      detail: 'The verification code is not right. Check it, or request a new one.',
    },
    otp_expired: {
      title: 'Expired code',
      detail: 'This verification code has expired. Request a new one.',
    },
    ticket_invalid: {
      title: 'Invalid link',
      detail: 'This link is not valid, has expired or was used before. Request a new one.',
    },
    invalid_credentials: {
      title: 'Invalid credentials',
      detail: 'The login details are not right. Check them and try again.',
    },
    token_missing: {
      title: 'Missing token',
      detail: 'This request needs a token. Log in first.',
    },
    token_invalid: {
      title: 'Invalid token',
      detail: 'This token is not valid. Log in again.',
    },
    token_expired: {
      title: 'Expired token',
      detail: 'This token has expired. Get a new one, or log in again.',
    },
    token_revoked: {
      title: 'Revoked token',
      detail: 'This token has been revoked. Log in again.',
    },
    token_reused: {
      title: 'Reused token',
      detail: 'This refresh token was used before, so its session was ended. Log in again.',
    },
    session_ended: {
      title: 'Session ended',
      detail: 'This session has ended. Log in again.',
    },
    account_disabled: {
      title: 'Disabled account',
      detail: 'This account has been disabled. Contact support.',
    },
    forbidden: {
      title: 'Permission denied',
      detail: 'You do not have permission to do this.',
    },
    csrf_failed: {
      title: 'Cross-site request refused',
      detail: 'This request did not come from an allowed origin. Reload the page and try again.',
    },
    registration_closed: {
      title: 'Registration closed',
      detail: 'New accounts cannot be created at the moment.',
    },
    not_found: {
      title: 'Not found',
      detail: 'There is nothing here by that name.',
    },
    email_taken: {
      title: 'E-mail address taken',
      detail: 'This e-mail address is already registered. Log in, or use another one.',
    },
    username_taken: {
      title: 'Username taken',
      detail: 'This username is already in use. Choose another one.',
    },
    phone_taken: {
      title: 'Phone number taken',
      detail: 'This phone number is already registered. Log in, or use another one.',
    },
    body_too_large: {
      title: 'Request too large',
      detail: 'The request body is larger than what is accepted.',
    },
    unsupported_media_type: {
      title: 'Unsupported media type',
      detail: 'This content type is not supported. Send JSON.',
    },
    rate_limited: {
      title: 'Too many requests',
      detail: 'There were too many requests. Wait a little and try again.',
    },
    otp_cooldown: {
      title: 'Code requested too soon',
      detail: 'A code for this number was requested a moment ago. Wait before requesting another.',
    },
    otp_attempts_exceeded: {
      title: 'Too many wrong codes',
      detail: 'A wrong code was entered too many times. Wait a little and request a new one.',
    },
    account_delayed: {
      title: 'Login paused',
      detail: 'There were several failed logins in a row. Wait a few seconds and try again.',
    },
    internal_error: {
      title: 'Internal error',
      detail: 'Something went wrong on our side. Try again later.',
    },
    store_unavailable: {
      title: 'Service unavailable',
      detail: 'The service is briefly unavailable. Try again in a moment.',
    },
    overloaded: {
      title: 'Service overloaded',
      detail: 'The service is very busy right now. Try again in a moment.',
    },
    delivery_unavailable: {
      title: 'Delivery unavailable',
      detail: 'Messages cannot be sent at the moment. Try again later.',
    },
  },
  fa: {
    invalid_request: {
      title: 'درخواست نامعتبر',
      detail: 'برخی از اطلاعات ارسال‌شده پذیرفته نشد. آن‌ها را اصلاح کنید و دوباره بفرستید.',
    },
    weak_password: {
      title: 'رمز عبور نامناسب',
      detail: 'این رمز عبور قابل استفاده نیست. رمز دیگری انتخاب کنید.',
    },
    password_mismatch: {
      title: 'یکسان نبودن رمزها',
      detail: 'رمز عبور و تکرار آن یکسان نیستند.',
    },
    invalid_phone: {
      title: 'شماره موبایل نامعتبر',
      detail: 'این شماره موبایل معتبر نیست. آن را بررسی کنید و دوباره وارد کنید.',
    },
    otp_invalid: {
      title: 'کد تأیید نادرست',
      detail: 'کد تأیید درست نیست. آن را بررسی کنید یا کد جدیدی بگیرید.',
    },
    otp_expired: {
      title: 'کد تأیید منقضی‌شده',
      detail: 'مهلت استفاده از این کد تأیید تمام شده است. کد جدیدی بگیرید.',
    },
    ticket_invalid: {
      title: 'لینک نامعتبر',
      detail: 'این لینک معتبر نیست، منقضی شده یا قبلاً استفاده شده است. لینک جدیدی درخواست کنید.',
    },
    invalid_credentials: {
      title: 'اطلاعات ورود نادرست',
      detail: 'اطلاعات ورود درست نیست. آن را بررسی کنید و دوباره تلاش کنید.',
    },
    token_missing: {
      title: 'توکن ارسال‌نشده',
      detail: 'این درخواست به توکن نیاز دارد. ابتدا وارد حساب خود شوید.',
    },
    token_invalid: {
      title: 'توکن نامعتبر',
      detail: 'این توکن معتبر نیست. دوباره وارد شوید.',
    },
    token_expired: {
      title: 'توکن منقضی‌شده',
      detail: 'اعتبار این توکن تمام شده است. توکن جدیدی بگیرید یا دوباره وارد شوید.',
    },
    token_revoked: {
      title: 'توکن باطل‌شده',
      detail: 'این توکن باطل شده است. دوباره وارد شوید.',
    },
    token_reused: {
      title: 'توکن تکراری',
      detail: 'این توکن تمدید قبلاً استفاده شده بود و به همین دلیل نشست آن بسته شد. دوباره وارد شوید.',
    },
    session_ended: {
      title: 'پایان نشست',
      detail: 'این نشست پایان یافته است. دوباره وارد شوید.',
    },
    account_disabled: {
      title: 'حساب غیرفعال',
      detail: 'این حساب غیرفعال شده است. با پشتیبانی تماس بگیرید.',
    },
    forbidden: {
      title: 'دسترسی غیرمجاز',
      detail: 'شما اجازه انجام این کار را ندارید.',
    },
    csrf_failed: {
      title: 'مبدأ غیرمجاز',
      detail: 'مبدأ این درخواست مجاز نیست. صفحه را تازه کنید و دوباره تلاش کنید.',
    },
    registration_closed: {
      title: 'ثبت‌نام غیرفعال',
      detail: 'در حال حاضر امکان ثبت‌نام وجود ندارد.',
    },
    not_found: {
      title: 'مورد ناموجود',
      detail: 'موردی با این مشخصات پیدا نشد.',
    },
    email_taken: {
      title: 'ایمیل تکراری',
      detail: 'این ایمیل قبلاً ثبت شده است. وارد شوید یا ایمیل دیگری وارد کنید.',
    },
    username_taken: {
      title: 'نام کاربری تکراری',
      detail: 'این نام کاربری قبلاً ثبت شده است. نام دیگری انتخاب کنید.',
    },
    phone_taken: {
      title: 'شماره موبایل تکراری',
      detail: 'این شماره موبایل قبلاً ثبت شده است. وارد شوید یا شماره دیگری وارد کنید.',
    },
    body_too_large: {
      title: 'درخواست بیش از حد بزرگ',
      detail: 'حجم درخواست بیشتر از حد مجاز است.',
    },
    unsupported_media_type: {
      title: 'قالب پشتیبانی‌نشده',
      detail: 'این نوع محتوا پشتیبانی نمی‌شود. اطلاعات را به‌صورت JSON بفرستید.',
    },
    rate_limited: {
      title: 'درخواست‌های بیش از حد',
      detail: 'تعداد درخواست‌ها بیشتر از حد مجاز است. کمی صبر کنید و دوباره تلاش کنید.',
    },
    otp_cooldown: {
      title: 'درخواست زودهنگام کد',
      detail: 'به‌تازگی برای این شماره کد درخواست شده است. پیش از درخواست دوباره کمی صبر کنید.',
    },
    otp_attempts_exceeded: {
      title: 'کدهای نادرست بیش از حد',
      detail: 'کد نادرست بیش از حد مجاز وارد شده است. کمی صبر کنید و کد جدیدی بگیرید.',
    },
    account_delayed: {
      title: 'توقف موقت ورود',
      detail: 'چند ورود ناموفق پشت سر هم انجام شده است. چند ثانیه صبر کنید و دوباره تلاش کنید.',
    },
    internal_error: {
      title: 'خطای داخلی',
      detail: 'خطایی از سمت ما رخ داد. کمی بعد دوباره تلاش کنید.',
    },
    store_unavailable: {
      title: 'سرویس خارج از دسترس',
      detail: 'سرویس موقتاً در دسترس نیست. کمی بعد دوباره تلاش کنید.',
    },
    overloaded: {
      title: 'سرویس شلوغ',
      detail: 'سرویس در حال حاضر بسیار شلوغ است. کمی بعد دوباره تلاش کنید.',
    },
    delivery_unavailable: {
      title: 'اختلال در ارسال پیام',
      detail: 'در حال حاضر امکان ارسال پیام وجود ندارد. کمی بعد دوباره تلاش کنید.',
    },
  },
};

/** What is wrong with one field. Where a limit is known, `fieldMessage` adds it. */
export const FIELD_MESSAGES: Record<Locale, Record<FieldCode, string>> = {
  en: {
    required: 'This field is required.',
    unknown: 'This field is not accepted here.',
    invalid_type: 'This value is of the wrong type.',
    invalid_format: 'This value is not in the right format.',
    invalid_value: 'This value is not allowed.',
    too_short: 'This value is too short.',
    too_long: 'This value is too long.',
    too_small: 'This value is too small.',
    too_large: 'This value is too large.',
    too_common: 'This password is too common. Choose another one.',
    own_data: 'The password must not be your name, username, e-mail address or phone number.',
    taken: 'This value is already in use.',
    mismatch: 'The two values are not the same.',
    unchanged: 'This is the one in use already. Choose another one.',
    unverified: 'This address has not been confirmed yet. Open the link that was sent to it.',
  },
  fa: {
    required: 'این فیلد الزامی است.',
    unknown: 'این فیلد پذیرفته نمی‌شود.',
    invalid_type: 'نوع این مقدار درست نیست.',
    invalid_format: 'قالب این مقدار درست نیست.',
    invalid_value: 'این مقدار مجاز نیست.',
    too_short: 'این مقدار بیش از حد کوتاه است.',
    too_long: 'این مقدار بیش از حد طولانی است.',
    too_small: 'این مقدار بیش از حد کوچک است.',
    too_large: 'این مقدار بیش از حد بزرگ است.',
    too_common: 'این رمز عبور بسیار رایج است. رمز دیگری انتخاب کنید.',
    own_data: 'رمز عبور نباید با نام، نام کاربری، ایمیل یا شماره موبایل شما یکسان باشد.',
    taken: 'این مقدار قبلاً ثبت شده است.',
    mismatch: 'این دو مقدار یکسان نیستند.',
    unchanged: 'این مقدار هم‌اکنون در حال استفاده است. مقدار دیگری انتخاب کنید.',
    unverified: 'این ایمیل هنوز تأیید نشده است. لینکی را که به آن فرستاده شد باز کنید.',
  },
};

const LIMIT_HINTS: Record<Locale, Partial<Record<FieldCode, string>>> = {
  en: {
    too_short: 'Use at least {limit} characters.',
    too_long: 'Use at most {limit} characters.',
    too_small: 'It must be at least {limit}.',
    too_large: 'It must be at most {limit}.',
  },
  fa: {
    too_short: 'حداقل {limit} کاراکتر وارد کنید.',
    too_long: 'حداکثر {limit} کاراکتر وارد کنید.',
    too_small: 'حداقل مقدار مجاز {limit} است.',
    too_large: 'حداکثر مقدار مجاز {limit} است.',
  },
};

/** Says what is wrong with a field. `limit`, in characters or a number's bound, takes the locale's digits. */
export function fieldMessage(locale: Locale, code: FieldCode, params: { limit?: number } = {}): string {
  const text = FIELD_MESSAGES[locale][code];
  const hint = LIMIT_HINTS[locale][code];
  if (params.limit === undefined || hint === undefined) return text;
  return `${text} ${hint.replace('{limit}', params.limit.toLocaleString(locale))}`;
}

/** Browsers send well under a hundred characters; the rest of a longer header is not worth the time. */
const HEADER_LIMIT = 200;

// RFC 4647 §2.1, RFC 9110 §12.4.2
const LANGUAGE_RANGE = /^([a-z]{1,8})(?:-[a-z0-9]{1,8})*$/;
const QUALITY = /^q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/;

/**
 * Picks the language to answer in (RFC 9110 §12.5.4). The highest quality wins, and of equals the first; a
 * region does not matter (`fa-IR` is `fa`), `*` states no preference, `q=0` rules a language out, and what
 * cannot be read is skipped. With nothing to go by the answer is `fallback`.
 */
export function pickLocale(acceptLanguage: string | undefined, fallback: Locale): Locale {
  if (!acceptLanguage) return fallback;
  const qualities = readQualities(acceptLanguage);

  let best: Locale | undefined;
  let bestQuality = 0;
  for (const [locale, quality] of qualities) {
    if (quality > bestQuality) [best, bestQuality] = [locale, quality];
  }
  if (best) return best;
  if (qualities.get(fallback) === undefined) return fallback;
  return LOCALES.find((locale) => !qualities.has(locale)) ?? fallback;
}

function readQualities(header: string): Map<Locale, number> {
  const items = header.slice(0, HEADER_LIMIT).toLowerCase().split(',');
  // The item at the cut may have lost the digits of its quality.
  if (header.length > HEADER_LIMIT) items.pop();

  const qualities = new Map<Locale, number>();
  for (const item of items) {
    const [range = '', weight] = item.split(';', 2).map((part) => part.trim());
    const language = LANGUAGE_RANGE.exec(range)?.[1];
    const locale = LOCALES.find((known) => known === language);
    const quality = weight === undefined ? 1 : Number(QUALITY.exec(weight)?.[1]);
    if (!locale || Number.isNaN(quality)) continue;
    qualities.set(locale, Math.max(quality, qualities.get(locale) ?? 0));
  }
  return qualities;
}
