import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { childrenOf, processTable, recordProcess, signalIfAlive } from './process-records.js';

/** A server program the tests started. */
export interface Daemon {
  readonly pid: number;
  /** What it wrote to stdout and stderr so far. */
  output(): string;
  /** Suspends it and its children: sockets stay open, nobody answers. */
  freeze(): void;
  thaw(): void;
  /** A crash: SIGKILL to it and its children, resolved when all are gone. */
  kill(): Promise<void>;
  /** Thaws it and asks it to end; resolves false when it had to be killed after `seconds`. */
  stop(signal: NodeJS.Signals, seconds?: number): Promise<boolean>;
}

interface LaunchOptions extends Pick<SpawnOptions, 'cwd' | 'env' | 'uid' | 'gid'> {
  /** Polled until true; `seconds` is the limit, 15 by default. */
  ready: () => Promise<boolean>;
  seconds?: number;
}

const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) {
    for (const pid of family(child.pid!)) signalIfAlive(pid, 'SIGKILL');
  }
});

/** Starts a program and waits until it is ready; throws with its output when it ends or stays silent. */
export async function launch(command: string, args: string[], options: LaunchOptions): Promise<Daemon> {
  const { ready, seconds = 15, ...spawnOptions } = options;
  const written: string[] = [];
  const output = () => written.join('');
  // In a process group of its own: a ^C in the terminal must not reach it before the tests are done with it.
  const child = spawn(command, args, { ...spawnOptions, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      written.push(String(error));
      running.delete(child);
      resolve();
    });
    child.once('exit', () => {
      running.delete(child);
      resolve();
    });
  });
  child.stdout.on('data', (chunk) => written.push(String(chunk)));
  child.stderr.on('data', (chunk) => written.push(String(chunk)));
  if (child.pid === undefined) {
    await exited;
    throw new Error(`${command} did not start: ${output()}`);
  }
  const { pid } = child;
  recordProcess(pid);

  const daemon: Daemon = {
    pid,
    output,
    freeze() {
      // The parent first: it could still be making children.
      signalIfAlive(pid, 'SIGSTOP');
      for (const each of childrenOf(pid)) {
        recordProcess(each);
        signalIfAlive(each, 'SIGSTOP');
      }
    },
    thaw() {
      for (const each of family(pid)) signalIfAlive(each, 'SIGCONT');
    },
    async kill() {
      if (!running.has(child)) return;
      daemon.freeze();
      const members = family(pid);
      for (const each of members) signalIfAlive(each, 'SIGKILL');
      await exited;
      while (anyAlive(members)) await delay(5);
    },
    async stop(signal, limit = 5) {
      if (!running.has(child)) return true;
      daemon.thaw();
      signalIfAlive(pid, signal);
      const ended = await within(limit, exited);
      if (!ended) await daemon.kill();
      return ended;
    },
  };

  const deadline = Date.now() + seconds * 1_000;
  while (!(await ready())) {
    const ended = !running.has(child);
    if (!ended && Date.now() < deadline) {
      await delay(15);
      continue;
    }
    await daemon.kill();
    const reason = ended ? 'ended' : `was not ready after ${seconds} s`;
    throw new Error(`${command} ${reason}: ${output() || '(no output)'}`);
  }
  if (!running.has(child)) {
    throw new Error(`${command} ended, and another process answers in its place: ${output()}`);
  }
  return daemon;
}

function family(pid: number): number[] {
  return [pid, ...childrenOf(pid)];
}

function anyAlive(pids: number[]): boolean {
  const table = processTable();
  return pids.some((pid) => table.has(pid));
}

async function within(seconds: number, promise: Promise<void>): Promise<boolean> {
  const timer = new AbortController();
  const limit = delay(seconds * 1_000, false, { signal: timer.signal }).catch(() => false);
  const done = await Promise.race([promise.then(() => true), limit]);
  timer.abort();
  return done;
}
