import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    /** What `npm run build` made of src/pages; `undefined` where nobody built it. */
    pageAssets: PageAssets | undefined;
  }
}

export interface PageAsset {
  body: Buffer;
  type: string;
  etag: string;
}

export interface PageAssets {
  /** By the name in the URL, which changes with the content. */
  files: ReadonlyMap<string, PageAsset>;
  /** The name of `main.js` and the like as it is now. */
  nameOf(entry: string): string;
  /** What `main.js` imports before it runs. */
  imported: readonly string[];
}

const TYPES: Record<string, string> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Reads the pages' scripts and styles into memory: some hundred KiB, and no path is ever made of a URL. */
export default fp(
  async (app) => {
    app.decorate('pageAssets', readAssets(new URL('../assets/pages/', import.meta.url)));
    if (!app.pageAssets) app.log.warn('The pages are not served: they have not been built (npm run build).');
  },
  { name: 'page-assets' },
);

function readAssets(folder: URL): PageAssets | undefined {
  const manifest = readManifest(new URL('manifest.json', folder));
  if (!manifest) return undefined;
  const files = new Map<string, PageAsset>();
  for (const name of readdirSync(folder)) {
    const type = TYPES[extname(name)];
    if (!type) continue;
    const body = readFileSync(new URL(name, folder));
    files.set(name, { body, type, etag: `"${createHash('sha256').update(body).digest('base64url')}"` });
  }
  return { files, nameOf: (entry) => manifest.names[entry] as string, imported: manifest.imported };
}

interface Manifest {
  names: Record<string, string>;
  imported: string[];
}

function readManifest(file: URL): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
