import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { ref } from '../../src/contract/ref.js';
import { User } from '../../src/contract/user.js';
import { describeUser } from '../present.js';
import { failures, NEEDS_TOKEN } from '../responses.js';

export const me: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/me', {
    schema: {
      tags: ['account'],
      operationId: 'getMe',
      summary: 'Who is calling',
      response: { 200: ref(User), ...failures(...NEEDS_TOKEN) },
    },
    handler: async ({ auth }) => describeUser(auth.user, auth.permissions),
  });
};
