import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { Static } from 'typebox';
import type { SignedIn } from '../../src/accounts/account-service.js';
import { LoginBody } from '../../src/contract/accounts.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { ref } from '../../src/contract/ref.js';
import { PairWithUser } from '../../src/contract/tokens.js';
import { AuthError } from '../../src/errors.js';
import type { Client } from '../../src/tokens/session-service.js';
import { requireForm } from '../body-forms.js';
import { sendSignedIn } from '../present.js';
import { failures, HAS_BODY, PROVES_PHONE } from '../responses.js';

export interface LoginOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
}

export const login: FastifyPluginAsyncTypebox<LoginOptions> = async (app, { defaultLocale }) => {
  app.post('/login', {
    schema: {
      tags: ['auth'],
      operationId: 'login',
      summary: 'Sign in by password, or by a code sent to a phone',
      description:
        'With EMAIL_VERIFICATION=required the right password of an account whose address has not been confirmed is ' +
        '`forbidden`, with `email` in `errors`, and the link is sent again.',
      security: [],
      body: LoginBody,
      response: {
        200: ref(PairWithUser),
        ...failures(
          ...HAS_BODY,
          ...PROVES_PHONE,
          'invalid_credentials',
          'account_disabled',
          'forbidden',
          'account_delayed',
          'overloaded',
        ),
      },
    },
    handler: async (request, reply) => {
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const signedIn = await signIn(request.body, request.clientWithDevice(), locale);
      return sendSignedIn(request, reply, signedIn);
    },
  });

  async function signIn(body: Static<typeof LoginBody>, client: Client, locale: Locale): Promise<SignedIn> {
    if (body.otp !== undefined) return app.phoneSignIn.login(requireForm(body, ['phone', 'otp']), client);
    const { password } = requireForm(body, ['password'], NAMES);
    requireOneName(body);
    return app.accounts.login(body, password, client, locale);
  }
};

const NAMES = ['email', 'username', 'phone'] as const;

function requireOneName(body: Static<typeof LoginBody>): void {
  const [first, ...more] = NAMES.filter((name) => body[name] !== undefined);
  if (first === undefined) {
    throw new AuthError('invalid_request', { errors: [{ field: 'email', code: 'required' }] });
  }
  if (more.length > 0) {
    throw new AuthError('invalid_request', { errors: more.map((field) => ({ field, code: 'unknown' })) });
  }
}
