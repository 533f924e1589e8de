import type { IncomingMessage, ServerResponse } from 'node:http';
import fp from 'fastify-plugin';
import helmet, { type HelmetOptions } from 'helmet';

export interface SecurityHeadersOptions {
  /** Served over TLS: tell browsers to stay there. */
  https: boolean;
}

/** An API answers with nothing that a browser should run, frame or guess the type of. */
export default fp<SecurityHeadersOptions>(
  async (app, { https }) => {
    const headers = askHelmet({
      // Pages bring a policy of their own; JSON runs nothing.
      contentSecurityPolicy: false,
      frameguard: { action: 'deny' },
      referrerPolicy: { policy: 'no-referrer' },
      hsts: https && { maxAge: 365 * 86_400, includeSubDomains: true },
      // Answers are for the origins that CORS names.
      crossOriginResourcePolicy: { policy: 'cross-origin' },
      // About documents, plug-ins and browsers of long ago: on each answer of an API they are only weight.
      crossOriginOpenerPolicy: false,
      originAgentCluster: false,
      dnsPrefetchControl: false,
      ieNoOpen: false,
      permittedCrossDomainPolicies: false,
      xssFilter: false,
    });
    app.addHook('onRequest', (_request, reply, done) => {
      reply.headers(headers);
      done();
    });
  },
  { name: 'security-headers' },
);

/**
 * What helmet sets is the same for every answer, so it is asked once, with something that only takes headers. Asked for
 * each request it writes past Fastify to the raw response, and Node.js then takes its slow way to send headers.
 */
function askHelmet(options: HelmetOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  const response = {
    setHeader: (name: string, value: string) => {
      headers[name.toLowerCase()] = value;
    },
    removeHeader: () => undefined,
  };
  helmet(options)({} as IncomingMessage, response as unknown as ServerResponse, (error) => {
    if (error) throw error;
  });
  return headers;
}
