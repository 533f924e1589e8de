import cors, { type FastifyCorsOptions } from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';

export interface CorsOptions {
  origins: readonly string[];
  /** Embedded mode: front ends of developers run on any port of this machine. */
  allowLocalhost: boolean;
  /** Of an application that is not ours, the library must not take every `OPTIONS` request. */
  ownRoutesOnly?: boolean;
}

const LOCALHOST = /^http:\/\/(localhost|127\.0\.0\.1)(:\d{1,5})?$/;

/** Which pages may call from the browser, with credentials, and what they may read of the answers. */
export default fp<CorsOptions>(
  async (app, { origins, allowLocalhost, ownRoutesOnly = false }) => {
    const listed = new Set(origins);
    const isAllowed = (origin: string) => listed.has(origin) || (allowLocalhost && LOCALHOST.test(origin));
    await app.register(ownRoutesOnly ? ofOwnRoutes : cors, {
      // A caller that is no page, or a page from elsewhere, gets none of these headers.
      origin: (origin, done) => done(null, origin !== undefined && isAllowed(origin) && origin),
      credentials: true,
      methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      // The last two are sent, and mean nothing here, by front ends that were made for Django.
      allowedHeaders: [
        'Authorization',
        'Content-Type',
        'Accept-Language',
        'X-Auth-Transport',
        'X-CSRFToken',
        'X-Requested-With',
      ],
      exposedHeaders: [
        'X-Auth-Status',
        'X-Token-Expires-At',
        'X-Token-Expires-In',
        'X-Request-Id',
        'RateLimit-Limit',
        'RateLimit-Remaining',
        'RateLimit-Reset',
        'Retry-After',
        'WWW-Authenticate',
      ],
      maxAge: 600,
      // An OPTIONS request that is no preflight would be answered by a bare text.
      strictPreflight: false,
    });
  },
  { name: 'cors' },
);

/** @fastify/cors but for its route `OPTIONS *`, which is the application's: each of our own paths gets one. */
const ofOwnRoutes = fp<FastifyCorsOptions>(
  (app, options, done) => {
    const withoutRoutes: FastifyInstance = Object.create(app, { options: { value: () => undefined } });
    cors(withoutRoutes, options, done);

    const { ignoreTrailingSlash, routerOptions } = app.initialConfig;
    const spellings = ignoreTrailingSlash || routerOptions?.ignoreTrailingSlash ? [''] : ['', '/'];
    const paths = new Set<string>();
    app.addHook('onRoute', ({ url, schema }) => {
      const path = url.slice(app.prefix.length).replace(/\/$/, '');
      // Pages for people are not called from elsewhere.
      if (!schema?.operationId || paths.has(path)) return;
      paths.add(path);
      for (const end of spellings) app.options(`${path}${end}`, { schema: { hide: true } }, notThere);
    });
  },
  { name: 'cors-of-own-routes' },
);

async function notThere(): Promise<never> {
  throw new AuthError('not_found');
}
