import cors from '@fastify/cors';
import fp from 'fastify-plugin';

export interface CorsOptions {
  origins: readonly string[];
  /** Embedded mode: front ends of developers run on any port of this machine. */
  allowLocalhost: boolean;
}

const LOCALHOST = /^http:\/\/(localhost|127\.0\.0\.1)(:\d{1,5})?$/;

/** Which pages may call from the browser, with credentials, and what they may read of the answers. */
export default fp<CorsOptions>(
  async (app, { origins, allowLocalhost }) => {
    const listed = new Set(origins);
    const isAllowed = (origin: string) => listed.has(origin) || (allowLocalhost && LOCALHOST.test(origin));
    await app.register(cors, {
      // A caller that is no page, or a page from elsewhere, gets none of these headers.
      origin: (origin, done) => done(null, origin !== undefined && isAllowed(origin) && origin),
      credentials: true,
      methods: ['GET', 'POST', 'PATCH', 'DELETE'],
      allowedHeaders: ['Authorization', 'Content-Type', 'Accept-Language', 'X-Auth-Transport'],
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
