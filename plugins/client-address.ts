import fp from 'fastify-plugin';
import { createTrustedProxy, type TrustProxy } from '../src/security/client-address.js';

export interface ClientAddressOptions {
  trust: TrustProxy;
}

/**
 * Makes `request.ip` the caller's address behind a trusted proxy. Fastify's own `trustProxy` stays off: it knows no
 * `Forwarded`, keeps the port, and takes the host and the scheme from headers that some proxies pass on as they came.
 */
export default fp<ClientAddressOptions>(
  async (app, { trust }) => {
    const proxy = createTrustedProxy(trust);
    if (!proxy) return;
    app.addHook('onRequest', (request, _reply, done) => {
      // Most requests never ask for it. A peer that has gone meanwhile has no address any more.
      const get = (): string => proxy.clientAddress(request.socket.remoteAddress ?? '', request.headers);
      Object.defineProperty(request, 'ip', { get });
      done();
    });
  },
  { name: 'client-address' },
);
