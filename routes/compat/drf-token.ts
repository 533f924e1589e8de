import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { readingAs } from '../../plugins/compat-dialect.js';
import { deprecate } from '../../plugins/drf-tokens.js';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { KeyObtained } from '../../src/compat/drf-token.js';
import { chooseObtainForm, namesOf, ObtainBody } from '../../src/compat/simple-jwt.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { CONSUMES, drfFailures } from './responses.js';

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
      const { password, ...names } = request.body;
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      const client = request.clientWithDevice();
      const { user, pair, deviceCookie, limit } = await app.accounts.login(
        namesOf(names),
        password,
        client,
        locale,
      );
      if (limit) setLimitHeaders(reply, limit);
      reply.setDeviceCookie(deviceCookie);
      const token = await app.drfTokens?.issue(user);
      return { refresh: pair.refresh, access: pair.access, ...(token !== undefined && { token }) };
    },
  });
};
