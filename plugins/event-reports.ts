import fp from 'fastify-plugin';
import { createEventReports, type EventReports } from '../src/audit/event-reports.js';
import { canonicalAddress } from '../src/security/client-address.js';

declare module 'fastify' {
  interface FastifyInstance {
    eventReports: EventReports;
  }
}

/** What operators ask about security events. */
export default fp(
  async (app) => {
    const { database, clock: now } = app;
    app.decorate(
      'eventReports',
      createEventReports({
        store: database.events,
        now,
        isAddress: (text) => canonicalAddress(text) !== undefined,
      }),
    );
  },
  { name: 'event-reports', dependencies: ['database', 'sessions'] },
);
