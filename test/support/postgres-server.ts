import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { Test } from 'tap';
import { type Daemon, launch } from './daemon.js';
import { freePort } from './free-port.js';
import { makeTempDir } from './process-records.js';

export interface PostgresServer {
  /** Of the cluster's first database; its user is the superuser. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly dir: string;
  /** Suspends the server and every backend. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL to the server and every backend; resolved when all are gone. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Starts again on the same port and data, stopping it first if it still runs. */
  restart(): Promise<void>;
}

const run = promisify(execFile);
const USER = 'latchkey';

/** A cluster of the test's own; takes about a second. */
export async function startPostgres(): Promise<PostgresServer> {
  const port = await freePort();
  const dir = makeTempDir('postgres');
  const data = join(dir, 'data');
  const owner = unprivilegedUser();
  mkdirSync(data, { mode: 0o700 });
  if (owner) {
    chmodSync(dir, 0o711);
    chownSync(data, owner.uid, owner.gid);
  }
  const asOwner = { ...owner, cwd: data };
  const initdb = ['-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  await run(program('initdb'), initdb, asOwner);

  const url = `postgres://${USER}@127.0.0.1:${port}/postgres`;
  const settings = {
    // Nothing here outlives the machine; commits still survive a kill of the processes.
    fsync: 'off',
    full_page_writes: 'off',
    shared_buffers: '32MB',
    // Files in the data directory instead of /dev/shm, so that a kill leaves nothing outside it.
    dynamic_shared_memory_type: 'mmap',
    // TCP only: the path of a socket in a temporary directory easily exceeds the limit of 107 bytes.
    unix_socket_directories: '',
  };
  const args = ['-D', data, '-h', '127.0.0.1', '-p', String(port)];
  for (const [name, value] of Object.entries(settings)) args.push('-c', `${name}=${value}`);
  const boot = (): Promise<Daemon> =>
    launch(program('postgres'), args, { ...asOwner, ready: () => accepts(url) });

  let daemon = await boot();
  return {
    url,
    port,
    dir,
    get pid() {
      return daemon.pid;
    },
    freeze: () => daemon.freeze(),
    thaw: () => daemon.thaw(),
    async kill() {
      await daemon.kill();
      removeSharedMemory(data);
    },
    // SIGINT is PostgreSQL's "fast shutdown": it does not wait for clients to leave.
    async stop() {
      await daemon.stop('SIGINT');
    },
    async restart() {
      await daemon.stop('SIGINT');
      daemon = await boot();
    },
  };
}

/** A cluster of the test's own, stopped when the test ends. */
export async function withPostgres(t: Pick<Test, 'teardown'>): Promise<PostgresServer> {
  const server = await startPostgres();
  t.teardown(() => server.stop());
  return server;
}

/** The URL of a new, empty database in the shared cluster, dropped when the test ends. */
export async function freshDatabase(t: Pick<Test, 'teardown'>): Promise<string> {
  const url = new URL(sharedUrl());
  const name = `t_${randomBytes(8).toString('hex')}`;
  await query(url.href, `CREATE DATABASE ${name} TEMPLATE template0`);
  t.teardown(() => query(sharedUrl(), `DROP DATABASE ${name} WITH (FORCE)`));
  url.pathname = `/${name}`;
  return url.href;
}

function sharedUrl(): string {
  const url = process.env.TEST_DATABASE_URL;
  if (!url) throw new Error('TEST_DATABASE_URL is not set: run the tests with npm test');
  return url;
}

function program(name: string): string {
  const dir = process.env.TEST_POSTGRES_BIN;
  return dir ? join(dir, name) : name;
}

/** PostgreSQL refuses to run as root. */
function unprivilegedUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n').sort().reverse()) {
    const [name, , uid, gid] = line.split(':');
    if (name === 'postgres' || name === 'nobody') return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('running as root, and there is no user postgres or nobody to run PostgreSQL');
}

async function accepts(url: string): Promise<boolean> {
  return query(url, 'SELECT 1').then(
    () => true,
    () => false,
  );
}

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // An error after the answer (the server going away) must not end the test process.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end().catch(() => {});
  }
}

/** A killed server leaves its System V interlock segment; line 7 of postmaster.pid holds "key id". */
function removeSharedMemory(data: string): void {
  const file = join(data, 'postmaster.pid');
  if (!existsSync(file)) return;
  const id = readFileSync(file, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1];
  if (!id) return;
  try {
    execFileSync('ipcrm', ['-m', id], { stdio: 'ignore' });
  } catch {
    // Without ipcrm, or if the kernel has removed it already, some bytes stay until the next boot.
  }
}
