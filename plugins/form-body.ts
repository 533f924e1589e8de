import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';

/**
 * For a scope that takes forms as well as JSON, both kinds that browsers send: `FormData` gives the second. Of a field
 * that comes twice the last counts, as Django has it; files are passed over. Where there is no body its type is no
 * matter: `XMLHttpRequest` calls an empty text `text/plain`.
 */
export default fp(
  async (app) => {
    app.addContentTypeParser<Buffer>(
      'application/x-www-form-urlencoded',
      { parseAs: 'buffer' },
      async (_request: unknown, body: Buffer) => readTexts(new URLSearchParams(body.toString())),
    );
    app.addContentTypeParser<Buffer>(
      'multipart/form-data',
      { parseAs: 'buffer' },
      async ({ headers }: { headers: { 'content-type'?: string | undefined } }, body: Buffer) =>
        readTexts(await readMultipart(headers['content-type'] ?? '', body)),
    );
    app.addContentTypeParser<Buffer>('*', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => {
      if (body.length > 0) throw new AuthError('unsupported_media_type');
    });
  },
  { name: 'form-body' },
);

/** RFC 7578, by the parser that Node's own `fetch` has. */
async function readMultipart(contentType: string, body: Buffer): Promise<FormData> {
  try {
    return await new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData();
  } catch {
    throw new AuthError('invalid_request', { why: 'not multipart' });
  }
}

function readTexts(form: Iterable<[string, unknown]>): Record<string, string> {
  const texts = Array.from(form).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  // What stands for bytes that are no UTF-8: it would turn many passwords into one.
  if (texts.some(([, text]) => text.includes('\ufffd')))
    throw new AuthError('invalid_request', { why: 'not UTF-8' });
  return Object.fromEntries(texts);
}
