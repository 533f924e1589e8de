import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

interface ProcessEntry {
  parent: number;
  /** Tells a process from a later one with the same pid. */
  started: string;
}

/** Living processes by pid, zombies left out. */
export function processTable(): Map<number, ProcessEntry> {
  return existsSync('/proc/self/stat') ? tableFromProc() : tableFromPs();
}

function tableFromProc(): Map<number, ProcessEntry> {
  const table = new Map<number, ProcessEntry>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    if (stat === undefined) continue;
    // proc(5): "pid (comm) state ppid …", comm may hold blanks and brackets; starttime is field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] !== 'Z') table.set(Number(name), { parent: Number(fields[1]), started: fields[19] ?? '' });
  }
  return table;
}

function readStat(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
}

function tableFromPs(): Map<number, ProcessEntry> {
  const table = new Map<number, ProcessEntry>();
  for (const line of execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat=,lstart='], { encoding: 'utf8' }).split(
    '\n',
  )) {
    const [pid, parent, state = '', ...started] = line.trim().split(/\s+/);
    if (!state.startsWith('Z'))
      table.set(Number(pid), { parent: Number(parent), started: started.join(' ') });
  }
  return table;
}

export function childrenOf(pid: number): number[] {
  return [...processTable()].filter(([, { parent }]) => parent === pid).map(([child]) => child);
}

/** Notes a process for the end of the run: a test that is killed never reaches its own teardown. */
export function recordProcess(pid: number): void {
  const dir = process.env.TEST_RUN_DIR;
  const started = processTable().get(pid)?.started;
  if (dir && started) writeFileSync(join(dir, 'pids', String(pid)), started);
}

/** Ends every recorded process that is still alive: kindly first, then for good. */
export async function stopRecorded(runDir: string): Promise<void> {
  const recorded = readdirSync(join(runDir, 'pids')).map((name) => ({
    pid: Number(name),
    started: readFileSync(join(runDir, 'pids', name), 'utf8'),
  }));
  const alive = () => {
    const table = processTable();
    return recorded.filter(({ pid, started }) => table.get(pid)?.started === started).map(({ pid }) => pid);
  };
  for (const pid of alive()) {
    // A frozen process takes a signal only after it is thawed.
    signalIfAlive(pid, 'SIGCONT');
    signalIfAlive(pid, 'SIGINT');
  }
  for (let waited = 0; waited < 3_000 && alive().length > 0; waited += 50) await delay(50);
  for (const pid of alive()) signalIfAlive(pid, 'SIGKILL');
  while (alive().length > 0) await delay(20);
}

export function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

const ownDirs = new Set<string>();

process.on('exit', () => {
  for (const dir of ownDirs) rmSync(dir, { recursive: true, force: true });
});

/** A directory that goes away with the run, or, without test/run.mjs, with this process. */
export function makeTempDir(name: string): string {
  const runDir = process.env.TEST_RUN_DIR;
  const dir = mkdtempSync(join(runDir ?? tmpdir(), `latchkey-${name}-`));
  if (!runDir) ownDirs.add(dir);
  return dir;
}
