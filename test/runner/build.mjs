// Compiles sources and tests into .build, where the tests run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildAssets } from '../../scripts/build-assets.mjs';

const OUT_DIR = '.build';

/** False when the compiler found errors; it has printed them. */
export async function compile(root) {
  removeStaleOutput(root);
  const [areTestsFine, arePagesFine] = await Promise.all([
    tsc(root, 'tsconfig.test.json'),
    tsc(root, 'tsconfig.pages.json'),
    buildAssets(root, join(root, OUT_DIR, 'assets')),
  ]);
  return areTestsFine && arePagesFine;
}

async function tsc(root, project) {
  const compiler = spawn(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(compiler, 'close');
  return code === 0;
}

/** Incremental builds keep the output of deleted sources, and a deleted test would run on. */
function removeStaleOutput(root) {
  for (const file of filesBelow(join(root, OUT_DIR))) {
    const source = relative(join(root, OUT_DIR), file).replace(/\.js(\.map)?$/, '.ts');
    if (/\.js(\.map)?$/.test(file) && !existsSync(join(root, source))) rmSync(file);
  }
}

/** Paths relative to the project. */
export function testFiles(root) {
  return filesBelow(join(root, OUT_DIR, 'test'))
    .filter((file) => file.endsWith('.test.js'))
    .map((file) => relative(root, file))
    .sort();
}

export function filesBelow(dir) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}
