import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Events, EventsQuery } from '../../src/contract/events.js';
import { describeAnyEvent } from '../present.js';
import { failures, NEEDS_STAFF } from '../responses.js';

/** Registered where `requireStaff` has gone before: here each route asks for its permission. */
export const events: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/events', {
    onRequest: app.authorize('events.read'),
    schema: {
      tags: ['admin'],
      operationId: 'listEvents',
      summary: 'Security events, the newest first',
      description:
        'Needs `events.read`. All filters must be met. What other processes stored within the last second may ' +
        'still be missing.',
      querystring: EventsQuery,
      response: { 200: Events, ...failures(...NEEDS_STAFF) },
    },
    handler: async ({ query }) => {
      const limit = query.limit ?? 50;
      const found = await app.eventReports.search({
        userId: query.user,
        actorId: query.actor,
        sessionId: query.session,
        ip: query.ip,
        types: query.type?.split(','),
        from: query.from,
        to: query.to,
        before: query.cursor === undefined ? undefined : Number(query.cursor),
        limit,
      });
      const last = found.at(-1);
      return {
        events: found.map(describeAnyEvent),
        next_cursor: last && found.length === limit ? String(last.id) : null,
      };
    },
  });
};
