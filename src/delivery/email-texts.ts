import type { Locale } from '../contract/messages.js';
import type { EmailPurpose } from './email.js';

/**
 * What one e-mail says. `{app}` is the name of the service, `{lifetime}` how long the link is good for. Nothing else
 * is filled in: a name that somebody chose at registration would carry their words to whoever they like.
 */
export interface EmailTexts {
  subject: string;
  /** What inboxes show behind the subject. */
  preheader: string;
  title: string;
  body: readonly string[];
  /** `undefined`: there is nothing to open. */
  button: string | undefined;
  /** What to do for somebody who knows nothing of it. */
  ifNotYou: string;
}

export const EMAIL_TEXTS: Record<Locale, Record<EmailPurpose, EmailTexts>> = {
  en: {
    verify: {
      subject: 'Confirm your e-mail address for {app}',
      preheader: 'Open the link to confirm that this address is yours.',
      title: 'Confirm your e-mail address',
      body: ['Please confirm that this address belongs to your account with {app}.'],
      button: 'Confirm address',
      ifNotYou:
        'If you did not ask for this, somebody may have entered your address by mistake. You can ignore this message: the address then stays unconfirmed.',
    },
    reset: {
      subject: 'Reset your password for {app}',
      preheader: 'Choose a new password. The link expires in {lifetime}.',
      title: 'Reset your password',
      body: [
        'Somebody asked to reset the password of your account with {app}. If that was you, choose a new one now; that signs you out on all devices.',
      ],
      button: 'Choose a new password',
      ifNotYou:
        'If that was not you, ignore this message: your password stays as it is. Never pass the link on to anyone.',
    },
    email_change: {
      subject: 'Confirm your new e-mail address for {app}',
      preheader: 'Your account uses this address as soon as you confirm it.',
      title: 'Confirm your new e-mail address',
      body: [
        'You asked to use this address for your account with {app}. Until you confirm it, the previous one stays in use.',
      ],
      button: 'Confirm new address',
      ifNotYou:
        'If you did not ask for this, somebody may have entered your address by mistake. You can ignore this message: nothing changes.',
    },
    email_changed: {
      subject: 'The e-mail address of your account with {app} was changed',
      preheader: 'If that was not you, act now.',
      title: 'Your e-mail address was changed',
      body: [
        'Your account with {app} now uses another e-mail address. Messages about it no longer come to this one.',
      ],
      button: undefined,
      ifNotYou:
        'If that was not you, somebody else has access to your account. Get in touch with the support of {app} at once.',
    },
    phone_changed: {
      subject: 'The phone number of your account with {app} was changed',
      preheader: 'If that was not you, act now.',
      title: 'Your phone number was changed',
      body: [
        'The phone number of your account with {app} was changed. From now on, codes are sent to the new number.',
      ],
      button: 'Reset password',
      ifNotYou:
        'If that was not you, reset your password at once, which signs everybody out, and get in touch with the support of {app}.',
    },
    password_changed: {
      subject: 'The password of your account with {app} was changed',
      preheader: 'If that was not you, act now.',
      title: 'Your password was changed',
      body: [
        'The password of your account with {app} was changed. Everybody who was signed in to it before has been signed out.',
      ],
      button: 'Reset password',
      ifNotYou:
        'If that was not you, reset your password at once and get in touch with the support of {app}.',
    },
    already_registered: {
      subject: 'You already have an account with {app}',
      preheader: 'Somebody tried to register with this address.',
      title: 'You already have an account',
      body: [
        'Somebody tried to register at {app} with this address, but it already has an account. If that was you, sign in instead. If you have forgotten your password, you can reset it there.',
      ],
      button: 'Sign in',
      ifNotYou:
        'If that was not you, there is nothing you need to do: no account was made, and yours is unchanged.',
    },
  },
  fa: {
    verify: {
      subject: 'تأیید ایمیل شما در {app}',
      preheader: 'لینک را باز کنید تا تأیید شود که این ایمیل متعلق به شماست.',
      title: 'ایمیل خود را تأیید کنید',
      body: ['لطفاً تأیید کنید که این ایمیل متعلق به حساب شما در {app} است.'],
      button: 'تأیید ایمیل',
      ifNotYou:
        'اگر این درخواست از طرف شما نبوده است، شاید کسی ایمیل شما را به‌اشتباه وارد کرده باشد. می‌توانید این پیام را نادیده بگیرید؛ در این صورت ایمیل تأیید نمی‌شود.',
    },
    reset: {
      subject: 'بازیابی رمز عبور شما در {app}',
      preheader: 'رمز عبور جدیدی انتخاب کنید. لینک تا {lifetime} دیگر اعتبار دارد.',
      title: 'بازیابی رمز عبور',
      body: [
        'برای حساب شما در {app} درخواست بازیابی رمز عبور داده شده است. اگر این درخواست از طرف شماست، رمز عبور جدیدی انتخاب کنید. با این کار از همه دستگاه‌ها خارج می‌شوید.',
      ],
      button: 'انتخاب رمز عبور جدید',
      ifNotYou:
        'اگر این درخواست از طرف شما نبوده است، این پیام را نادیده بگیرید؛ رمز عبور شما تغییری نمی‌کند. این لینک را به هیچ‌کس ندهید.',
    },
    email_change: {
      subject: 'تأیید ایمیل جدید شما در {app}',
      preheader: 'پس از تأیید، حساب شما از این ایمیل استفاده می‌کند.',
      title: 'ایمیل جدید خود را تأیید کنید',
      body: [
        'درخواست کرده‌اید که حساب شما در {app} از این ایمیل استفاده کند. تا وقتی آن را تأیید نکنید، ایمیل قبلی معتبر می‌ماند.',
      ],
      button: 'تأیید ایمیل جدید',
      ifNotYou:
        'اگر این درخواست از طرف شما نبوده است، شاید کسی ایمیل شما را به‌اشتباه وارد کرده باشد. می‌توانید این پیام را نادیده بگیرید؛ چیزی تغییر نمی‌کند.',
    },
    email_changed: {
      subject: 'ایمیل حساب شما در {app} تغییر کرد',
      preheader: 'اگر این کار را شما نکرده‌اید، همین حالا اقدام کنید.',
      title: 'ایمیل حساب شما تغییر کرد',
      body: [
        'حساب شما در {app} از این پس از ایمیل دیگری استفاده می‌کند. پیام‌های مربوط به آن دیگر به این ایمیل فرستاده نمی‌شود.',
      ],
      button: undefined,
      ifNotYou:
        'اگر این کار را شما نکرده‌اید، کس دیگری به حساب شما دسترسی دارد. فوراً با پشتیبانی {app} تماس بگیرید.',
    },
    phone_changed: {
      subject: 'شماره موبایل حساب شما در {app} تغییر کرد',
      preheader: 'اگر این کار را شما نکرده‌اید، همین حالا اقدام کنید.',
      title: 'شماره موبایل شما تغییر کرد',
      body: ['شماره موبایل حساب شما در {app} تغییر کرد. از این پس کدها به شماره جدید فرستاده می‌شود.'],
      button: 'بازیابی رمز عبور',
      ifNotYou:
        'اگر این کار را شما نکرده‌اید، فوراً رمز عبور خود را بازیابی کنید تا همه از حساب خارج شوند، و با پشتیبانی {app} تماس بگیرید.',
    },
    password_changed: {
      subject: 'رمز عبور حساب شما در {app} تغییر کرد',
      preheader: 'اگر این کار را شما نکرده‌اید، همین حالا اقدام کنید.',
      title: 'رمز عبور شما تغییر کرد',
      body: ['رمز عبور حساب شما در {app} تغییر کرد. همه کسانی که پیش از این وارد حساب شده بودند، خارج شدند.'],
      button: 'بازیابی رمز عبور',
      ifNotYou:
        'اگر این کار را شما نکرده‌اید، فوراً رمز عبور خود را بازیابی کنید و با پشتیبانی {app} تماس بگیرید.',
    },
    already_registered: {
      subject: 'شما در {app} حساب دارید',
      preheader: 'کسی خواسته است با این ایمیل ثبت‌نام کند.',
      title: 'شما از قبل حساب دارید',
      body: [
        'کسی خواسته است با این ایمیل در {app} ثبت‌نام کند، اما این ایمیل از قبل حساب دارد. اگر شما بوده‌اید، وارد حساب خود شوید. اگر رمز عبور را فراموش کرده‌اید، همان‌جا می‌توانید آن را بازیابی کنید.',
      ],
      button: 'ورود به حساب',
      ifNotYou:
        'اگر شما نبوده‌اید، لازم نیست کاری بکنید: حسابی ساخته نشده و چیزی در حساب شما تغییر نکرده است.',
    },
  },
};

