// node scripts/build-assets.mjs [dir]: bundles what browsers load, by default into dist/assets.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** By where the file lies below the assets' directory. Plain scripts are `iife`, modules `esm`. */
const BUNDLES = {
  'js/latchkey-client.js': { entry: 'src/client/auth-client.ts', format: 'esm' },
  'js/jwt-client.js': { entry: 'src/client/legacy/jwt-client.ts', format: 'iife' },
  'js/jwt-auth.js': { entry: 'src/client/legacy/jwt-auth.ts', format: 'iife' },
};

/** Writes every bundle below `outDir`, and nothing else stays there. */
export async function buildAssets(outDir) {
  rmSync(outDir, { recursive: true, force: true });
  for (const [name, { entry, format, ...options }] of Object.entries(BUNDLES)) {
    const { outputFiles } = await build({
      absWorkingDir: root,
      entryPoints: [entry],
      bundle: true,
      minify: true,
      format,
      platform: 'browser',
      // Whatever has private class members and optional chaining: browsers of the last five years.
      target: 'es2021',
      legalComments: 'none',
      write: false,
      logLevel: 'warning',
      ...options,
    });
    const file = join(outDir, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, outputFiles[0].contents);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await buildAssets(process.argv[2] ?? join(root, 'dist/assets'));
}
