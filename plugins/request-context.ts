import fp from 'fastify-plugin';
import { type Locale, pickLocale } from '../src/contract/messages.js';
import type { Client } from '../src/tokens/session-service.js';

/** The caller's standing, told on every answer as `X-Auth-Status`. */
export type AuthStatus = 'authenticated' | 'anonymous' | 'expired' | 'revoked' | 'invalid';

declare module 'fastify' {
  interface FastifyRequest {
    /** Where the request comes from and with what; the address is only as good as `TRUST_PROXY`. */
    readonly client: Client;
    /** The language of the answer. */
    readonly locale: Locale;
  }
}

/** Three fields of 64 bytes hold it in the state store. */
const MAX_USER_AGENT = 192;

/** IPv6 at its longest. What a proxy forwards may be no address at all, and longer than the column that holds it. */
const MAX_ADDRESS = 45;

const printable = (text: string, length: number): string =>
  text.slice(0, length).replace(/[^\x20-\x7e]/g, '?');

export interface RequestContextOptions {
  defaultLocale: Locale;
}

/** Who is asking and in which language, worked out only where somebody wants to know. */
export default fp<RequestContextOptions>(
  async (app, { defaultLocale }) => {
    app.decorateRequest('client', {
      getter(): Client {
        return {
          // A peer that has gone meanwhile has no address any more.
          ip: printable(this.ip ?? '', MAX_ADDRESS),
          userAgent: printable(this.headers['user-agent'] ?? '', MAX_USER_AGENT),
        };
      },
    });
    app.decorateRequest('locale', {
      getter(): Locale {
        return pickLocale(this.headers['accept-language'], defaultLocale);
      },
    });
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id);
      reply.header('x-auth-status', 'anonymous' satisfies AuthStatus);
      // Routes that may be kept say so themselves.
      reply.header('cache-control', 'no-store');
      done();
    });
  },
  { name: 'request-context' },
);