/** What stands in every e-mail, or in every one with a link. */
export interface CommonEmailTexts {
  direction: 'ltr' | 'rtl';
  /** Above the link in full. */
  linkHint: string;
  expiry: string;
  footer: string;
  /** One of it, and any other number of it; `{n}` is the number. */
  units: Record<'minute' | 'hour' | 'day', { one: string; other: string }>;
}

export const COMMON_EMAIL_TEXTS: Record<Locale, CommonEmailTexts> = {
  en: {
    direction: 'ltr',
    linkHint: 'If the button does not work, open this address in your browser:',
    expiry: 'The link works once and expires in {lifetime}.',
    footer: '{app} sends this message automatically.',
    units: {
      minute: { one: 'one minute', other: '{n} minutes' },
      hour: { one: 'one hour', other: '{n} hours' },
      day: { one: 'one day', other: '{n} days' },
    },
  },
  fa: {
    direction: 'rtl',
    linkHint: 'اگر دکمه کار نمی‌کند، این نشانی را در مرورگر خود باز کنید:',
    expiry: 'این لینک فقط یک بار کار می‌کند و تا {lifetime} دیگر اعتبار دارد.',
    footer: 'این پیام به‌صورت خودکار از طرف {app} فرستاده شده است.',
    units: {
      minute: { one: 'یک دقیقه', other: '{n} دقیقه' },
      hour: { one: 'یک ساعت', other: '{n} ساعت' },
      day: { one: 'یک روز', other: '{n} روز' },
    },
  },
};
