import type { FastifyInstance, FastifyPluginAsync, RegisterOptions } from 'fastify';
import fp from 'fastify-plugin';
import type { User } from './accounts/user.js';
import { latchkey as service } from './latchkey.js';
import { type LatchkeyOptions, readOptions } from './options.js';

/**
 * Latchkey inside somebody else's application. Its routes and all they stand on live in a scope of their own; the
 * application gets `app.authenticate`, `app.authorize()`, `app.latchkey` and `request.auth`, and nothing else.
 * @throws ConfigError when the options cannot be used.
 */
export const latchkey: FastifyPluginAsync<LatchkeyOptions> = fp(
  async (host: FastifyInstance, options: LatchkeyOptions & RegisterOptions) => {
    requireFreeNames(host);
    const { config, claims, now, ...guest } = readOptions(options);
    for (const warning of config.warnings) host.log.warn(warning);

    const { prefix, logLevel, logSerializers } = options;
    let scope = host;
    await host.register(
      async (inner) => {
        scope = inner;
        const customClaims = claims && (async (user: User) => claims(user));
        await service(inner, { config, now, customClaims, guest });
      },
      { prefix, logLevel, logSerializers },
    );
    host.decorateRequest('auth');
    host.decorate('authenticate', answering(scope, scope.authenticate));
    host.decorate('authorize', (...permissions) => answering(scope, scope.authorize(...permissions)));
    host.decorate('latchkey', scope.latchkey);
  },
  { name: 'latchkey', fastify: '5.x' },
);

/** Every application has these once, wherever in it Latchkey is registered. */
function requireFreeNames(host: FastifyInstance): void {
  if (host.hasDecorator('latchkey')) {
    throw new Error(
      'Latchkey is registered here already. For a second one, give each a scope of its own: ' +
        "app.register(async (scope) => { await scope.register(latchkey, …); /* its routes */ }, { prefix: '/…' })",
    );
  }
  const taken = ['authenticate', 'authorize'].filter((name) => host.hasDecorator(name));
  if (host.hasRequestDecorator('auth')) taken.push('request.auth');
  if (taken.length > 0) {
    throw new Error(
      `Latchkey cannot be registered where there is already a decorator ${taken.join(', ')}: ` +
        'register it in a scope that has none',
    );
  }
}

type Hook = FastifyInstance['authenticate'];

/**
 * A hook for routes of the application, whose error handler is its own: a caller who is refused gets the same
 * problem document as on Latchkey's routes, sent from here.
 */
function answering(scope: FastifyInstance, check: Hook): Hook {
  return async (request, reply) => {
    try {
      await check(request, reply);
    } catch (error) {
      if (!reply.hasHeader('x-auth-status')) reply.header('x-auth-status', 'anonymous');
      scope.sendProblem(request, reply, error);
      // Whatever waits for this hook must never go on, not even when the peer hangs up before the answer is out.
      await new Promise(() => undefined);
    }
  };
}
