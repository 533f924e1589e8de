import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { describePerson, Person } from '../../src/compat/pycoder.js';
import { drfFailures } from './responses.js';

/** For people who are signed in; registration and login are in `phone-or-password.ts`. */
export const pycoder: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/user/', {
    schema: {
      tags: ['pycoder'],
      operationId: 'pycoderUser',
      summary: 'Who is calling',
      response: { 200: Person, ...drfFailures(401) },
    },
    handler: async ({ auth }) => describePerson(auth.user),
  });
};
