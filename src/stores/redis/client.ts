import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cluster, Redis } from 'ioredis';
import { storeUnavailable } from '../../errors.js';
import { connectCluster } from './cluster.js';

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
  /** Of a cluster: those of some of its nodes, comma-separated. */
  url: string;
  cluster?: boolean;
  /**
   * The process stands still between requests, as on Lambda: a connection may be lost meanwhile, which is no news, and
   * is made again when somebody needs it and not before.
   */
  mayFreeze?: boolean;
  /** Called when the connection is lost and when it is back: for the log. */
  onState?: (state: 'ready' | 'lost', error?: Error) => void;
  /** Told of every command, how long it took (ms) and whether it failed: for the metrics. */
  onCommand?: (ms: number, hasFailed: boolean) => void;
}

/**
 * Connects in the background: the service starts and answers 503 while Redis is away. Commands issued in one
 * turn of the event loop leave as one pipeline. Nothing is queued for a connection that is down and nothing is
 * sent again after one that broke, because whoever asked has been answered by then.
 */
export function connectRedis({
  url,
  cluster = false,
  mayFreeze = false,
  onState,
  onCommand = () => undefined,
}: RedisOptions): RedisRunner {
  const { redis, connect, streams } = cluster
    ? connectCluster(url, { timeoutMs: REDIS_TIMEOUT_MS, reconnects: !mayFreeze })
    : connectNode(url, { reconnects: !mayFreeze });
  let lost = false;
  let lastError: Error | undefined;
  // Without a listener ioredis prints to stderr; the cause is told once, when the connection is lost.
  for (const event of ['error', 'node error']) {
    redis.on(event, (error: Error) => {
      lastError = error;
    });
  }
  const tellLost = (): void => {
    if (!lost) onState?.('lost', lastError);
    lost = true;
  };
  if (!mayFreeze) redis.on('close', tellLost);
  redis.on('ready', () => {
    if (lost) onState?.('ready');
    lost = false;
  });
  let connecting: Promise<void> | undefined;
  function tryToConnect(): Promise<void> {
    const patience = new AbortController();
    const timer = delay(REDIS_TIMEOUT_MS, undefined, { ref: false, signal: patience.signal });
    return Promise.race([hangUp().then(connect), timer])
      .catch(() => undefined)
      .then(() => {
        patience.abort();
        connecting = undefined;
        if (redis.status !== 'ready') tellLost();
      });
  }
  /** Its peer has hung up, or may have, and the client has yet to notice. */
  async function hangUp(): Promise<void> {
    if (redis.status !== 'ready') return;
    for (const stream of streams()) stream?.destroy();
    await once(redis, 'end');
  }
  const isConnected = (): boolean =>
    redis.status === 'ready' && streams().every((stream) => stream?.writable !== false);
  connecting = tryToConnect();

  /**
   * Commands at the very start wait for the connection; later nothing waits for one that is down, unless it may freeze.
   * `instead` is sent where Redis does not know the script: it restarted, or its cache was flushed, and nothing has run.
   */
  function bounded<T>(command: () => Promise<T>, instead?: () => Promise<T>): Promise<T> {
    const send = (): Promise<T> => {
      gatherWrites();
      return command();
    };
    const sentAt = performance.now();
    if (mayFreeze && !isConnected()) connecting ??= tryToConnect();
    return (connecting ? connecting.then(send) : send()).then(
      (reply) => {
        onCommand(performance.now() - sentAt, false);
        return reply;
      },
      (error: unknown) => {
        if (instead && isUnknownScript(error)) return bounded(instead);
        onCommand(performance.now() - sentAt, true);
        // A peer that vanished while the process stood still: the next request is to find another connection.
        if (mayFreeze && isTimeout(error)) for (const stream of streams()) stream?.destroy();
        throw storeUnavailable(error);
      },
    );
  }

  // Commands of one turn of the event loop leave in one write. It costs a third less than ioredis's own
  // auto-pipelining, and does not make commands wait for the answers to those before them, beyond any timeout.
  let gathering = false;
  function gatherWrites(): void {
    if (gathering) return;
    gathering = true;
    const corked = streams();
    for (const stream of corked) stream?.cork();
    setImmediate(() => {
      gathering = false;
      for (const stream of corked) stream?.uncork();
    });
  }

  const call = (command: 'evalsha' | 'eval', script: string, keys: string[], args: (string | number)[]) =>
    redis.call(command, [script, keys.length, ...keys, ...args]) as Promise<Reply>;

  return {
    run: ({ sha, lua }, keys, args) =>
      bounded(
        () => call('evalsha', sha, keys, args),
        () => call('eval', lua, keys, args),
      ),
    set: async (key, value, ttlMs) => {
      await bounded(() => redis.set(key, value, 'PX', ttlMs));
    },
    close: async () => {
      // What follows is no loss.
      lost = true;
      redis.disconnect();
      await connecting;
    },
  };
}

const isUnknownScript = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith('NOSCRIPT');

/** As ioredis words it. */
const isTimeout = (error: unknown): boolean =>
  error instanceof Error && error.message === 'Command timed out';

/** One node or a cluster. `streams` are what commands are written to; a node without has yet to connect. */
export interface Connection {
  redis: Redis | Cluster;
  connect(): Promise<unknown>;
  streams(): (Redis['stream'] | undefined)[];
}

/** `reconnects`: by itself, whenever the connection is lost. */
export function connectNode(url: string, { reconnects }: { reconnects: boolean }): Connection {
  const redis = new Redis(url, {
    lazyConnect: true,
    commandTimeout: REDIS_TIMEOUT_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: REDIS_TIMEOUT_MS,
    // A peer that vanished without a word is noticed by the first reply that is overdue.
    ...(reconnects && { socketTimeout: 2 * REDIS_TIMEOUT_MS }),
    retryStrategy: (attempt) => (reconnects ? Math.min(50 * 2 ** attempt, 1000) : null),
    // After a failover the old primary answers as a replica: find the new one. Redis 6 buries the code in a sentence.
    reconnectOnError: (error) => error.message.includes('READONLY '),
  });
  return { redis, connect: () => redis.connect(), streams: () => [redis.stream] };
}
