import cookie from '@fastify/cookie';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';
import type { TokenPair } from '../src/tokens/session-service.js';

const NAME = 'latchkey_refresh';

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
    const origins = new Set([publicUrl.origin, ...corsOrigins]);
    const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(publicUrl.hostname);
    const attributes = { httpOnly: true, sameSite: 'strict', path: '/', secure: !isLocal } as const;

    // An application of its own, which never listens: one around us may have cookies with other defaults.
    const jar = Fastify();
    await jar.register(cookie, { hook: false });

    app.decorateRequest('wantsCookie', function (this: FastifyRequest) {
      return this.headers['x-auth-transport'] === 'cookie';
    });
    app.decorateRequest('refreshTokenFromCookie', function (this: FastifyRequest) {
      const token = jar.parseCookie(this.headers.cookie ?? '')[NAME];
      if (!token) return undefined;
      // The header cannot be sent across origins without a preflight, and the origin cannot be forged by a page.
      if (!this.wantsCookie() || !origins.has(this.headers.origin ?? '')) throw new AuthError('csrf_failed');
      return token;
    });
    const setCookie = (reply: FastifyReply, value: string, age: { maxAge: number; expires?: Date }) =>
      reply.header('set-cookie', jar.serializeCookie(NAME, value, { ...attributes, ...age }));

    app.decorateReply('setRefreshCookie', function (this: FastifyReply, pair: TokenPair) {
      return setCookie(this, pair.refresh, { maxAge: pair.refreshExpiresIn });
    });
    app.decorateReply('clearRefreshCookie', function (this: FastifyReply) {
      return setCookie(this, '', { maxAge: 0, expires: new Date(0) });
    });
  },
  { name: 'refresh-cookie' },
);
