import type { FastifyInstance, FastifyPluginAsync, RouteOptions } from 'fastify';

const VERBS = ['get', 'post', 'put', 'patch', 'delete'] as const;

type Verb = (url: string, options: Omit<RouteOptions, 'method' | 'url'>) => FastifyInstance;

/**
 * For a router that minds a slash at the end of a path: gives each route under its path and under the path with a
 * slash. Fastify does so by itself for the root of a prefix, and shows that second one to no `onRoute` hook.
 *
 * The routes are hidden from the OpenAPI document of the application around us, which knows neither our security
 * schemes nor our schemas; plugins/docs.ts shows them in ours.
 */
export const bothSpellings =
  <Options extends object>(routes: FastifyPluginAsync<Options>): FastifyPluginAsync<Options> =>
  async (app, options) => {
    const doubling: FastifyInstance = Object.create(app);
    for (const verb of VERBS) {
      const double: Verb = (url, route) => {
        const hidden = { ...route, schema: { ...route.schema, hide: true } } as RouteOptions;
        app.register(async (root) => root[verb]('/', hidden), { prefix: url.replace(/\/$/, '') });
        return doubling;
      };
      Object.defineProperty(doubling, verb, { value: double });
    }
    await routes(doubling, options);
  };
