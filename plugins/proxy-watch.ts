import fp from 'fastify-plugin';
import type { TrustProxy } from '../src/security/client-address.js';
import { createProxyWatch, type ProxyFault } from '../src/security/proxy-watch.js';

export interface ProxyWatchOptions {
  trust: TrustProxy;
}

/** Warns, once, when what the requests look like and what TRUST_PROXY says are two things. */
export default fp<ProxyWatchOptions>(
  async (app, { trust }) => {
    const watch = createProxyWatch(trust);
    app.addHook('onRequest', (request, _reply, done) => {
      const peer = request.socket.remoteAddress ?? '';
      const fault = watch(peer, request.headers);
      if (fault) app.log.warn({ peer, trustProxy: trust.mode }, WARNINGS[fault]);
      done();
    });
  },
  { name: 'proxy-watch' },
);

const WARNINGS: Record<ProxyFault, string> = {
  unnamed:
    'a proxy forwards requests, but TRUST_PROXY names none: all callers share its address, and with it their limits',
  bypassed:
    'a request did not come through the proxy that TRUST_PROXY names: let only that proxy reach this port, or name the one in use',
};
