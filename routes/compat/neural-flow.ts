import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { readingAs } from '../../plugins/compat-dialect.js';
import {
  Dashboard,
  describePerson,
  describeSignedIn,
  LinkSent,
  LoginBody,
  Pair,
  RegisterBody,
  SignedInBody,
} from '../../src/compat/neural-flow.js';
import { readProfile } from '../../src/compat/profile.js';
import { chooseObtainForm, ObtainBody, RefreshBody } from '../../src/compat/simple-jwt.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { describeEvent, describeSession, markSignedIn } from '../present.js';
import { CONSUMES, neuralFlowFailures } from './responses.js';
import { renewPair, signInByPassword } from './token-pair.js';

export interface NeuralFlowOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
}

const open = { tags: ['neuralflow'], security: [], consumes: CONSUMES };

/** Registration and login. */
export const neuralFlow: FastifyPluginAsyncTypebox<NeuralFlowOptions> = async (app, { defaultLocale }) => {
  const isConfirmedFirst = app.emailVerification.mode === 'required';

  app.post('/accounts/api/auth/register/', {
    onRequest: app.limitAnonymous,
    schema: {
      ...open,
      operationId: 'neuralFlowRegister',
      summary: 'Make an account and sign in',
      body: RegisterBody,
      response: {
        201: SignedInBody,
        ...(isConfirmedFirst ? { 202: LinkSent } : undefined),
        ...neuralFlowFailures(403),
      },
    },
    handler: async (request, reply) => {
      const { email, password, ...profile } = request.body;
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const signedIn = await app.accounts.register(
        { email, password, ...readProfile(profile) },
        request.clientWithDevice(),
        locale,
      );
      reply.code(signedIn ? 201 : 202);
      if (!signedIn) return LINK_SENT as never;
      markSignedIn(reply, signedIn);
      return describeSignedIn(signedIn);
    },
  });

  app.post('/accounts/api/auth/login/', {
    schema: {
      ...open,
      operationId: 'neuralFlowLogin',
      summary: 'Sign in by password',
      body: LoginBody,
      response: { 200: SignedInBody, ...neuralFlowFailures(401, 403) },
    },
    handler: async (request, reply) => {
      const { email, password } = request.body;
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const signedIn = await app.accounts.login({ email }, password, request.clientWithDevice(), locale);
      markSignedIn(reply, signedIn);
      return describeSignedIn(signedIn);
    },
  });
};

/** What is done next is told in the e-mail, whether or not the address has an account. */
const LINK_SENT = { success: true, message: 'A message with the next step is on its way to this address.' };

/** The pair of tokens alone, as SimpleJWT gave it there. */
export const neuralFlowTokens: FastifyPluginAsyncTypebox<NeuralFlowOptions> = async (
  app,
  { defaultLocale },
) => {
  app.post('/accounts/api/auth/token/', {
    validatorCompiler: readingAs(chooseObtainForm),
    schema: {
      ...open,
      operationId: 'neuralFlowToken',
      summary: 'Sign in by password, for the tokens alone',
      body: ObtainBody,
      response: { 200: Pair, ...neuralFlowFailures(401) },
    },
    handler: async (request, reply) => {
      const { pair } = await signInByPassword(app, request, reply, defaultLocale);
      return { access: pair.access, refresh: pair.refresh };
    },
  });

  app.post('/accounts/api/auth/token/refresh/', {
    schema: {
      ...open,
      operationId: 'neuralFlowRefresh',
      summary: 'Trade a refresh token for its successor',
      body: RefreshBody,
      response: { 200: Pair, ...neuralFlowFailures(401) },
    },
    handler: async (request, reply) => {
      const { access, refresh } = await renewPair(app, request, reply, { rotation: true });
      return { access, refresh };
    },
  });
};

/** So many of the newest events are shown. */
const SHOWN = 20;

/** For people who are signed in. */
export const neuralFlowDashboard: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/core/api/dashboard/', {
    schema: {
      tags: ['neuralflow'],
      operationId: 'neuralFlowDashboard',
      summary: 'The caller, the open sessions and what happened last',
      response: { 200: Dashboard, ...neuralFlowFailures(401) },
    },
    handler: async ({ auth }) => {
      const { user, claims } = auth;
      const [sessions, events] = await Promise.all([
        app.sessions.list(user.id, claims.sessionId),
        app.accounts.activity(user.id, { limit: SHOWN }),
      ]);
      return {
        user: describePerson(user),
        sessions: sessions.map(describeSession),
        activity: events.map(describeEvent),
      };
    },
  });
};
