import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

/** By the plugin that makes them. */
const SHARED = {
  database: ['database'],
  'state-store': ['stateStore'],
  tokens: ['tokenCodec', 'withNewKeys'],
  sessions: ['clock', 'events', 'roles', 'sessions'],
  alerts: ['attackWatch', 'alertWebhooks'],
} as const satisfies Record<string, (keyof FastifyInstance)[]>;

/** Instead of the plugins that open stores: what another application of this process has opened, and will close. */
export default fp<{ opened: FastifyInstance }>(
  async (app, { opened }) => {
    for (const [name, decorators] of Object.entries(SHARED)) {
      await app.register(
        fp(
          async (scope) => {
            for (const decorator of decorators) scope.decorate(decorator, opened[decorator] as never);
          },
          { name },
        ),
      );
    }
  },
  { name: 'share-stores', dependencies: ['metrics'] },
);
