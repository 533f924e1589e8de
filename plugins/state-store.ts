import fp from 'fastify-plugin';
import { describeError } from '../src/lib/describe-error.js';
import { createRedisStateStore } from '../src/stores/redis/state-store.js';
import { createSqliteStateStore } from '../src/stores/sqlite/state-store.js';
import type { Stores } from '../src/stores/stores.js';
import { timed } from './counted-stores.js';

declare module 'fastify' {
  interface FastifyInstance {
    stateStore: Stores;
  }
}

export interface StateStoreOptions {
  redisUrl: string | undefined;
  redisCluster: boolean;
  redisPrefix: string;
  /** The process stands still between requests. */
  mayFreeze: boolean;
}

/** Everything with a lifetime: Redis, or the embedded file. */
export default fp<StateStoreOptions>(
  async (app, { redisUrl, redisCluster, redisPrefix, mayFreeze }) => {
    const { meter } = app;
    const store = redisUrl ? openRedis(redisUrl) : openEmbedded();
    app.decorate('stateStore', store);
    app.addHook('onClose', () => store.close());

    function openRedis(url: string): Stores {
      return createRedisStateStore({
        url,
        cluster: redisCluster,
        prefix: redisPrefix,
        mayFreeze,
        onCommand: (ms, hasFailed) => meter.countStoreCall('redis', ms, hasFailed),
        onState: (state, error) => {
          if (state === 'lost') app.log.error({ err: describeError(error) }, 'Redis is away: answering 503');
          else app.log.info('Redis is back');
        },
      });
    }

    function openEmbedded(): Stores {
      const { sqlite } = app.database;
      if (!sqlite) throw new Error('the embedded state store needs the embedded database');
      return timed(createSqliteStateStore({ sqlite }), meter);
    }
  },
  { name: 'state-store', dependencies: ['database', 'metrics'] },
);
