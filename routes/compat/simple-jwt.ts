import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { announceToken } from '../../plugins/authenticate.js';
import { readingAs, readingNothing } from '../../plugins/compat-dialect.js';
import { clientOf } from '../../plugins/request-context.js';
import {
  AnyBody,
  chooseObtainForm,
  Nothing,
  ObtainBody,
  Obtained,
  RefreshBody,
  Refreshed,
  Revoked,
  VerifyBody,
} from '../../src/compat/simple-jwt.js';
import type { Locale } from '../../src/contract/messages.js';
import { AuthError } from '../../src/errors.js';
import { endSessionOf } from './end-session.js';
import { CONSUMES, drfFailures, revocationFailures } from './responses.js';
import { renewPair, signInByPassword } from './token-pair.js';

export interface SimpleJwtOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
  /** Whether a refresh gives a new refresh token. */
  rotation: boolean;
}

const common = { tags: ['simplejwt'], security: [], consumes: CONSUMES };

/** djangorestframework-simplejwt's own three. */
export const simpleJwt: FastifyPluginAsyncTypebox<SimpleJwtOptions> = async (
  app,
  { defaultLocale, rotation },
) => {
  app.post('/api/token/', {
    validatorCompiler: readingAs(chooseObtainForm),
    schema: {
      ...common,
      operationId: 'obtainTokenPair',
      summary: 'Sign in by password, as SimpleJWT has it',
      body: ObtainBody,
      response: { 200: Obtained, ...drfFailures(401) },
    },
    handler: async (request, reply) => {
      const { pair } = await signInByPassword(app, request, reply, defaultLocale);
      return { refresh: pair.refresh, access: pair.access };
    },
  });

  app.post('/api/token/refresh/', {
    schema: {
      ...common,
      operationId: 'refreshTokenPair',
      summary: 'Trade a refresh token for its successor, as SimpleJWT has it',
      body: RefreshBody,
      response: { 200: Refreshed, ...drfFailures(401) },
    },
    handler: async (request, reply) => {
      const { access, refresh } = await renewPair(app, request, reply, { rotation });
      return { access, ...(rotation && { refresh }) };
    },
  });

  app.post('/api/token/verify/', {
    schema: {
      ...common,
      operationId: 'verifyToken',
      summary: 'Is this token, access or refresh, good now? As SimpleJWT has it',
      body: VerifyBody,
      response: { 200: Nothing, ...drfFailures(401) },
    },
    handler: async (request, reply) => {
      const claims = await app.countRefused(request, reply, () => app.sessions.verify(request.body.token));
      announceToken(reply, claims.expiresAt, app.clock());
      return {};
    },
  });
};

/** Whatever is wrong with the token in the body is no 401: that is for the bearer. */
function sayNothingOfTheToken(error: unknown): never {
  const isRefused = error instanceof AuthError && error.code.startsWith('token_');
  throw isRefused ? new AuthError('invalid_request', { why: error.code }) : error;
}

/** What Cosmo put beside them: ending a session, or all of them. */
export const tokenRevocation: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/token/revoke/', {
    onRequest: app.authenticateOld,
    schema: {
      tags: ['simplejwt'],
      operationId: 'revokeToken',
      summary: 'End the session of a refresh token',
      consumes: CONSUMES,
      body: RefreshBody,
      response: { 200: Revoked, ...revocationFailures(401) },
    },
    handler: async (request) => {
      await endSessionOf(app, request.body.refresh, clientOf(request)).catch(sayNothingOfTheToken);
      return { message: 'Token revoked successfully' };
    },
  });

  app.post('/api/token/revoke-all/', {
    validatorCompiler: readingNothing,
    schema: {
      tags: ['simplejwt'],
      operationId: 'revokeAllTokens',
      summary: 'End every session of the caller, this one included',
      consumes: CONSUMES,
      body: AnyBody,
      response: { 200: Revoked, ...revocationFailures(401) },
    },
    handler: async (request, reply) => {
      await app.logoutAllOld(request, reply);
      return { message: 'All tokens revoked successfully' };
    },
  });
};
