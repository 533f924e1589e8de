import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { clientOf } from '../../plugins/request-context.js';
import {
  EmailChangeBody,
  PasswordChangeBody,
  PhoneChangeBody,
  PhoneVerifyBody,
} from '../../src/contract/accounts.js';
import type { Code } from '../../src/contract/codes.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { ref } from '../../src/contract/ref.js';
import { EmptyBody, Message, Pair } from '../../src/contract/tokens.js';
import { sendPair } from '../present.js';
import { failures, HAS_BODY, NEEDS_TOKEN, PROVES_PHONE } from '../responses.js';

export interface CredentialRouteOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
}

/** What a route that asks for the password may answer besides. */
const PROVES_PASSWORD: Code[] = ['invalid_credentials', 'account_delayed', 'overloaded'];

type Said = Record<Locale, string>;

const LINK_SENT: Said = {
  en: 'A link to confirm the address is on its way.',
  fa: 'لینک تأیید ایمیل ارسال می‌شود.',
};

const EMAIL_CHANGES: Said = {
  en: 'If the address can be used, a link to confirm it is on its way. Until then the previous one stays in use.',
  fa: 'اگر بتوان از این ایمیل استفاده کرد، لینک تأیید آن ارسال می‌شود. تا آن زمان ایمیل قبلی معتبر می‌ماند.',
};

const PHONE_VERIFIED: Said = { en: 'The number is confirmed.', fa: 'شماره تأیید شد.' };

const PHONE_CHANGED: Said = { en: 'The number has been changed.', fa: 'شماره تغییر کرد.' };

/** For people who are signed in. */
export const credentials: FastifyPluginAsyncTypebox<CredentialRouteOptions> = async (
  app,
  { defaultLocale },
) => {
  const localeOf = ({ headers }: { headers: { 'accept-language'?: string | undefined } }): Locale =>
    pickLocale(headers['accept-language'], defaultLocale);

  app.post('/password/change', {
    schema: {
      tags: ['account'],
      operationId: 'changePassword',
      summary: "Change the caller's password",
      description:
        'Ends every session, this one included, and answers the tokens of a new one. It counts as a login.',
      body: PasswordChangeBody,
      response: {
        200: ref(Pair),
        ...failures(...HAS_BODY, ...NEEDS_TOKEN, ...PROVES_PASSWORD, 'weak_password'),
      },
    },
    handler: async (request, reply) => {
      const { current_password: current, new_password: next } = request.body;
      const client = request.clientWithDevice();
      const { pair, deviceCookie, limit } = await app.passwords.change(
        request.auth.user,
        { current, next },
        client,
        localeOf(request),
      );
      if (limit) setLimitHeaders(reply, limit);
      reply.setDeviceCookie(deviceCookie);
      return sendPair(request, reply, pair);
    },
  });

  app.post('/email/resend', {
    preValidation: app.allowEmptyBody,
    schema: {
      tags: ['account'],
      operationId: 'resendEmail',
      summary: "Send the link to confirm the caller's e-mail address again",
      description: 'Earlier links stay valid. Where the address is confirmed already, nothing is sent.',
      body: EmptyBody,
      response: { 200: Message, ...failures(...HAS_BODY, ...NEEDS_TOKEN, 'delivery_unavailable') },
    },
    handler: async (request) => {
      const locale = localeOf(request);
      await app.contacts.resendEmail(request.auth.user, locale);
      return { message: LINK_SENT[locale] };
    },
  });

  app.post('/email/change', {
    schema: {
      tags: ['account'],
      operationId: 'changeEmail',
      summary: "Change the caller's e-mail address",
      description:
        'Sends a link to the new address; the account uses it once the link was opened (`/api/auth/email/verify`), ' +
        'and the previous address is told. The answer does not tell whether another account has the address.',
      body: EmailChangeBody,
      response: {
        200: Message,
        ...failures(...HAS_BODY, ...NEEDS_TOKEN, ...PROVES_PASSWORD, 'delivery_unavailable'),
      },
    },
    handler: async (request) => {
      const locale = localeOf(request);
      await app.contacts.changeEmail(request.auth.user, request.body, request.clientWithDevice(), locale);
      return { message: EMAIL_CHANGES[locale] };
    },
  });

  app.post('/phone/verify', {
    schema: {
      tags: ['account'],
      operationId: 'verifyPhone',
      summary: "Confirm the caller's phone number by a code",
      body: PhoneVerifyBody,
      response: { 200: Message, ...failures(...HAS_BODY, ...NEEDS_TOKEN, ...PROVES_PHONE, 'phone_taken') },
    },
    handler: async (request) => {
      await app.contacts.verifyPhone(request.auth.user, request.body, clientOf(request));
      return { message: PHONE_VERIFIED[localeOf(request)] };
    },
  });

  app.post('/phone/change', {
    schema: {
      tags: ['account'],
      operationId: 'changePhone',
      summary: "Change the caller's phone number, or add one",
      body: PhoneChangeBody,
      response: {
        200: Message,
        ...failures(...HAS_BODY, ...NEEDS_TOKEN, ...PROVES_PASSWORD, ...PROVES_PHONE, 'phone_taken'),
      },
    },
    handler: async (request) => {
      const locale = localeOf(request);
      await app.contacts.changePhone(request.auth.user, request.body, request.clientWithDevice(), locale);
      return { message: PHONE_CHANGED[locale] };
    },
  });
};
