import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { announceToken } from '../../plugins/authenticate.js';
import { Verified, VerifyBody } from '../../src/contract/tokens.js';
import { toIso } from '../../src/lib/clock.js';
import { failures, HAS_BODY } from '../responses.js';

export const verify: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/verify', {
    schema: {
      tags: ['tokens'],
      operationId: 'verify',
      summary: 'Is this token, access or refresh, good now?',
      security: [],
      body: VerifyBody,
      response: {
        200: Verified,
        ...failures(...HAS_BODY, 'token_invalid', 'token_expired', 'token_revoked', 'session_ended'),
      },
    },
    handler: async (request, reply) => {
      const claims = await app.countRefused(request, reply, () => app.sessions.verify(request.body.token));
      announceToken(reply, claims.expiresAt, app.clock());
      reply.header('cache-control', 'no-store');
      return {
        valid: true as const,
        token_type: claims.tokenType,
        user_id: claims.payload.user_id as string | number,
        session_id: claims.legacyId === undefined ? claims.sessionId : null,
        expires_at: toIso(claims.expiresAt * 1000),
      };
    },
  });
};
