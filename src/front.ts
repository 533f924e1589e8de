import schemas from '../plugins/schemas.js';
import type { SerializerCompiler } from '../plugins/serializer-compiler.js';
import { me } from '../routes/account/me.js';
import { refresh } from '../routes/auth/refresh.js';
import { verify } from '../routes/auth/verify.js';
import type { Config } from './config.js';
import { core } from './core.js';
import { frontSerializers } from './front-serializers.js';
import { createHost } from './host.js';

/** What most requests ask for, with the stores that everything stands on: ready long before the whole service could be. */
export async function buildFront(config: Config) {
  const app = await createHost(config);
  const routes = new Set<string>();
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) routes.add(`${name} ${url}`);
  });
  await app.register(core, { config, now: Date.now });
  await app.register(schemas, { compileSerializer });
  await app.register(
    async (auth) => {
      await auth.register(refresh);
      await auth.register(verify);
      await auth.register(async (guarded) => {
        guarded.addHook('onRequest', guarded.authenticate);
        await guarded.register(me);
      });
    },
    { prefix: '/api/auth' },
  );
  /** Only in so many words: every other spelling of a path is for the whole service to understand. */
  const answers = (method: string, path: string): boolean => routes.has(`${method} ${path}`);
  return { app, answers };
}

const compileSerializer: SerializerCompiler = ({ schema }) => {
  const serializer = frontSerializers.get(JSON.stringify(schema));
  if (!serializer) throw new Error('src/contract/front-answers.ts does not name this answer');
  return serializer;
};
