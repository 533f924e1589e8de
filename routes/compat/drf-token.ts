import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { readingAs } from '../../plugins/compat-dialect.js';
import { deprecate } from '../../plugins/drf-tokens.js';
import { KeyObtained } from '../../src/compat/drf-token.js';
import { chooseObtainForm, ObtainBody } from '../../src/compat/simple-jwt.js';
import type { Locale } from '../../src/contract/messages.js';
import { CONSUMES, drfFailures } from './responses.js';
import { signInByPassword } from './token-pair.js';

/** The login of the Django REST Framework's `authtoken`, and of Cosmo at the same place. */
export const drfToken: FastifyPluginAsyncTypebox<{ defaultLocale: Locale }> = async (
  app,
  { defaultLocale },
) => {
  app.post('/api-token-auth/', {
    validatorCompiler: readingAs(chooseObtainForm),
    schema: {
      tags: ['simplejwt'],
      security: [],
      consumes: CONSUMES,
      operationId: 'obtainKey',
      summary: 'Sign in by password, for a pair of tokens and, with DRF_TOKENS=on, a key',
      deprecated: true,
      body: ObtainBody,
      response: { 200: KeyObtained, ...drfFailures(401) },
    },
    handler: async (request, reply) => {
      deprecate(reply);
      const { user, pair } = await signInByPassword(app, request, reply, defaultLocale);
      const token = await app.drfTokens?.issue(user);
      return { refresh: pair.refresh, access: pair.access, ...(token !== undefined && { token }) };
    },
  });
};
