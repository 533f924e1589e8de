import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { clientOf } from '../../plugins/request-context.js';
import { DeleteAccountBody, Export, ProfileBody } from '../../src/contract/accounts.js';
import { ref } from '../../src/contract/ref.js';
import { User } from '../../src/contract/user.js';
import { describeEvent, describeSession, describeUser } from '../present.js';
import { failures, HAS_BODY, NEEDS_TOKEN, NoContent } from '../responses.js';

export const me: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/me', {
    schema: {
      tags: ['account'],
      operationId: 'getMe',
      summary: 'Who is calling',
      response: { 200: ref(User), ...failures(...NEEDS_TOKEN) },
    },
    handler: async ({ auth }) => describeUser(auth.user, auth.permissions),
  });

  app.patch('/me', {
    schema: {
      tags: ['account'],
      operationId: 'updateMe',
      summary: "Update the caller's profile",
      body: ProfileBody,
      response: { 200: ref(User), ...failures(...HAS_BODY, ...NEEDS_TOKEN, 'username_taken') },
    },
    handler: async (request) => {
      const { auth, body } = request;
      const change = {
        firstName: body.first_name,
        lastName: body.last_name,
        username: body.username,
        userType: body.user_type,
      };
      const user = await app.accounts.updateProfile(auth.user.id, change, clientOf(request));
      return describeUser(user, auth.permissions);
    },
  });

  app.delete('/me', {
    schema: {
      tags: ['account'],
      operationId: 'deleteMe',
      summary: "Delete the caller's account and all personal data",
      body: DeleteAccountBody,
      response: {
        204: NoContent,
        ...failures(...HAS_BODY, ...NEEDS_TOKEN, 'invalid_credentials', 'overloaded'),
      },
    },
    handler: async (request, reply) => {
      await app.accounts.remove(request.auth.user.id, request.body.password, clientOf(request));
      if (request.wantsCookie()) reply.clearRefreshCookie();
      return reply.code(204).send(null);
    },
  });

  app.get('/me/export', {
    schema: {
      tags: ['account'],
      operationId: 'exportMe',
      summary: 'Everything that is stored about the caller',
      response: { 200: Export, ...failures(...NEEDS_TOKEN) },
    },
    handler: async ({ auth }) => {
      const { sessions, events } = await app.accounts.exportAll(auth.user, auth.claims.sessionId);
      return {
        user: describeUser(auth.user, auth.permissions),
        sessions: sessions.map(describeSession),
        events: events.map(describeEvent),
      };
    },
  });
};
