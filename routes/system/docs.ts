import swaggerUi from '@fastify/swagger-ui';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

export const docs: FastifyPluginAsyncTypebox = async (app) => {
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { deepLinking: true, persistAuthorization: false },
    theme: { title: 'Latchkey API' },
  });

  app.get('/openapi.json', {
    schema: {
      tags: ['system'],
      operationId: 'openapi',
      summary: 'This document',
      security: [],
      response: { 200: Type.Unsafe<object>({ type: 'object', additionalProperties: true }) },
    },
    handler: async () => app.swagger(),
  });

  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/docs'));
};
