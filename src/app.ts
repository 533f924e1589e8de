import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Config } from './config.js';
import type { ServiceOptions } from './core.js';
import { createHost, type HostOptions } from './host.js';
import { latchkey } from './latchkey.js';
import type { Clock } from './lib/clock.js';

export interface AppOptions extends HostOptions, Pick<ServiceOptions, 'opened'> {
  /** The clock of everything that expires; tests move it. */
  now?: Clock;
}

/** The service: Latchkey alone in a Fastify application of its own. */
export async function buildApp(
  config: Config,
  { now = Date.now, opened, ...host }: AppOptions = {},
): Promise<FastifyInstance> {
  const app = await createHost(config, host);
  await app.register(fp(latchkey), { config, now, opened });
  return app;
}
