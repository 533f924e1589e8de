import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { readBearer } from '../../plugins/authenticate.js';
import { EmailVerifyBody } from '../../src/contract/accounts.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { Message } from '../../src/contract/tokens.js';
import { failures, HAS_BODY } from '../responses.js';

export interface EmailVerifyOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
}

const VERIFIED: Record<Locale, string> = {
  en: 'The address is confirmed.',
  fa: 'ایمیل تأیید شد.',
};

const CLAIMED: Record<Locale, string> = {
  en: 'The address is confirmed, and the account is yours. Reset its password to log in.',
  fa: 'ایمیل تأیید شد و حساب از آن شماست. برای ورود، رمز عبور آن را بازیابی کنید.',
};

export const emailVerify: FastifyPluginAsyncTypebox<EmailVerifyOptions> = async (app, { defaultLocale }) => {
  app.post('/email/verify', {
    schema: {
      tags: ['auth'],
      operationId: 'verifyEmail',
      summary: 'Confirm an e-mail address by the link that was sent there',
      description:
        'A link proves who reads the mail, not who made the account. Send it with a bearer token of the account, or ' +
        'from a browser that was signed in to it (its device cookie), and the account stays as it is. Otherwise ' +
        'whatever came before the proof goes: the password, the sessions, and a number that was never proved. An ' +
        'account that nobody has been able to sign in to yet keeps its password. A bearer token that is no good is ' +
        'refused, and does not spend the link.',
      security: [],
      body: EmailVerifyBody,
      response: {
        200: Message,
        ...failures(
          ...HAS_BODY,
          'ticket_invalid',
          'email_taken',
          'token_invalid',
          'token_expired',
          'token_revoked',
        ),
      },
    },
    handler: async (request, reply) => {
      const bearer = readBearer(request);
      if (bearer === undefined) await app.limitAnonymous(request, reply);
      const caller =
        bearer === undefined
          ? undefined
          : (await app.countRefused(request, reply, () => app.sessions.authenticate(bearer))).user;
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const { token } = request.body;
      const { isClaimed } = await app.contacts.verifyEmail(token, caller, request.clientWithDevice(), locale);
      return { message: (isClaimed ? CLAIMED : VERIFIED)[locale] };
    },
  });
};
