import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { matchesEtag } from '../etag.js';

export interface ScriptsOptions {
  /** Which of the scripts that were built. */
  names: readonly string[];
}

/**
 * Scripts for browsers, under names that stay. A changed one is there after five minutes at the latest, and an unchanged
 * one is not sent twice.
 */
export const scripts: FastifyPluginAsyncTypebox<ScriptsOptions> = async (app, { names }) => {
  for (const name of names) {
    const script = app.scripts.get(name);
    // A bundle for Lambda leaves them out.
    if (!script) continue;
    app.get(`/static/js/${name}`, {
      schema: { hide: true },
      handler: async (request, reply) => {
        reply
          .header('cache-control', 'public, max-age=300')
          .header('etag', script.etag)
          // Of no effect on a script that a page loads; opened by itself it is a text.
          .header('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
        if (matchesEtag(request.headers['if-none-match'], script.etag)) return reply.code(304).send();
        return reply.type('text/javascript; charset=utf-8').send(script.body);
      },
    });
  }
};
