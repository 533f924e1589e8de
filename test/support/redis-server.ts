import { connect } from 'node:net';
import type { Test } from 'tap';
import { type Daemon, launch } from './daemon.js';
import { freePort } from './free-port.js';
import { makeTempDir } from './process-records.js';

export interface RedisOptions {
  /** Added after the defaults (no persistence), so they win: `['--appendonly', 'yes']`. */
  args?: string[];
  dir?: string;
  port?: number;
}

export interface RedisServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly dir: string;
  freeze(): void;
  thaw(): void;
  /** SIGKILL; resolved when the process is gone. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Starts again on the same port and directory, stopping it first if it still runs. */
  restart(): Promise<void>;
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const port = options.port ?? (await freePort());
  const dir = options.dir ?? makeTempDir('redis');
  const args = [
    '--bind',
    '127.0.0.1',
    '--port',
    String(port),
    '--dir',
    dir,
    '--save',
    '',
    '--appendonly',
    'no',
  ];
  const boot = (): Promise<Daemon> =>
    launch(process.env.TEST_REDIS_SERVER ?? 'redis-server', [...args, ...(options.args ?? [])], {
      ready: () => answersPing(port),
    });
  let daemon = await boot();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    dir,
    get pid() {
      return daemon.pid;
    },
    freeze: () => daemon.freeze(),
    thaw: () => daemon.thaw(),
    kill: () => daemon.kill(),
    async stop() {
      await daemon.stop('SIGTERM');
    },
    async restart() {
      await daemon.stop('SIGTERM');
      daemon = await boot();
    },
  };
}

/** A Redis of the test's own, stopped when the test ends. */
export async function withRedis(t: Pick<Test, 'teardown'>, options?: RedisOptions): Promise<RedisServer> {
  const server = await startRedis(options);
  t.teardown(() => server.stop());
  return server;
}

/** A bare PING: ready means that the server answers, not that a client library succeeds in connecting. */
function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    const done = (ready: boolean) => {
      socket.destroy();
      resolve(ready);
    };
    socket.setTimeout(1_000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('close', () => done(false));
    // A server with a password is ready as well; one that still loads its data answers -LOADING.
    socket.once('data', (reply) => done(/^(\+PONG|-NOAUTH)/.test(reply.toString())));
  });
}
