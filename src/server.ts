import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { buildApp } from './app.js';
import type { Config } from './config.js';
import { databaseFile } from './stores/sql/database.js';

/** Starts the service, says where it is, and stops it in good order on SIGINT and SIGTERM. */
export async function serve(config: Config): Promise<FastifyInstance> {
  const app = await buildApp(config);
  for (const warning of config.warnings) app.log.warn(warning);
  try {
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    // Open connections to the stores would keep the process from ending.
    await app.close();
    throw error;
  }
  // Whatever reads GELF reads nothing else.
  if (!config.production && config.logFormat === 'json') process.stdout.write(describeService(config));

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      app.log.info({ signal }, 'stopping');
      stop(app).then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
  return app;
}

/** Closing the socket resets connections that nobody has accepted yet: a moment to take them in. */
const LAST_CALL_MS = 100;
/** How long requests under way may take to finish. */
const DRAIN_MS = 3500;

async function stop(app: FastifyInstance): Promise<void> {
  await delay(LAST_CALL_MS);
  // Node.js closes what is idle now; what falls idle later would be kept alive, and slow senders waited for.
  const sweep = setInterval(() => app.server.closeIdleConnections(), 100);
  const cut = setTimeout(() => app.server.closeAllConnections(), DRAIN_MS);
  try {
    await app.close();
  } finally {
    clearInterval(sweep);
    clearTimeout(cut);
  }
}

function describeService(config: Config): string {
  const url = config.publicUrl.origin;
  const lines = [
    '',
    'Latchkey is ready.',
    '',
    ...(config.pages ? [`  Pages    ${url}/`] : []),
    `  API      ${url}/api/auth/`,
    `  Docs     ${url}/docs`,
    `  Health   ${url}/healthz`,
    ...(config.databaseUrl === undefined
      ? [`  Data     ${databaseFile(config.dataDir)}`]
      : ['  Data     PostgreSQL (DATABASE_URL) and Redis (REDIS_URL)']),
    ...(config.embedded
      ? [
          '',
          '  Embedded mode: SQLite in that file, no Redis. For more than one server set DATABASE_URL and REDIS_URL.',
        ]
      : []),
    '',
    '',
  ];
  return lines.join('\n');
}
