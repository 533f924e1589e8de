import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    /** What `npm run build` made of src/client, by the name of the file; none where nobody built it. */
    scripts: ReadonlyMap<string, Script>;
  }
}

export interface Script {
  body: Buffer;
  etag: string;
}

/** Reads the scripts for browsers into memory: some ten KiB, and no path is ever made of a URL. */
export default fp(
  async (app) => {
    const folder = new URL('../assets/js/', import.meta.url);
    const names = existsSync(folder) ? readdirSync(folder) : [];
    app.decorate('scripts', new Map(names.map((name) => [name, readScript(new URL(name, folder))])));
  },
  { name: 'scripts' },
);

function readScript(file: URL): Script {
  const body = readFileSync(file);
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` };
}
