import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { clientOf } from '../../plugins/request-context.js';
import { Activity, ActivityQuery, Sessions } from '../../src/contract/accounts.js';
import { describeEvent, describeSession } from '../present.js';
import { failures, HAS_BODY, NEEDS_TOKEN, NoContent } from '../responses.js';

export const sessions: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/sessions', {
    schema: {
      tags: ['account'],
      operationId: 'listSessions',
      summary: 'The open sessions of the caller',
      response: { 200: Sessions, ...failures(...NEEDS_TOKEN) },
    },
    handler: async ({ auth }) => {
      const open = await app.sessions.list(auth.user.id, auth.claims.sessionId);
      return { sessions: open.map(describeSession) };
    },
  });

  app.delete('/sessions/:id', {
    schema: {
      tags: ['account'],
      operationId: 'deleteSession',
      summary: "End one of the caller's sessions",
      params: Type.Object({ id: Type.String({ maxLength: 64 }) }),
      response: { 204: NoContent, ...failures(...HAS_BODY, ...NEEDS_TOKEN, 'not_found') },
    },
    handler: async (request, reply) => {
      const { auth, params } = request;
      await app.sessions.endOne(auth.user.id, params.id, clientOf(request));
      return reply.code(204).send(null);
    },
  });

  app.get('/activity', {
    schema: {
      tags: ['account'],
      operationId: 'listActivity',
      summary: "The caller's security events, newest first",
      querystring: ActivityQuery,
      response: { 200: Activity, ...failures(...NEEDS_TOKEN) },
    },
    handler: async ({ auth, query }) => {
      const limit = query.limit ?? 20;
      const before = query.cursor === undefined ? undefined : Number(query.cursor);
      const events = await app.accounts.activity(auth.user.id, { before, limit });
      const last = events.at(-1);
      return {
        events: events.map(describeEvent),
        next_cursor: last && events.length === limit ? String(last.id) : null,
      };
    },
  });
};
