import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { readBearer, requireBearer } from '../../plugins/authenticate.js';
import { clientOf } from '../../plugins/request-context.js';
import { EmptyBody, Message, RefreshBody } from '../../src/contract/tokens.js';
import { failures, HAS_BODY, NEEDS_TOKEN } from '../responses.js';

/** Both ask the state store themselves, once: to authenticate first would cost a second trip. */
export const logout: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/logout', {
    preValidation: app.allowEmptyBody,
    schema: {
      tags: ['auth'],
      operationId: 'logout',
      summary: 'End the session that a refresh token, a bearer token or both name',
      description: 'Expired tokens will do, and so will those of a session that has ended already.',
      security: [{ bearer: [] }, {}],
      body: RefreshBody,
      response: { 200: Message, ...failures(...HAS_BODY, 'token_missing', 'token_invalid', 'csrf_failed') },
    },
    handler: async (request, reply) => {
      await app.countRefused(request, reply, async () => {
        const access = readBearer(request);
        // A cookie that only happens to be there is no reason to refuse the bearer.
        const asksByCookie = access === undefined || request.wantsCookie();
        const refresh = request.body.refresh ?? (asksByCookie ? request.refreshTokenFromCookie() : undefined);
        await app.sessions.logout({ access, refresh }, clientOf(request));
      });
      if (request.wantsCookie()) reply.clearRefreshCookie();
      return { message: 'Logged out.' };
    },
  });

  app.post('/logout-all', {
    preValidation: app.allowEmptyBody,
    schema: {
      tags: ['auth'],
      operationId: 'logoutAll',
      summary: 'End every session of the caller, this one included',
      body: EmptyBody,
      response: { 200: Message, ...failures(...HAS_BODY, ...NEEDS_TOKEN) },
    },
    handler: async (request, reply) => {
      await app.countRefused(request, reply, () =>
        app.sessions.logoutAll(requireBearer(request), clientOf(request)),
      );
      if (request.wantsCookie()) reply.clearRefreshCookie();
      return { message: 'Logged out everywhere.' };
    },
  });
};
