import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { readingAs } from '../../plugins/compat-dialect.js';
import type { SignedIn } from '../../src/accounts/account-service.js';
import {
  chooseLoginForm,
  chooseRegisterForm,
  isByPhone,
  LoginBody,
  RegisterBody,
  SignedInBody,
} from '../../src/compat/phone-or-password.js';
import { describeSignedIn as describeInEnvelope, LOCALE, succeed } from '../../src/compat/phone-otp.js';
import { readProfile } from '../../src/compat/profile.js';
import { describeSignedIn, LinkSent } from '../../src/compat/pycoder.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { requireForm } from '../body-forms.js';
import { markSignedIn } from '../present.js';
import { CONSUMES, eitherFailures } from './responses.js';

export interface PhoneOrPasswordOptions {
  /** Of messages to those by password who have no preference. */
  defaultLocale: Locale;
}

const common = { tags: ['pycoder'], security: [], consumes: CONSUMES };

/** Registration and login, whose paths PyCoder shares with the phone OTP system. */
export const phoneOrPassword: FastifyPluginAsyncTypebox<PhoneOrPasswordOptions> = async (
  app,
  { defaultLocale },
) => {
  const isConfirmedFirst = app.emailVerification.mode === 'required';
  const { count, refuse } = refusingLater(app.limitAnonymous);

  app.post('/api/register/', {
    onRequest: count,
    preValidation: refuse,
    validatorCompiler: readingAs(chooseRegisterForm),
    schema: {
      ...common,
      operationId: 'phoneOrPasswordRegister',
      summary: 'Make an account and sign in: by password, or by a code sent to a phone',
      body: RegisterBody,
      response: {
        201: SignedInBody,
        ...(isConfirmedFirst ? { 202: LinkSent } : undefined),
        ...eitherFailures(403),
      },
    },
    handler: async (request, reply) => {
      const signedIn = await register(request);
      reply.code(signedIn ? 201 : 202);
      if (!signedIn) return LINK_SENT as never;
      markSignedIn(reply, signedIn);
      return describe('registered', request, signedIn);
    },
  });

  app.post('/api/login/', {
    validatorCompiler: readingAs(chooseLoginForm),
    schema: {
      ...common,
      operationId: 'phoneOrPasswordLogin',
      summary: 'Sign in by password, or by a code sent to a phone',
      body: LoginBody,
      response: { 200: SignedInBody, ...eitherFailures(403) },
    },
    handler: async (request, reply) => {
      const signedIn = await logIn(request);
      markSignedIn(reply, signedIn);
      return describe('loggedIn', request, signedIn);
    },
  });

  async function register(
    request: FastifyRequest & { body: Static<typeof RegisterBody> },
  ): Promise<SignedIn | undefined> {
    const { body } = request;
    const client = request.clientWithDevice();
    if (isByPhone(body)) {
      const { phone, otp, ...names } = requireForm(body, ['phone', 'otp'], NAMES);
      return app.phoneSignIn.register({ phone, otp, ...readProfile(names) }, client);
    }
    const form = requireForm(body, ['email', 'password'], [...NAMES, 'username', 'password2']);
    const { email, password, password2: passwordAgain, ...profile } = form;
    const account = { email, password, passwordAgain, ...readProfile(profile) };
    return app.accounts.register(account, client, localeOf(request));
  }

  async function logIn(request: FastifyRequest & { body: Static<typeof LoginBody> }): Promise<SignedIn> {
    const { body } = request;
    const client = request.clientWithDevice();
    if (isByPhone(body)) return app.phoneSignIn.login(requireForm(body, ['phone', 'otp']), client);
    const { email, password } = requireForm(body, ['email', 'password']);
    return app.accounts.login({ email }, password, client, localeOf(request));
  }

  const localeOf = ({ headers, body }: FastifyRequest): Locale =>
    pickLocale(headers['accept-language'], isByPhone(body) ? LOCALE : defaultLocale);

  const describe = (done: 'registered' | 'loggedIn', request: FastifyRequest, signedIn: SignedIn) =>
    isByPhone(request.body)
      ? succeed(done, localeOf(request), describeInEnvelope(signedIn))
      : describeSignedIn(signedIn);
};

const NAMES = ['first_name', 'last_name'] as const;

/** What is done next is told in the e-mail, whether or not the address has an account. */
const LINK_SENT = { detail: 'A message with the next step is on its way to this address.' };

type Hook = FastifyInstance['limitAnonymous'];

/**
 * Splits a check that is made before the body is read, so that bodies that cannot be read count too, from its refusal:
 * in whose words that is said only the body tells.
 */
function refusingLater(check: Hook): { count: Hook; refuse: Hook } {
  const refusals = new WeakMap<FastifyRequest, unknown>();
  return {
    count: (request, reply) =>
      check(request, reply).catch((refusal) => {
        refusals.set(request, refusal);
      }),
    refuse: async (request) => {
      if (refusals.has(request)) throw refusals.get(request);
    },
  };
}
