// Starts what is measured, each on its own core where there are two, and stops it.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { compile } from '../test/runner/build.mjs';
import { locateServers } from '../test/runner/prerequisites.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const cli = here('../dist/src/cli.js');
const canPin = existsSync('/usr/bin/taskset') && availableParallelism() > 1;
const running = [];

export const KEY = randomBytes(48).toString('base64url');

/** The server gets core 0; the load and Redis get core 1, which this process is moved to as well. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

export function describePinning() {
  return canPin
    ? `server on core ${SERVER_CORE}, load and Redis on core ${LOAD_CORE}`
    : 'not pinned to cores';
}

function start(core, command, args, env, cwd) {
  const [file, ...rest] = canPin ? ['taskset', '-c', String(core), command, ...args] : [command, ...args];
  const child = spawn(file, rest, {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (child.output += text));
  running.push(child);
  return child;
}

export async function startRedis() {
  if (canPin) spawn('taskset', ['-cp', String(LOAD_CORE), String(process.pid)], { stdio: 'ignore' });
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  const port = await freePort();
  const args = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir];
  const child = start(LOAD_CORE, 'redis-server', args.map(String));
  await reachable(child, port);
  return { url: `redis://127.0.0.1:${port}`, port, dir, child };
}

/** The tests know how to start a PostgreSQL of their own; it goes where Redis is. */
export async function startPostgres() {
  const root = here('..');
  Object.assign(process.env, locateServers());
  if (!(await compile(root))) {
    await stopAll();
    throw new Error('the tests do not compile');
  }
  const support = await import('../.build/test/support/postgres-server.js');
  return support.startPostgres();
}

/** (a) and (b). */
export async function startCeiling(redis) {
  const port = await freePort();
  const child = start(SERVER_CORE, process.execPath, [here('./ceiling.mjs')], {
    PORT: port,
    REDIS_URL: redis.url,
    JWT_SIGNING_KEY: KEY,
  });
  await reachable(child, port);
  return { port, child };
}

/** (c): Latchkey as in production, with every limit on, set high enough never to refuse. */
export async function startLatchkey(redis, databaseUrl) {
  if (!existsSync(cli)) throw new Error('Run `npm run build` first.');
  const port = await freePort();
  const startedAt = performance.now();
  const child = start(
    SERVER_CORE,
    process.execPath,
    [...(process.env.BENCH_NODE_ARGS?.split(' ') ?? []), cli, 'serve'],
    {
      PORT: port,
      REDIS_URL: redis.url,
      JWT_SIGNING_KEY: KEY,
      LATCHKEY_DATA_DIR: join(redis.dir, 'data'),
      LOG_LEVEL: 'warn',
      RATE_LIMIT_LOGIN: '100000000/hour',
      RATE_LIMIT_LOGIN_IP: '100000000/hour',
      RATE_LIMIT_REFRESH: '100000000/hour',
      RATE_LIMIT_USER: '100000000/hour',
      RATE_LIMIT_ANON: '100000000/hour',
      ...(databaseUrl && { DATABASE_URL: databaseUrl }),
    },
  );
  await reachable(child, port);
  return { port, child, startMs: performance.now() - startedAt };
}

/** Password comparisons per second on the server's core, with nothing around them. */
export async function rawArgon2(ms) {
  const child = start(SERVER_CORE, process.execPath, [here('./raw-argon2.mjs'), String(ms)]);
  await once(child, 'exit');
  return Number(child.output);
}

async function reachable(child, port) {
  const { connect } = await import('node:net');
  for (let turn = 0; turn < 500; turn++) {
    if (child.exitCode !== null) throw new Error(`it did not start: ${child.output}`);
    const socket = connect(Number(port), '127.0.0.1');
    const ok = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (ok) return;
    await delay(20);
  }
  throw new Error(`it did not start: ${child.output}`);
}

export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await Promise.race([once(child, 'exit'), delay(5000).then(() => child.kill('SIGKILL'))]);
}

export async function stopAll(dir) {
  await Promise.all(running.map(stop));
  if (dir) rmSync(dir, { recursive: true, force: true });
}

/** CPU time of all threads of a process so far, in µs (sched-stats.rst: the first field counts nanoseconds). */
export function cpuMicros(pid) {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1000;
}

export function residentMib(pid) {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

/** Below the ephemeral range, which collides under load. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const free = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
