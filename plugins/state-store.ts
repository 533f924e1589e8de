import fp from 'fastify-plugin';
import { describeError } from '../src/lib/describe-error.js';
import { createRedisStateStore } from '../src/stores/redis/state-store.js';
import { createSqliteStateStore } from '../src/stores/sqlite/state-store.js';
import type { StateStore } from '../src/tokens/state-store.js';

declare module 'fastify' {
  interface FastifyInstance {
    stateStore: StateStore;
  }
}

export interface StateStoreOptions {
  redisUrl: string | undefined;
  redisCluster: boolean;
  redisPrefix: string;
}

/** Everything with a lifetime: Redis, or the embedded file. */
export default fp<StateStoreOptions>(
  async (app, { redisUrl, redisCluster, redisPrefix }) => {
    const store = redisUrl ? openRedis(redisUrl) : openEmbedded();
    app.decorate('stateStore', store);
    app.addHook('onClose', () => store.close());

    function openRedis(url: string): StateStore {
      return createRedisStateStore({
        url,
        cluster: redisCluster,
        prefix: redisPrefix,
        onState: (state, error) => {
          if (state === 'lost') app.log.error({ err: describeError(error) }, 'Redis is away: answering 503');
          else app.log.info('Redis is back');
        },
      });
    }

    function openEmbedded(): StateStore {
      const { sqlite } = app.database;
      if (!sqlite) throw new Error('the embedded state store needs the embedded database');
      return createSqliteStateStore({ sqlite });
    }
  },
  { name: 'state-store', dependencies: ['database'] },
);
