import { Type } from 'typebox';

/** What a one-time code is asked for. A code is good for that and for nothing else. */
export const OTP_PURPOSES = ['register', 'login', 'reset', 'verify'] as const;

export type OtpPurpose = (typeof OTP_PURPOSES)[number];

/** A number as it was typed: its rules stand in the domain, this is a length that none reaches. */
export const Phone = Type.String({
  maxLength: 128,
  description: 'A mobile number, national (in PHONE_REGION) or international, in any digits and spelling.',
});

export const Otp = Type.String({
  maxLength: 64,
  description: 'The code that was sent to the number for this purpose. Persian and Arabic digits will do.',
});

export const OtpSendBody = Type.Object(
  { phone: Phone, purpose: Type.Enum([...OTP_PURPOSES]) },
  {
    additionalProperties: false,
    examples: [
      { phone: '09123456789', purpose: 'register' },
      { phone: '+989123456789', purpose: 'login' },
    ],
  },
);

export const OtpSent = Type.Object(
  {
    message: Type.String({ description: 'For people, in the language of the answer.' }),
    expires_in: Type.Integer({ description: 'Seconds until the code expires.' }),
    resend_in: Type.Integer({ description: 'Seconds until another code may be asked for.' }),
  },
  {
    additionalProperties: false,
    examples: [
      { message: 'If this number can use a code, it is on its way.', expires_in: 300, resend_in: 30 },
    ],
  },
);
