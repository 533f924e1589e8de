import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { createDrfTokens, type DrfTokens } from '../src/accounts/drf-tokens.js';
import type { TokenClaims } from '../src/tokens/claims.js';
import type { Limit } from '../src/tokens/state-store.js';
import { requireBearer } from './authenticate.js';
import { setLimitHeaders } from './limit-headers.js';
import { type AuthStatus, clientOf } from './request-context.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Where they are taken. */
    drfTokens: DrfTokens | undefined;
    /** As `authenticate`; it also takes a key of the Django REST Framework. For the routes of old systems only. */
    authenticateOld(request: FastifyRequest, reply: FastifyReply): Promise<void>;
    /** Ends every session of whoever asks, by a token or by such a key. */
    logoutAllOld(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  }
}

export interface DrfTokensOptions {
  /** `DRF_TOKENS` */
  isOn: boolean;
  userLimit: Limit | undefined;
}

/** `Authorization: Token <key>`, for clients of an old system that have nothing else. */
export default fp<DrfTokensOptions>(
  async (app, { isOn, userLimit }) => {
    const { database, stateStore: state, sessions, events, clock: now } = app;
    const tokens = isOn
      ? createDrfTokens({
          store: database.drfTokens,
          state,
          userLimit,
          permissionsOf: sessions.permissionsOf,
          now,
        })
      : undefined;

    async function authenticateKey(
      { authenticate }: DrfTokens,
      key: string,
      request: FastifyRequest,
      reply: FastifyReply,
    ): Promise<void> {
      deprecate(reply);
      const { limit, ...caller } = await app.countRefused(request, reply, () => authenticate(key));
      request.auth = { ...caller, limit, claims: { ...NO_CLAIMS, userId: caller.user.id } };
      reply.header('x-auth-status', 'authenticated' satisfies AuthStatus);
      if (limit) setLimitHeaders(reply, limit);
    }

    app.decorate('drfTokens', tokens);

    app.decorate('authenticateOld', async (request, reply) => {
      const key = readKey(request);
      if (tokens && key !== undefined) return authenticateKey(tokens, key, request, reply);
      return app.authenticate(request, reply);
    });

    app.decorate('logoutAllOld', async (request, reply) => {
      const client = clientOf(request);
      const key = readKey(request);
      if (!tokens || key === undefined) {
        await app.countRefused(request, reply, () => sessions.logoutAll(requireBearer(request), client));
        return;
      }
      await authenticateKey(tokens, key, request, reply);
      const { id: userId } = request.auth.user;
      await sessions.endAll(userId, 'logout_all');
      events.record({ type: 'logout_all', userId, reason: 'logout_all', client });
    });
  },
  { name: 'drf-tokens', dependencies: ['authenticate', 'sessions', 'database', 'rate-limit'] },
);

/** The scheme is Django's own; RFC 9110 §11.1: its case does not matter. */
const TOKEN = /^token +(\S+) *$/i;

const readKey = ({ headers }: FastifyRequest): string | undefined =>
  TOKEN.exec(headers.authorization ?? '')?.[1];

/** A key says nothing and belongs to no session. */
const NO_CLAIMS: TokenClaims = {
  tokenType: 'access',
  userId: '',
  sessionId: '',
  jti: '',
  issuedAt: 0,
  expiresAt: 0,
  payload: {},
};

/** RFC 9745 §2.1: since when, which here is since there are access tokens instead: 2026-11-21. */
export function deprecate(reply: FastifyReply): void {
  reply.header('deprecation', '@1795219200');
}
