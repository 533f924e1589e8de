import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';
import {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierOptions,
  type VerifiedToken,
} from '../src/verify/token-verifier.js';
import { requireBearer } from './authenticate.js';
import { challenge, STATUS } from './errors.js';

/** Named out here: in there `FastifyReply` is known only while something else declares a part of it. */
type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

declare module 'fastify' {
  interface FastifyInstance {
    tokenVerifier: TokenVerifier;
    /** A hook for routes that need a caller: afterwards `request.accessToken` says who it is. */
    requireAccessToken: Hook;
  }
  interface FastifyRequest {
    /** There on every route behind `requireAccessToken`. */
    accessToken: VerifiedToken;
  }
}

export type TokenVerifierPluginOptions = TokenVerifierOptions;

/**
 * For another service: a hook that lets good access tokens in. What it throws carries `statusCode` and `code`, which
 * Fastify's own error handler answers with.
 */
export default fp<TokenVerifierPluginOptions>(
  async (app, options) => {
    const verifier = createTokenVerifier({
      onTrouble: (error) => app.log.warn({ err: error }, 'access tokens may not be verifiable'),
      ...options,
    });
    app.decorate('tokenVerifier', verifier);
    app.decorateRequest('accessToken');
    app.decorate('requireAccessToken', async (request, reply) => {
      try {
        request.accessToken = await verifier.verify(requireBearer(request));
      } catch (error) {
        throw error instanceof AuthError ? prepare(error, reply) : error;
      }
    });
    app.addHook('onClose', () => verifier.close());
  },
  { name: 'token-verifier' },
);

function prepare(error: AuthError, reply: FastifyReply): AuthError & { statusCode: number } {
  const statusCode = STATUS[error.code];
  if (statusCode === 401) reply.header('www-authenticate', challenge(error.code));
  if (statusCode === 503) reply.header('retry-after', error.retryAfter ?? 1);
  return Object.assign(error, { statusCode });
}
