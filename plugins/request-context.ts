import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { canonicalAddress } from '../src/security/client-address.js';
import type { Client } from '../src/tokens/session-service.js';

/** The caller's standing, told on every answer as `X-Auth-Status`. */
export type AuthStatus = 'authenticated' | 'anonymous' | 'expired' | 'revoked' | 'invalid';

/** Three fields of 64 bytes hold it in the state store. */
const MAX_USER_AGENT = 192;

/** IPv6 at its longest. In an application that is not ours it may be no address at all, and longer than its column. */
const MAX_ADDRESS = 45;

const printable = (text: string, length: number): string =>
  text.slice(0, length).replace(/[^\x20-\x7e]/g, '?');

/** Where a request comes from and with what; the address is only as good as `TRUST_PROXY`. */
export function clientOf({ ip, headers }: Pick<FastifyRequest, 'ip' | 'headers'>): Client {
  return {
    // A peer that has gone meanwhile has no address any more.
    ip: canonicalAddress(ip ?? '') ?? printable(ip ?? '', MAX_ADDRESS),
    userAgent: printable(headers['user-agent'] ?? '', MAX_USER_AGENT),
  };
}

/** What every answer says of its request. */
export default fp(
  async (app) => {
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
