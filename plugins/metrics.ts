import fp from 'fastify-plugin';
import { createMetrics, type Metrics } from '../src/audit/metrics.js';
import { STATUS } from './errors.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Whoever sees something happen counts it here. */
    meter: Metrics;
  }
}

export interface MetricsOptions {
  /** Whether the process is ours, so that its memory and event loop are worth telling. */
  ofProcess: boolean;
  /** Of another application of this process, which counts for both. */
  meter?: Metrics | undefined;
}

/** Counts what happens, for `GET /metrics`; each application its own. */
export default fp<MetricsOptions>(
  async (app, { ofProcess, meter: metrics = createMetrics({ statusOf: STATUS, ofProcess }) }) => {
    app.decorate('meter', metrics);

    app.addHook('onResponse', (request, reply, done) => {
      done();
      const { url } = request.routeOptions;
      metrics.countRequest(request.method, url && withoutSlash(url), reply.statusCode, reply.elapsedTime);
    });
  },
  { name: 'metrics' },
);

/** In an application that minds it, one route has both spellings. */
const withoutSlash = (pattern: string): string =>
  pattern.length > 1 && pattern.endsWith('/') ? pattern.slice(0, -1) : pattern;
