import helmet, { type FastifyHelmetOptions } from '@fastify/helmet';
import Fastify from 'fastify';
import fp from 'fastify-plugin';

export interface SecurityHeadersOptions {
  /** Served over TLS: tell browsers to stay there. */
  https: boolean;
}

/** An API answers with nothing that a browser should run, frame or guess the type of. */
export default fp<SecurityHeadersOptions>(
  async (app, { https }) => {
    const headers = await askHelmet({
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
 * What helmet sets is the same for every answer, so it is asked once, in an application that never listens. Asked
 * for each request it writes past Fastify to the raw response, and Node.js then takes its slow way to send headers.
 */
async function askHelmet(options: FastifyHelmetOptions): Promise<Record<string, string>> {
  const host = Fastify();
  await host.register(helmet, options);
  host.get('/', async () => '');
  const { headers } = await host.inject('/');
  const ofHelmet = Object.entries(headers).filter(([name]) => !OF_ANY_ANSWER.has(name));
  return Object.fromEntries(ofHelmet) as Record<string, string>;
}

const OF_ANY_ANSWER = new Set(['connection', 'content-length', 'content-type', 'date']);
