import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { clientOf } from '../../plugins/request-context.js';
import { RegisterBody } from '../../src/contract/accounts.js';
import { ref } from '../../src/contract/ref.js';
import { PairWithUser } from '../../src/contract/tokens.js';
import { describeUser, sendPair } from '../present.js';
import { failures, HAS_BODY } from '../responses.js';

export const register: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/register', {
    onRequest: app.limitAnonymous,
    schema: {
      tags: ['auth'],
      operationId: 'register',
      summary: 'Make an account and sign in',
      security: [],
      body: RegisterBody,
      response: {
        201: ref(PairWithUser),
        ...failures(
          ...HAS_BODY,
          'weak_password',
          'password_mismatch',
          'registration_closed',
          'email_taken',
          'username_taken',
          'overloaded',
        ),
      },
    },
    handler: async (request, reply) => {
      const { body } = request;
      const { user, permissions, pair } = await app.accounts.register(
        {
          email: body.email,
          password: body.password,
          passwordAgain: body.password2,
          username: body.username,
          firstName: body.first_name,
          lastName: body.last_name,
          userType: body.user_type,
        },
        clientOf(request),
      );
      reply.code(201);
      return { ...sendPair(request, reply, pair), user: describeUser(user, permissions) };
    },
  });
};
