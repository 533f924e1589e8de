// The versions of Node.js that AWS Lambda runs, for the tests of its bundle.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const VERSIONS = { 22: '22.23.3', 24: '24.21.0' };

/**
 * Where each of them will be: TEST_NODE_22 and TEST_NODE_24, beside which `ready` appears when it is whole. What is
 * missing comes from the npm registry while other tests run, once, and is kept: as a dependency its `node` would stand
 * before the real one in the PATH of every script. Returns when they are `there`, and what stops that.
 */
export function bringOtherNodes(root) {
  const missing = [];
  for (const [major, version] of Object.entries(VERSIONS)) {
    if (process.versions.node.startsWith(`${major}.`)) {
      process.env[`TEST_NODE_${major}`] = process.execPath;
      continue;
    }
    const name = `node-${process.platform}-${process.arch}`;
    const dir = join(root, 'node_modules/.cache/latchkey', `node-${version}`);
    process.env[`TEST_NODE_${major}`] = join(dir, 'node_modules', name, 'bin/node');
    if (!existsSync(join(dir, 'ready'))) missing.push({ dir, spec: `${name}@${version}` });
  }
  let npm;
  let stopped = false;
  async function install() {
    for (const { dir, spec } of missing) {
      if (stopped) return;
      mkdirSync(dir, { recursive: true });
      const quietly = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
      // A process group of its own: npm starts others.
      npm = spawn('npm', ['install', ...quietly, '--prefix', dir, spec], { stdio: 'ignore', detached: true });
      const [code] = await once(npm, 'exit');
      npm = undefined;
      if (code === 0) writeFileSync(join(dir, 'ready'), '');
    }
  }
  const there = install();
  const stop = async () => {
    stopped = true;
    if (npm) process.kill(-npm.pid, 'SIGTERM');
    await there;
  };
  return { there, stop };
}
