import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { storeUnavailable } from '../../errors.js';

/** A command that takes longer is a store that is away (rule 4 of the contract). */
export const REDIS_TIMEOUT_MS = 1000;

type Reply = string | number | null | Reply[];

/** The few things the state store asks of Redis, each bounded by the timeout, each failing as `store_unavailable`. */
export interface RedisRunner {
  run(script: Script, keys: string[], args: (string | number)[]): Promise<Reply>;
  set(key: string, value: string, ttlMs: number): Promise<void>;
  close(): Promise<void>;
}

export interface Script {
  lua: string;
  sha: string;
}

export const defineScript = (lua: string): Script => ({
  lua,
  sha: createHash('sha1').update(lua).digest('hex'),
});

export interface RedisOptions {
  url: string;
  /** Called when the connection is lost and when it is back: for the log. */
  onState?: (state: 'ready' | 'lost', error?: Error) => void;
}

/**
 * Connects in the background: the service starts and answers 503 while Redis is away. Commands issued in one
 * turn of the event loop leave as one pipeline. Nothing is queued for a connection that is down and nothing is
 * sent again after one that broke, because whoever asked has been answered by then.
 */
export function connectRedis({ url, onState }: RedisOptions): RedisRunner {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableAutoPipelining: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: REDIS_TIMEOUT_MS,
    // A peer that vanished without a word is noticed by the first reply that is overdue.
    socketTimeout: 2 * REDIS_TIMEOUT_MS,
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, 1000),
    // After a failover the old primary answers as a replica: find the new one. Redis 6 buries the code in a sentence.
    reconnectOnError: (error) => error.message.includes('READONLY '),
  });
  let lost = false;
  let lastError: Error | undefined;
  // Without a listener ioredis prints to stderr; the cause is told once, when the connection is lost.
  redis.on('error', (error: Error) => {
    lastError = error;
  });
  redis.on('close', () => {
    if (!lost) onState?.('lost', lastError);
    lost = true;
  });
  redis.on('ready', () => {
    if (lost) onState?.('ready');
    lost = false;
  });
  const connected = redis.connect().catch(() => undefined);

  /** Commands at the very start wait for the connection; later nothing waits for one that is down. */
  async function bounded<T>(command: () => Promise<T>): Promise<T> {
    try {
      if (redis.status === 'connecting' || redis.status === 'connect') await deadline(connected);
      return await deadline(command());
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  function evaluate(script: Script, keys: string[], args: (string | number)[]): Promise<Reply> {
    const reply = redis.evalsha(script.sha, keys.length, ...keys, ...args) as Promise<Reply>;
    return reply.catch((error: Error) => {
      // Redis restarted or its script cache was flushed; nothing has run.
      if (!error.message.startsWith('NOSCRIPT')) throw error;
      return redis.eval(script.lua, keys.length, ...keys, ...args) as Promise<Reply>;
    });
  }

  return {
    run: (script, keys, args) => bounded(() => evaluate(script, keys, args)),
    set: async (key, value, ttlMs) => {
      await bounded(() => redis.set(key, value, 'PX', ttlMs));
    },
    close: async () => {
      redis.disconnect();
      await connected;
    },
  };
}

function deadline<T>(work: Promise<T>): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('Redis did not answer in time')), REDIS_TIMEOUT_MS);
    work.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
