import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { isStaff } from '../src/accounts/authority.js';
import { AuthError } from '../src/errors.js';

/** Named out here: in there `FastifyReply` is known only while something else declares a part of it. */
type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Makes a hook for routes that need a caller with all of these permissions; superusers have every one. It
     * recognises the caller itself where `authenticate` has not run before it.
     */
    authorize(...permissions: [string, ...string[]]): Hook;
    /** A hook for routes that need somebody of staff; `authenticate` has run before it. */
    requireStaff: Hook;
  }
}

/** What a caller may do, by the permissions of the account's role as they are now, not as the token says. */
export default fp(
  async (app) => {
    app.decorate('requireStaff', async ({ auth }) => {
      if (!isStaff(auth.user)) throw new AuthError('forbidden', { why: 'no staff' });
    });

    app.decorate('authorize', (...permissions) => {
      // A misspelt constant must stop the start, not open the route.
      if (permissions.length === 0 || permissions.some((name) => typeof name !== 'string' || name === '')) {
        throw new TypeError('authorize() takes the names of the permissions that a route needs');
      }
      return async (request, reply) => {
        if (!request.auth) await app.authenticate(request, reply);
        const { user, permissions: granted } = request.auth;
        if (user.isSuperuser || permissions.every((name) => granted.includes(name))) return;
        throw new AuthError('forbidden', { why: `needs ${permissions.join(', ')}` });
      };
    });
  },
  { name: 'authorize', dependencies: ['authenticate'] },
);
