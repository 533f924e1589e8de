export const phoneTexts = {
  en: {
    phone: 'Mobile number',
    phoneHint: 'We send you a text message with a code.',
    willSend: 'We send a code to {phone}.',
    send: 'Send code',
    sent: 'If {phone} can use a code, it is on its way.',
    code: 'Code from the message',
    resend: 'Send another code',
    resendIn: 'Another code in {time}',
    otherNumber: 'Use another number',
  },
  fa: {
    phone: 'شماره موبایل',
    phoneHint: 'کدی با پیامک برای شما می‌فرستیم.',
    willSend: 'کدی به {phone} می‌فرستیم.',
    send: 'ارسال کد',
    sent: 'اگر {phone} بتواند از کد استفاده کند، کد در راه است.',
    code: 'کد پیامک‌شده',
    resend: 'ارسال کد دیگر',
    resendIn: 'ارسال دوباره تا {time}',
    otherNumber: 'شماره دیگر',
  },
};
