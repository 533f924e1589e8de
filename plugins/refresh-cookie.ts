import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';
import type { TokenPair } from '../src/tokens/session-service.js';

export const REFRESH_COOKIE = 'latchkey_refresh';

declare module 'fastify' {
  interface FastifyRequest {
    /** Did the caller ask for the refresh token by cookie? */
    wantsCookie(): boolean;
    /** The refresh token of the cookie, if there is one. @throws csrf_failed when a foreign page may be asking */
    refreshTokenFromCookie(): string | undefined;
  }
  interface FastifyReply {
    setRefreshCookie(pair: TokenPair): FastifyReply;
    /** Only at a logout: a refresh that was refused may have lost a race against the tab that set the cookie. */
    clearRefreshCookie(): FastifyReply;
  }
}

export interface RefreshCookieOptions {
  publicUrl: URL;
  corsOrigins: readonly string[];
}

/** The refresh token in a cookie that scripts cannot read, for `X-Auth-Transport: cookie`. */
export default fp<RefreshCookieOptions>(
  async (app, { publicUrl, corsOrigins }) => {
    const { cookieJar } = app;
    const origins = new Set([publicUrl.origin, ...corsOrigins]);

    app.decorateRequest('wantsCookie', function (this: FastifyRequest) {
      return this.headers['x-auth-transport'] === 'cookie';
    });
    app.decorateRequest('refreshTokenFromCookie', function (this: FastifyRequest) {
      const token = cookieJar.read(this, REFRESH_COOKIE);
      if (!token) return undefined;
      // The header cannot be sent across origins without a preflight, and the origin cannot be forged by a page.
      if (!this.wantsCookie() || !origins.has(this.headers.origin ?? '')) throw new AuthError('csrf_failed');
      return token;
    });
    app.decorateReply('setRefreshCookie', function (this: FastifyReply, pair: TokenPair) {
      return cookieJar.write(this, REFRESH_COOKIE, pair.refresh, pair.refreshExpiresIn);
    });
    app.decorateReply('clearRefreshCookie', function (this: FastifyReply) {
      return cookieJar.clear(this, REFRESH_COOKIE);
    });
  },
  { name: 'refresh-cookie', dependencies: ['cookie-jar'] },
);
