import fp from 'fastify-plugin';
import type { TokenClaims } from '../src/tokens/claims.js';

declare module 'fastify' {
  interface FastifyInstance {
    blacklist: {
      /**
       * Refuses one token from now on, here and on every other process; its session goes on. The entry lives
       * exactly as long as the token would have. A token that an old system signed is refused in SQL as well.
       * @throws token_invalid when the token is not ours; store_unavailable when the entry is not stored.
       */
      revoke(token: string): Promise<TokenClaims>;
    };
  }
}

/** Single tokens that are refused before their time. Sessions as a whole end through `app.sessions`. */
export default fp(
  async (app) => {
    app.decorate('blacklist', { revoke: app.sessions.revoke });
  },
  { name: 'blacklist', dependencies: ['sessions'] },
);
