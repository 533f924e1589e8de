import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PATHS } from '../../src/pages/paths.js';

/** Where NeuralFlow had its pages. */
const OLD_PAGES = {
  '/templates/auth/jwt_login.html': PATHS.signIn,
  '/core/enhanced-dashboard': PATHS.account,
};

/** Bookmarks of a system that Latchkey takes over from lead to the pages of today, which read the same `next`. */
export const oldPages: FastifyPluginAsyncTypebox = async (app) => {
  const base = app.prefix.replace(/\/$/, '');
  for (const [old, path] of Object.entries(OLD_PAGES)) {
    app.get(old, {
      schema: { hide: true },
      handler: async ({ url }, reply) => {
        const query = url.indexOf('?');
        return reply.redirect(base + path + (query < 0 ? '' : url.slice(query)));
      },
    });
  }
};
