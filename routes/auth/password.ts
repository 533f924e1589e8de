import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { clientOf } from '../../plugins/request-context.js';
import { PasswordForgotBody, PasswordResetBody } from '../../src/contract/accounts.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { Message } from '../../src/contract/tokens.js';
import { requireForm } from '../body-forms.js';
import { failures, HAS_BODY, PROVES_PHONE } from '../responses.js';

export interface PasswordOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
}

/** It neither says nor denies that anything was sent. */
const SENT: Record<Locale, string> = {
  en: 'If there is an account, a message with the next step is on its way.',
  fa: 'اگر حسابی وجود داشته باشد، پیامی برای ادامه کار ارسال می‌شود.',
};

const DONE: Record<Locale, string> = {
  en: 'The password has been changed. Log in with the new one.',
  fa: 'رمز عبور تغییر کرد. با رمز جدید وارد شوید.',
};

/** For people who cannot sign in. */
export const password: FastifyPluginAsyncTypebox<PasswordOptions> = async (app, { defaultLocale }) => {
  // It has a limit of its own, so it is not counted as an anonymous request.
  app.post('/password/forgot', {
    schema: {
      tags: ['auth'],
      operationId: 'forgotPassword',
      summary: 'Send a link or a code by which a new password may be chosen',
      description:
        'The answer is the same, in the same time, whether or not there is such an account. An e-mail brings a link ' +
        'that works once and for 30 minutes; a text message brings a code of purpose `reset`. Earlier links stay ' +
        'valid. The language of the message follows `Accept-Language`.',
      security: [],
      body: PasswordForgotBody,
      response: {
        202: Message,
        ...failures(...HAS_BODY, 'invalid_phone', 'otp_cooldown', 'delivery_unavailable'),
      },
    },
    handler: async (request, reply) => {
      const { body } = request;
      const client = clientOf(request);
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const limit =
        body.phone === undefined
          ? await app.passwords.forgotByEmail(requireForm(body, ['email']).email, client, locale)
          : await app.passwords.forgotByPhone(requireForm(body, ['phone']).phone, client, locale);
      if (limit) setLimitHeaders(reply, limit);
      reply.code(202);
      return { message: SENT[locale] };
    },
  });

  app.post('/password/reset', {
    onRequest: app.limitAnonymous,
    schema: {
      tags: ['auth'],
      operationId: 'resetPassword',
      summary: 'Choose a new password by a link or a code',
      description:
        'Every session of the account ends, and nobody is signed in. A password that is refused spends neither the ' +
        'link nor the code.',
      security: [],
      body: PasswordResetBody,
      response: {
        200: Message,
        ...failures(
          ...HAS_BODY,
          ...PROVES_PHONE,
          'ticket_invalid',
          'weak_password',
          'account_disabled',
          'overloaded',
        ),
      },
    },
    handler: async (request) => {
      const { body } = request;
      const client = clientOf(request);
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      if (body.phone !== undefined || body.otp !== undefined) {
        const { phone, otp, new_password } = requireForm(body, ['phone', 'otp', 'new_password']);
        await app.passwords.resetByCode({ phone, otp, password: new_password }, client, locale);
      } else {
        const { token, new_password } = requireForm(body, ['token', 'new_password']);
        await app.passwords.resetByTicket({ token, password: new_password }, client, locale);
      }
      return { message: DONE[locale] };
    },
  });
};
