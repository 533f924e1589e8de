import { once } from 'node:events';
import { Cluster, type Redis } from 'ioredis';
import type { Connection } from './client.js';

/**
 * Connects to a Redis Cluster in the background, through whichever of the comma-separated nodes answers; the first
 * one's URL says with which credentials, and whether by TLS. `connect` settles when every primary has been tried.
 *
 * Commands go to primaries only, never to replicas: they may not have heard of a revocation. What a node refuses
 * unread (MOVED, ASK, TRYAGAIN: a slot is or was on the move) is sent again, within half of the caller's second; what
 * was on a connection that broke is not. Commands are not put into ioredis's auto-pipelines: a pipeline of which one
 * slot has moved fails with that error, again and again (ioredis 6.0).
 */
export function connectCluster(
  urls: string,
  { timeoutMs, reconnects }: { timeoutMs: number; reconnects: boolean },
): Connection {
  const nodes = urls.split(',').map((url) => new URL(url.trim()));
  const [{ protocol, username, password }] = nodes as [URL];
  const redis = new Cluster(
    nodes.map(({ hostname, port }) => ({
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(port || 6379),
    })),
    {
      lazyConnect: true,
      scaleReads: 'master',
      enableOfflineQueue: false,
      maxRedirections: 5,
      retryDelayOnTryAgain: 100,
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      slotsRefreshTimeout: timeoutMs,
      clusterRetryStrategy: (attempt) => (reconnects ? Math.min(50 * 2 ** attempt, 1000) : null),
      // The default looks the name up first and would then check the certificate against an address.
      dnsLookup: (hostname, callback) => callback(null, hostname),
      redisOptions: {
        ...(username && { username: decodeURIComponent(username) }),
        ...(password && { password: decodeURIComponent(password) }),
        ...(protocol === 'rediss:' && { tls: {} }),
        commandTimeout: timeoutMs,
        connectTimeout: timeoutMs,
        // A node that vanished without a word is noticed by the first reply that is overdue.
        ...(reconnects && { socketTimeout: 2 * timeoutMs }),
      },
    },
  );
  // Replicas as well, so that one that takes over is at hand. Not before the cluster is ready, nor at once: what is
  // sent to a node unconnected (the ready check, and what was MOVED there) waits, while one that is connecting
  // refuses it.
  const reach = (node: Redis): void => {
    if (redis.status === 'ready' && node.status === 'wait') node.connect().catch(() => undefined);
  };
  redis.on('ready', () => redis.nodes().forEach(reach));
  redis.on('+node', (node: Redis) => process.nextTick(reach, node));
  return {
    redis,
    connect: () => redis.connect().then(() => Promise.all(redis.nodes('master').map(settle))),
    streams: () => redis.nodes('master').map(({ stream }) => stream),
  };
}

/** Resolves when the node is ready or given up. */
async function settle(node: Redis): Promise<void> {
  if (node.status === 'ready' || node.status === 'end') return;
  const heard = new AbortController();
  const event = (name: string) => once(node, name, { signal: heard.signal }).catch(() => undefined);
  await Promise.race([event('ready'), event('end')]);
  heard.abort();
}
