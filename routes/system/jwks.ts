import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

/** RFC 7517 §5. */
const Jwks = Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.String())) });

export const jwks: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/.well-known/jwks.json', {
    schema: {
      tags: ['tokens'],
      operationId: 'jwks',
      summary: 'The public keys that tokens can be verified with',
      description: 'Empty with HS256, HS384 and HS512: a key that verifies would also sign.',
      security: [],
      response: { 200: Jwks },
    },
    handler: async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=300');
      return app.tokenCodec.publicKeys();
    },
  });
};
