import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { launch } from './daemon.js';
import { freePort } from './free-port.js';
import { makeTempDir } from './process-records.js';

export interface ServerOptions {
  /** Added to PATH, HOME, PORT and LATCHKEY_DATA_DIR; `undefined` leaves a variable out. */
  env?: Record<string, string | undefined>;
  /** Path of another Node.js. */
  node?: string;
  /** Instead of `serve`. */
  args?: string[];
}

export interface ServerProcess {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly dataDir: string;
  output(): string;
  freeze(): void;
  thaw(): void;
  /** Sends the signal, SIGKILL by default, and waits for the end. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** SIGTERM; throws when the server is not gone within 5 seconds. */
  stop(): Promise<void>;
}

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

/** Latchkey as a process of its own, answering on /healthz. */
export async function startServer(options: ServerOptions = {}): Promise<ServerProcess> {
  const port = Number(options.env?.PORT ?? (await freePort()));
  const dataDir = options.env?.LATCHKEY_DATA_DIR ?? makeTempDir('data');
  const url = `http://127.0.0.1:${port}`;
  const { PATH, HOME } = process.env;
  // tap adds its coverage hook to NODE_OPTIONS; without a value of our own it would add this process's as well,
  // and another version of Node.js may refuse those.
  const NODE_OPTIONS = '--enable-source-maps';
  const env = { PATH, HOME, NODE_OPTIONS, LATCHKEY_DATA_DIR: dataDir, ...options.env, PORT: String(port) };
  const daemon = await launch(options.node ?? process.execPath, [CLI, ...(options.args ?? ['serve'])], {
    env,
    // Not the project's directory: a .env file there must not reach the server.
    cwd: dataDir,
    ready: () => isHealthy(url),
  });
  return {
    url,
    port,
    dataDir,
    pid: daemon.pid,
    output: daemon.output,
    freeze: daemon.freeze,
    thaw: daemon.thaw,
    async kill(signal = 'SIGKILL') {
      if (signal === 'SIGKILL') await daemon.kill();
      else await end(signal);
    },
    stop: () => end('SIGTERM'),
  };

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (await daemon.stop(signal)) return;
    throw new Error(`the server did not end within 5 s of ${signal}: ${daemon.output()}`);
  }
}

/** A server that ends with the test. */
export async function withServer(t: Pick<Test, 'teardown'>, options?: ServerOptions): Promise<ServerProcess> {
  const server = await startServer(options);
  t.teardown(() => server.stop());
  return server;
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
