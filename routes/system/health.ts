import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';
import { failures } from '../responses.js';

const Status = Type.Object({ status: Type.Literal('ok') }, { additionalProperties: false });

export const health: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/healthz', {
    schema: {
      tags: ['system'],
      operationId: 'health',
      summary: 'Is the process alive?',
      description: 'Asks no store: a store that is away is no reason to restart the service.',
      security: [],
      response: { 200: Status },
    },
    handler: async () => ({ status: 'ok' as const }),
  });

  app.get('/readyz', {
    schema: {
      tags: ['system'],
      operationId: 'ready',
      summary: 'Can it serve? 503 while a store is away',
      security: [],
      response: { 200: Status, ...failures() },
    },
    handler: async () => {
      await bothAnswer();
      return { status: 'ok' as const };
    },
  });

  // Probes that overlap share one question to each store.
  let asking: Promise<unknown> | undefined;
  function bothAnswer(): Promise<unknown> {
    asking ??= Promise.all([app.stateStore.ping(), app.database.ping()]).finally(() => {
      asking = undefined;
    });
    return asking;
  }
};
