import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Of each major version that Lambda runs the one that is tested. */
const VERSIONS = { 22: '22.23.3', 24: '24.21.0' } as const;

const cache = fileURLToPath(new URL('../../../node_modules/.cache/latchkey', import.meta.url));

/**
 * The path of that Node.js. One that is not this process's own comes once from the npm registry and is kept: as a
 * dependency its `node` would stand before the real one in every script's PATH.
 */
export async function otherNode(major: keyof typeof VERSIONS): Promise<string> {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath;
  const version = VERSIONS[major];
  const name = `node-${process.platform}-${process.arch}`;
  const dir = join(cache, `node-${version}`);
  const file = join(dir, 'node_modules', name, 'bin/node');
  if (!existsSync(file)) {
    const quietly = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
    const args = ['install', ...quietly, '--prefix', dir, `${name}@${version}`];
    await promisify(execFile)('npm', args, { env: { PATH: process.env.PATH, HOME: process.env.HOME } });
  }
  return file;
}
