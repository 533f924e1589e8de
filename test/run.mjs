// npm test [-- filter… --tap-option…]: compiles, starts private servers, runs tap, stops everything.
// A filter is a part of a test file's path; options go to tap and need the form --name=value.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compile, testFiles } from './runner/build.mjs';
import { readCoverage } from './runner/coverage.mjs';
import { bringOtherNodes } from './runner/other-nodes.mjs';
import { findServers, RunError, requireNode } from './runner/prerequisites.mjs';
import { tapReport } from './runner/tap-report.mjs';

const LINE_COVERAGE_FLOOR = 85;

const root = fileURLToPath(new URL('..', import.meta.url));
const filters = process.argv.slice(2).filter((arg) => !arg.startsWith('-'));
const tapOptions = process.argv.slice(2).filter((arg) => arg.startsWith('-'));

let tap;
let interruptedBy;
const report = tapReport((line) => process.stdout.write(`${line}\n`));

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interruptedBy = signal;
    if (tap) stopTap(tap);
  });
}

async function run() {
  requireNode();
  Object.assign(process.env, findServers());
  await compileOrFail();
  stopIfInterrupted();

  const files = selectFiles();
  const stopNodes = files.some((file) => file.includes('/lambda/')) ? bringOtherNodes(root).stop : undefined;
  const runDir = makeRunDir();
  const support = await importSupport();
  try {
    await startSharedServers(support);
    stopIfInterrupted();
    await runTap(files);
  } finally {
    await stopNodes?.();
    await support.stopRecorded(runDir);
    rmSync(runDir, { recursive: true, force: true });
  }
  if (filters.length === 0) checkCoverage();
}

async function compileOrFail() {
  const compiled = await compile(root);
  if (compiled) return;
  const reason = 'The sources or tests do not compile';
  // Output is written nevertheless: work on one part may go on beside a half-finished other, but not pass.
  if (filters.length === 0) throw new RunError(reason);
  report.fail(reason);
}

function selectFiles() {
  const parts = filters.map((filter) => filter.replace(/^\.\//, '').replace(/\.[jt]s$/, ''));
  const files = testFiles(root);
  const selected = files.filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));
  if (selected.length === 0) throw new RunError(`No test file matches: ${filters.join(' ') || '(all)'}`);
  return selected;
}

/** Everything the run writes, and a record of every process it starts, is below this directory. */
function makeRunDir() {
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-test-'));
  // PostgreSQL runs as another user when we are root and must be able to pass through.
  chmodSync(dir, 0o711);
  mkdirSync(join(dir, 'pids'));
  process.env.TEST_RUN_DIR = dir;
  return dir;
}

/** The tests' own helpers, already compiled. */
async function importSupport() {
  const load = (name) => import(pathToFileURL(join(root, '.build/test/support', name)).href);
  const [records, redis, postgres] = await Promise.all([
    load('process-records.js'),
    load('redis-server.js'),
    load('postgres-server.js'),
  ]);
  return { ...records, ...redis, ...postgres };
}

async function startSharedServers({ startRedis, startPostgres }) {
  const [redis, postgres] = await Promise.all([startRedis(), startPostgres()]);
  process.env.TEST_REDIS_URL = redis.url;
  process.env.TEST_DATABASE_URL = postgres.url;
}

async function runTap(files) {
  tap = spawn(
    process.execPath,
    ['node_modules/tap/dist/esm/run.mjs', '--reporter=tap', '--no-color', ...tapOptions, ...files],
    // A process group of its own: a ^C reaches this file only, which then stops the rest in order.
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], detached: true },
  );
  if (interruptedBy) stopTap(tap);
  const closed = once(tap, 'close');
  await report.read(tap.stdout);
  const [code, signal] = await closed;
  tap = undefined;
  stopIfInterrupted();
  if (report.files < files.length) report.fail(`${files.length - report.files} test file(s) did not run`);
  if (report.passed + report.failed === 0) report.fail('no test ran');
  if (code !== 0 && report.failed === 0) report.fail(`tap ended with ${signal ?? `exit code ${code}`}`);
}

function stopTap(child) {
  signalGroup(child.pid, 'SIGTERM');
  setTimeout(() => signalGroup(child.pid, 'SIGKILL'), 2_000).unref();
}

function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function stopIfInterrupted() {
  if (interruptedBy) throw new RunError(`Stopped by ${interruptedBy}`);
}

function checkCoverage() {
  const { percent, summary } = readCoverage(root);
  console.log(`\n${summary}`);
  if (percent < LINE_COVERAGE_FLOOR) {
    report.fail(`line coverage ${percent.toFixed(1)} % is below ${LINE_COVERAGE_FLOOR} %`);
  }
}

try {
  await run();
} catch (error) {
  report.fail(error instanceof RunError ? error.message : error.stack);
}
console.log(`${report.passed} passed, ${report.failed} failed`);
process.exitCode = report.failed === 0 ? 0 : 1;
