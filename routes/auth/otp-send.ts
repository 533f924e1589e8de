import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { clientOf } from '../../plugins/request-context.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { OtpSendBody, OtpSent } from '../../src/contract/otp.js';
import { failures, HAS_BODY } from '../responses.js';

export interface OtpSendOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
}

/** It neither says nor denies that anything was sent. */
const MESSAGE: Record<Locale, string> = {
  en: 'If this number can use a code, it is on its way.',
  fa: 'اگر این شماره بتواند از کد استفاده کند، کد برایش ارسال می‌شود.',
};

/** Sends have budgets of their own, so they are not counted as anonymous requests. */
export const otpSend: FastifyPluginAsyncTypebox<OtpSendOptions> = async (app, { defaultLocale }) => {
  app.post('/otp/send', {
    schema: {
      tags: ['auth'],
      operationId: 'sendOtp',
      summary: 'Send a one-time code to a phone',
      description:
        'The answer is the same, in the same time, whether or not an account has the number; for `login` and `reset` ' +
        'a message goes out only to the number of an account. A new code ends the one before it, and a code is good ' +
        'for its purpose only. The language of the message follows `Accept-Language`.',
      security: [],
      body: OtpSendBody,
      response: {
        200: OtpSent,
        ...failures(
          ...HAS_BODY,
          'invalid_phone',
          'registration_closed',
          'otp_cooldown',
          'delivery_unavailable',
        ),
      },
    },
    handler: async (request, reply) => {
      const { phone, purpose } = request.body;
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const asked = { phone, purpose, locale };
      const { expiresIn, resendIn, limit } = await app.otp.send(asked, clientOf(request));
      if (limit) setLimitHeaders(reply, limit);
      return { message: MESSAGE[locale], expires_in: expiresIn, resend_in: resendIn };
    },
  });
};
