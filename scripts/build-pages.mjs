// Bundles the pages' scripts and styles into <dir>/pages, under names that change with their content, and lists them
// in <dir>/pages/manifest.json for plugins/page-assets.ts.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';

/** What the HTML names, by the name it has there; the rest is loaded by these. */
const ENTRIES = {
  'boot.js': 'src/pages/boot.ts',
  'main.js': 'src/pages/main.tsx',
  'main.css': 'src/pages/styles/main.css',
  'charts.css': 'src/pages/styles/charts.css',
};

export async function buildPages(root, dir) {
  const outdir = join(dir, 'pages');
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true });
  const shared = {
    absWorkingDir: root,
    outdir,
    bundle: true,
    minify: true,
    metafile: true,
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    target: ['chrome123', 'firefox120', 'safari17.5'],
    logLevel: 'warning',
    legalComments: 'none',
  };
  const { 'boot.js': boot, ...others } = ENTRIES;
  const results = await Promise.all([
    // It runs before the page is painted, so it is no module.
    build({ ...shared, entryPoints: [boot], format: 'iife' }),
    build({
      ...shared,
      entryPoints: Object.values(others),
      format: 'esm',
      splitting: true,
      jsx: 'automatic',
      jsxImportSource: 'preact',
    }),
  ]);
  const outputs = Object.assign({}, ...results.map(({ metafile }) => metafile.outputs));
  copyFileSync(join(root, 'src/pages/mark.svg'), join(outdir, 'mark.svg'));
  const pathOf = (source) => Object.keys(outputs).find((path) => outputs[path].entryPoint === source);
  const names = Object.entries(ENTRIES).map(([name, source]) => [name, basename(pathOf(source))]);
  const { imports } = outputs[pathOf(ENTRIES['main.js'])];
  const imported = imports
    .filter(({ kind }) => kind === 'import-statement')
    .map(({ path }) => basename(path));
  writeFileSync(
    join(outdir, 'manifest.json'),
    JSON.stringify({ names: Object.fromEntries(names), imported }),
  );
}
