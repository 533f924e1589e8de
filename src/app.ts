import { randomUUID } from 'node:crypto';
import Fastify, { type FastifyInstance, type FastifyServerOptions, LogController } from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from './config.js';
import { AuthError } from './errors.js';
import { latchkey } from './latchkey.js';
import type { Clock } from './lib/clock.js';

export interface AppOptions {
  /** The clock of everything that expires; tests move it. */
  now?: Clock;
  /** Where log lines go; stdout by default. */
  logStream?: { write(line: string): void };
}

/** The service: Latchkey alone in a Fastify application of its own. */
export async function buildApp(
  config: Config,
  { now = Date.now, logStream }: AppOptions = {},
): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(config, logStream));
  await app.register(fp(latchkey), { config, now });

  app.setNotFoundHandler({ preHandler: app.limitAnonymous }, async (request) => {
    throw new AuthError(unreadable.has(request.raw) ? 'invalid_request' : 'not_found');
  });
  return app;
}

const unreadable = new WeakSet<object>();

/** A peer that sends its request slower than this is cut off (ms). */
const REQUEST_TIMEOUT_MS = 10_000;

function serverOptions(config: Config, stream: AppOptions['logStream']): FastifyServerOptions {
  return {
    // `true` would take the leftmost, forgeable address; a list is checked from the right (proxy-addr).
    trustProxy: config.trustedProxies.length > 0 ? [...config.trustedProxies] : false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // The default of 30 s would let slow senders stay four times as long.
    http: { connectionsCheckingInterval: 1000, headersTimeout: REQUEST_TIMEOUT_MS },
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true },
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    // plugins/request-log.ts writes one line for each answer instead of two.
    logController: new LogController({ disableRequestLogging: true }),
    logger: {
      level: config.logLevel,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      ...(stream ? { stream } : {}),
    },
    // A URL that cannot be read meets no hook and no limit, and its request lacks our decorators. It is sent
    // round again to where nothing is, so that it is counted, logged and answered like any other.
    frameworkErrors: (_error, request, reply) => {
      unreadable.add(request.raw);
      request.raw.url = '/unreadable-url';
      request.server.routing(request.raw, reply.raw);
    },
    clientErrorHandler: (error, socket) => {
      // Not HTTP, or not in time: there is no request to answer in the caller's language.
      if (!socket.writable) return;
      const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    },
  } as FastifyServerOptions;
}
