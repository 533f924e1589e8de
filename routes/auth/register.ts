import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Static } from 'typebox';
import type { SignedIn } from '../../src/accounts/account-service.js';
import { RegisterBody } from '../../src/contract/accounts.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { ref } from '../../src/contract/ref.js';
import { Message, PairWithUser } from '../../src/contract/tokens.js';
import type { Client } from '../../src/tokens/session-service.js';
import { requireForm } from '../body-forms.js';
import { sendSignedIn } from '../present.js';
import { failures, HAS_BODY, PROVES_PHONE } from '../responses.js';

export interface RegisterOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
}

/** The same whether or not the address has an account: that is told in its mail. */
const SENT: Record<Locale, string> = {
  en: 'A message with the next step is on its way to this address.',
  fa: 'پیامی برای ادامه کار به این ایمیل ارسال می‌شود.',
};

export const register: FastifyPluginAsyncTypebox<RegisterOptions> = async (app, { defaultLocale }) => {
  const isConfirmedFirst = app.emailVerification.mode === 'required';

  app.post('/register', {
    onRequest: app.limitAnonymous,
    schema: {
      tags: ['auth'],
      operationId: 'register',
      summary: 'Make an account and sign in',
      description:
        'With EMAIL_VERIFICATION=optional a link to confirm the address goes out. With `required` a registration by ' +
        'e-mail is answered 202 without tokens, whether or not the address has an account: new ones are sent the link, ' +
        'others are told that they have one already. Log in once the link was opened.',
      security: [],
      body: RegisterBody,
      response: {
        201: ref(PairWithUser),
        ...(isConfirmedFirst ? { 202: Message } : undefined),
        ...failures(
          ...HAS_BODY,
          ...PROVES_PHONE,
          'weak_password',
          'password_mismatch',
          'registration_closed',
          'email_taken',
          'username_taken',
          'phone_taken',
          'overloaded',
          'delivery_unavailable',
        ),
      },
    },
    handler: async (request, reply) => {
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const signedIn = await signUp(request.body, request.clientWithDevice(), locale);
      reply.code(signedIn ? 201 : 202);
      if (!signedIn) return { message: SENT[locale] } as never;
      return sendSignedIn(request, reply, signedIn);
    },
  });

  async function signUp(
    body: Static<typeof RegisterBody>,
    client: Client,
    locale: Locale,
  ): Promise<SignedIn | undefined> {
    const profile = { firstName: body.first_name, lastName: body.last_name, userType: body.user_type };
    if (body.phone !== undefined || body.otp !== undefined) {
      const { phone, otp } = requireForm(body, ['phone', 'otp'], PROFILE);
      return app.phoneSignIn.register({ phone, otp, ...profile }, client);
    }
    const { email, password } = requireForm(
      body,
      ['email', 'password'],
      [...PROFILE, 'password2', 'username'],
    );
    const { password2: passwordAgain, username } = body;
    return app.accounts.register({ email, password, passwordAgain, username, ...profile }, client, locale);
  }
};

const PROFILE = ['first_name', 'last_name', 'user_type'] as const;
