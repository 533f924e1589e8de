// node scripts/build-assets.mjs [dir]: bundles what browsers load, by default below dist/assets.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { buildPages } from './build-pages.mjs';

/** By the name of the file. `iife` for `<script src>`, `esm` for `<script type="module">`. */
const SCRIPTS = {
  'latchkey-client.js': { entry: 'src/client/auth-client.ts', format: 'esm' },
  'jwt-client.js': { entry: 'src/client/legacy/jwt-client.ts', format: 'iife' },
  'jwt-auth.js': { entry: 'src/client/legacy/jwt-auth.ts', format: 'iife' },
};

/** The client as plain scripts in `js`, and the pages in `pages`. */
export async function buildAssets(root, dir) {
  const outdir = join(dir, 'js');
  rmSync(outdir, { recursive: true, force: true });
  const bundles = Object.entries(SCRIPTS).map(([name, { entry, format }]) =>
    build({
      absWorkingDir: root,
      entryPoints: [entry],
      outfile: join(outdir, name),
      bundle: true,
      minify: true,
      format,
      platform: 'browser',
      // Old front ends are visited with old browsers.
      target: 'es2020',
      legalComments: 'none',
      logLevel: 'warning',
    }),
  );
  await Promise.all([...bundles, buildPages(root, dir)]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  await buildAssets(root, process.argv[2] ?? join(root, 'dist/assets'));
}
