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

export interface RequestContextOptions {
  defaultLocale: Locale;
}

/** Who is asking and in which language, worked out only where somebody wants to know. */
export default fp<RequestContextOptions>(
  async (app, { defaultLocale }) => {
    app.decorateRequest('client', {
      getter(): Client {
        const userAgent = this.headers['user-agent'] ?? '';
        return { ip: this.ip, userAgent: userAgent.slice(0, MAX_USER_AGENT).replace(/[^\x20-\x7e]/g, '?') };
      },
    });
    app.decorateRequest('locale', {
      getter(): Locale {
        return pickLocale(this.headers['accept-language'], defaultLocale);
      },
    });
    app.addHook('onRequest', async (request, reply) => {
      reply.header('x-request-id', request.id);
      reply.header('x-auth-status', 'anonymous' satisfies AuthStatus);
    });
  },
  { name: 'request-context' },
);
