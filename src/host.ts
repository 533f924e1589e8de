import { randomUUID } from 'node:crypto';
import Fastify, {
  type FastifyInstance,
  type FastifyServerOptions,
  LogController,
  type preHandlerAsyncHookHandler,
} from 'fastify';
import { NO_COMPILERS } from '../plugins/apart.js';
import clientAddress from '../plugins/client-address.js';
import proxyWatch from '../plugins/proxy-watch.js';
import type { Config } from './config.js';
import { type Locale, MESSAGES } from './contract/messages.js';
import { AuthError } from './errors.js';
import { describeError } from './lib/describe-error.js';
import { LOG_LINES, REQUEST_ID_LABEL } from './lib/log-lines.js';

export interface HostOptions {
  /** Where log lines go; stdout by default. */
  logStream?: { write(line: string): void };
}

/** A Fastify application of our own, to register `core` in: until then it cannot say that there is no such route. */
export async function createHost(config: Config, { logStream }: HostOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(config, logStream));
  await app.register(proxyWatch, { trust: config.trustProxy });
  await app.register(clientAddress, { trust: config.trustProxy });
  const limit: preHandlerAsyncHookHandler = (request, reply) => app.limitAnonymous(request, reply);
  app.setNotFoundHandler({ preHandler: limit }, async (request) => {
    throw new AuthError(unreadable.has(request.raw) ? 'invalid_request' : 'not_found');
  });
  return app;
}

const unreadable = new WeakSet<object>();

/** A peer that sends its request slower than this is cut off (ms). */
const REQUEST_TIMEOUT_MS = 10_000;

function serverOptions(config: Config, stream: HostOptions['logStream']): FastifyServerOptions {
  return {
    // plugins/client-address.ts knows who is to be believed, and about what.
    trustProxy: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // The default of 30 s would let slow senders stay four times as long.
    http: { connectionsCheckingInterval: 1000, headersTimeout: REQUEST_TIMEOUT_MS },
    forceCloseConnections: 'idle',
    // Whoever still gets through while the service stops is answered: its stores close last.
    return503OnClosing: false,
    routerOptions: { ignoreTrailingSlash: true },
    schemaController: NO_COMPILERS,
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    // plugins/request-log.ts writes one line for each answer instead of two.
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: REQUEST_ID_LABEL[config.logFormat],
    }),
    logger: {
      level: config.logLevel,
      ...LOG_LINES[config.logFormat],
      // The default would describe a description once more, and log whatever a library hangs on its errors.
      serializers: { err: (error: unknown) => (error instanceof Error ? describeError(error) : error) },
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
      if (socket.writable) socket.end(describeUnreadable(error.code, config.defaultLocale));
    },
  } as FastifyServerOptions;
}

const UNREADABLE: Record<string, readonly [status: number, reason: string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout'],
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large'],
};

/** The whole answer to what is not HTTP, or not in time: there is no request that could be answered. */
function describeUnreadable(code: string, locale: Locale): string {
  const [status, reason] = UNREADABLE[code] ?? [400, 'Bad Request'];
  const body = JSON.stringify({
    type: 'urn:latchkey:problem:invalid_request',
    ...MESSAGES[locale].invalid_request,
    status,
    code: 'invalid_request',
    request_id: randomUUID(),
  });
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
