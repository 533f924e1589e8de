import fp from 'fastify-plugin';
import type { TokenClaims } from '../src/tokens/claims.js';

declare module 'fastify' {
  interface FastifyInstance {
    blacklist: {
      /**
       * Refuses one token from now on, here and on every other process; its session goes on. The entry lives
       * exactly as long as the token would have.
       * @throws token_invalid when the token is not ours; store_unavailable when the entry is not stored.
       */
      revoke(token: string): Promise<TokenClaims>;
    };
  }
}

export interface BlacklistOptions {
  /** Seconds that a token is taken beyond its expiry. */
  leeway: number;
}

/** Single tokens that are refused before their time. Sessions as a whole end through `app.sessions`. */
export default fp<BlacklistOptions>(
  async (app, { leeway }) => {
    app.decorate('blacklist', {
      async revoke(token) {
        const claims = app.sessions.readToken(token, { allowExpired: true });
        await app.stateStore.revokeToken({
          userId: claims.userId,
          jti: claims.jti,
          expiresAt: (claims.expiresAt + leeway) * 1000,
          now: app.clock(),
        });
        return claims;
      },
    });
  },
  { name: 'blacklist', dependencies: ['sessions'] },
);
