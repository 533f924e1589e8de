import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { clientOf } from '../../plugins/request-context.js';
import type { User } from '../../src/accounts/user.js';
import type { Code } from '../../src/contract/codes.js';
import { Introspection, TokenQuestion } from '../../src/contract/oauth.js';
import { EmptyBody } from '../../src/contract/tokens.js';
import { AuthError } from '../../src/errors.js';
import type { TokenClaims } from '../../src/tokens/claims.js';
import type { Client } from '../../src/tokens/session-service.js';
import { failures, HAS_BODY } from '../responses.js';

const common = {
  tags: ['oauth'],
  security: [{ client: [] }],
  consumes: ['application/x-www-form-urlencoded', 'application/json'],
  body: TokenQuestion,
};

/** For services that are given tokens; each is a client, which the scope has recognised. */
export const tokens: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/introspect', {
    schema: {
      ...common,
      operationId: 'introspect',
      summary: 'Is this token good now, and what does it say? (RFC 7662)',
      description:
        "Not counted against the user's limit. A store that is away is 503, never an inactive token.",
      response: { 200: Introspection, ...failures(...HAS_BODY, 'invalid_credentials') },
    },
    handler: async ({ body }) => {
      const found = await unlessRefused(() => app.withNewKeys(() => app.sessions.introspect(body.token)));
      return found ? describeToken(found) : { active: false };
    },
  });

  app.post('/revoke', {
    schema: {
      ...common,
      operationId: 'revoke',
      summary: 'Revoke an access token, or end the session of a refresh token (RFC 7009)',
      description: 'Answers 200 whatever the token was; 503 when the revocation is not stored: ask again.',
      response: { 200: EmptyBody, ...failures(...HAS_BODY, 'invalid_credentials') },
    },
    handler: async (request) => {
      const { body, oauthClient, log } = request;
      const kind = await unlessRefused(() => app.withNewKeys(() => revoke(body.token, clientOf(request))));
      if (kind) log.info({ client: oauthClient.id, kind }, 'a client revoked a token');
      return {};
    },
  });

  /** RFC 7009 §2.1: with a refresh token go the access tokens of the same grant, here the session. */
  async function revoke(token: string, client: Client) {
    const { tokenType } = app.sessions.readToken(token, { allowExpired: true });
    if (tokenType === 'refresh') await app.sessions.logout({ refresh: token }, client);
    else await app.blacklist.revoke(token);
    return tokenType;
  }
};

/** What can be wrong with a token; any other failure is none of the token's. */
const REFUSALS = new Set<Code>([
  'token_invalid',
  'token_expired',
  'token_revoked',
  'token_reused',
  'session_ended',
]);

async function unlessRefused<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof AuthError && REFUSALS.has(error.code)) return undefined;
    throw error;
  }
}

/** RFC 7662 §2.2: `token_type` is that of RFC 6749 §5.1, and so says less than the claim of that name. */
function describeToken({ claims, user }: { claims: TokenClaims; user: User }) {
  const { token_type: _, ...payload } = claims.payload;
  const username = user.username ?? user.email ?? user.phone;
  return {
    ...payload,
    // An old system's token names its user in its own way, and may be taken for less time than it says.
    sub: claims.userId,
    exp: claims.expiresAt,
    active: true,
    ...(claims.tokenType === 'access' && { token_type: 'Bearer' as const }),
    token_use: claims.tokenType,
    ...(username !== null && { username }),
  };
}
