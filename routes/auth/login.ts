import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { clientOf } from '../../plugins/request-context.js';
import { LoginBody } from '../../src/contract/accounts.js';
import { ref } from '../../src/contract/ref.js';
import { PairWithUser } from '../../src/contract/tokens.js';
import { AuthError } from '../../src/errors.js';
import { describeUser, sendPair } from '../present.js';
import { failures, HAS_BODY } from '../responses.js';

export const login: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/login', {
    schema: {
      tags: ['auth'],
      operationId: 'login',
      summary: 'Sign in by password',
      security: [],
      body: LoginBody,
      response: {
        200: ref(PairWithUser),
        ...failures(...HAS_BODY, 'invalid_credentials', 'account_disabled', 'overloaded'),
      },
    },
    handler: async (request, reply) => {
      const { password, ...names } = request.body;
      requireOneName(names);
      const { user, permissions, pair, limit } = await app.accounts.login(names, password, clientOf(request));
      if (limit) setLimitHeaders(reply, limit);
      return { ...sendPair(request, reply, pair), user: describeUser(user, permissions) };
    },
  });
};

function requireOneName({ email, username }: { email?: string; username?: string }): void {
  if (email === undefined && username === undefined) {
    throw new AuthError('invalid_request', { errors: [{ field: 'email', code: 'required' }] });
  }
  if (email !== undefined && username !== undefined) {
    throw new AuthError('invalid_request', { errors: [{ field: 'username', code: 'unknown' }] });
  }
}
