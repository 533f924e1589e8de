import helmet from '@fastify/helmet';
import fp from 'fastify-plugin';

export interface SecurityHeadersOptions {
  /** Served over TLS: tell browsers to stay there. */
  https: boolean;
}

/** An API answers with nothing that a browser should run, frame or guess the type of. */
export default fp<SecurityHeadersOptions>(
  async (app, { https }) => {
    await app.register(helmet, {
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
  },
  { name: 'security-headers' },
);
