import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { announceToken } from '../../plugins/authenticate.js';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { clientOf } from '../../plugins/request-context.js';
import { ref } from '../../src/contract/ref.js';
import { Pair, RefreshBody } from '../../src/contract/tokens.js';
import { AuthError } from '../../src/errors.js';
import { sendPair } from '../present.js';
import { failures, HAS_BODY } from '../responses.js';

export const refresh: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/refresh', {
    preValidation: app.allowEmptyBody,
    schema: {
      tags: ['tokens'],
      operationId: 'refresh',
      summary: 'Trade a refresh token for its successor',
      description:
        'However many ask at once with one token, all get the same successor. A token whose answer was lost may ' +
        'be sent again until its successor has been used; any other spent token ends the session.',
      security: [],
      body: RefreshBody,
      response: {
        200: ref(Pair),
        ...failures(
          ...HAS_BODY,
          'token_missing',
          'token_invalid',
          'token_expired',
          'token_revoked',
          'token_reused',
          'session_ended',
          'csrf_failed',
        ),
      },
    },
    handler: async (request, reply) => {
      const { pair, limit } = await app.countRefused(request, reply, async () => {
        const token = request.body.refresh ?? request.refreshTokenFromCookie();
        if (token === undefined) throw new AuthError('token_missing');
        return app.sessions.refresh(token, clientOf(request));
      });
      if (limit) setLimitHeaders(reply, limit);
      announceToken(reply, pair.accessExpiresAt, app.clock());
      return sendPair(request, reply, pair);
    },
  });
};
