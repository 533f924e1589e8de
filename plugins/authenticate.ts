import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';
import { toIso, toSeconds } from '../src/lib/clock.js';
import type { Authenticated } from '../src/tokens/session-service.js';
import { setLimitHeaders } from './limit-headers.js';
import type { AuthStatus } from './request-context.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** A hook for routes that need a caller: afterwards `request.auth` says who it is. */
    authenticate(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  }
  interface FastifyRequest {
    /** The caller; there on every route behind `authenticate`. */
    auth: Authenticated;
  }
}

/** Recognises the caller by an access token. Routes are guarded by being registered behind the hook. */
export default fp(
  async (app) => {
    app.decorateRequest('auth');

    app.decorate('authenticate', async (request, reply) => {
      request.auth = await app.countRefused(request, reply, () =>
        app.sessions.authenticate(requireBearer(request)),
      );
      const { claims, limit } = request.auth;
      announceToken(reply, claims.expiresAt, app.clock());
      if (limit) setLimitHeaders(reply, limit);
    });
  },
  { name: 'authenticate', dependencies: ['sessions', 'rate-limit'] },
);

/** `X-Auth-Status` and how long the token in use still lives. */
export function announceToken(reply: FastifyReply, expiresAtSeconds: number, now: number): void {
  reply.header('x-auth-status', 'authenticated' satisfies AuthStatus);
  reply.header('x-token-expires-at', toIso(expiresAtSeconds * 1000));
  reply.header('x-token-expires-in', Math.max(0, expiresAtSeconds - toSeconds(now)));
}

/** RFC 9110 §11.1: the scheme is case-insensitive; RFC 6750 §2.1: then one token. */
const BEARER = /^bearer(?: +|$)/i;

/** The bearer token, or `undefined` when the request names none. */
export function readBearer(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization;
  if (header === undefined || !BEARER.test(header)) return undefined;
  return header.replace(BEARER, '').trimEnd() || undefined;
}

export function requireBearer(request: FastifyRequest): string {
  const token = readBearer(request);
  if (token === undefined) throw new AuthError('token_missing');
  return token;
}
