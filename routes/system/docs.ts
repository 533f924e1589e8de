import swaggerUi from '@fastify/swagger-ui';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

/** What the page ships itself and nothing else; no `upgrade-insecure-requests`, as localhost has no TLS. */
const PAGE_POLICY = [
  "default-src 'self'",
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export const docs: FastifyPluginAsyncTypebox = async (app) => {
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    transformStaticCSP: () => PAGE_POLICY,
    // The other layout has a bar more, whose logo brings a style of its own that the policy refuses.
    uiConfig: { deepLinking: true, persistAuthorization: false, layout: 'BaseLayout' },
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
};

/** Who comes to look at the service finds its documentation. */
export const startPage: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/docs'));
};
