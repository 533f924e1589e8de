import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { readBearer } from '../../plugins/authenticate.js';
import { AuthError } from '../../src/errors.js';
import { isLoopback, readAddress } from '../../src/lib/network.js';
import { failures } from '../responses.js';

export interface MetricsRouteOptions {
  /** Whoever shows it may read; without one only this machine may. */
  token: string | undefined;
}

/** Of Prometheus's text format. */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export const metrics: FastifyPluginAsyncTypebox<MetricsRouteOptions> = async (app, { token }) => {
  const mayRead = token === undefined ? comesFromHere : bears(token);

  app.get('/metrics', {
    schema: {
      tags: ['system'],
      operationId: 'metrics',
      summary: 'What happened so far, for Prometheus',
      description:
        'For whoever shows `METRICS_TOKEN` as bearer token; without that setting for this machine only.',
      security: [],
      response: {
        200: {
          description: 'Metrics in the text format of Prometheus.',
          content: { 'text/plain': { schema: Type.String() } },
        },
        ...failures('forbidden'),
      },
    },
    handler: async (request, reply) => {
      if (!mayRead(request)) throw new AuthError('forbidden', { why: 'metrics are not for everybody' });
      reply.type(CONTENT_TYPE);
      return app.meter.render();
    },
  });
};

/** Compared by their hashes, in constant time: neither the token nor its length shows. */
function bears(token: string): (request: FastifyRequest) => boolean {
  const expected = hash(token);
  return (request) => timingSafeEqual(hash(readBearer(request) ?? ''), expected);
}

const hash = (text: string): Buffer => createHash('sha256').update(text).digest();

/** What proxies add, each of which says that somebody else is asking. */
const OF_PROXIES = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-forwarded-server',
  'x-real-ip',
  'x-client-ip',
  'x-original-forwarded-for',
  'x-cluster-client-ip',
  'cf-connecting-ip',
  'true-client-ip',
  'x-amz-cf-id',
  'x-envoy-external-address',
  'cdn-loop',
];

/**
 * Is it a program on this machine that is asking? Behind a proxy on this machine every peer is, so the request must
 * bear no mark of one, and must have been meant for this machine: a proxy that adds nothing mostly passes on the name
 * that it was asked by, and a page that somebody's browser was lured to (DNS rebinding) sends its own. What is left is
 * a proxy that hides that it is one, as nginx does by default, but for the HTTP/1.0 that it then speaks.
 */
function comesFromHere({ socket, headers, raw }: FastifyRequest): boolean {
  return (
    isThisMachine(socket.remoteAddress) &&
    raw.httpVersion !== '1.0' &&
    OF_PROXIES.every((name) => headers[name] === undefined) &&
    isThisMachine(hostOf(headers.host))
  );
}

function isThisMachine(name = ''): boolean {
  const address = readAddress(name);
  return address ? isLoopback(address) : name === 'localhost';
}

/** RFC 9110 §7.2: without the port, and without the brackets of an IPv6 address. */
const hostOf = (header = ''): string =>
  header
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
