import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Stats, StatsQuery } from '../../src/contract/events.js';
import { toIso } from '../../src/lib/clock.js';
import { failures, NEEDS_STAFF } from '../responses.js';

/** Registered where `requireStaff` has gone before: here each route asks for its permission. */
export const stats: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/stats', {
    onRequest: app.authorize('stats.read'),
    schema: {
      tags: ['admin'],
      operationId: 'getStats',
      summary: 'How much happened, hour by hour or day by day',
      description:
        'Needs `stats.read`. Counted since the service runs, also when the events themselves are deleted.',
      querystring: StatsQuery,
      response: { 200: Stats, ...failures(...NEEDS_STAFF) },
    },
    handler: async ({ query }) => {
      const { time_zone: timeZone, ...asked } = query;
      const { interval, buckets, series, ...report } = await app.eventReports.stats({ ...asked, timeZone });
      return {
        interval,
        time_zone: report.timeZone,
        buckets: buckets.map(({ from }) => toIso(from)),
        end: toIso(buckets.at(-1)!.to),
        series,
      };
    },
  });
};
