import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Test } from 'tap';
import { freePort } from './free-port.js';
import { type RedisServer, startRedis } from './redis-server.js';
import { countTrips, type TripCounter } from './trip-counter.js';

export interface RedisClusterOptions {
  /** One for each primary instead of none. */
  replicas?: boolean;
}

export interface RedisCluster {
  /** All nodes, as REDIS_URL names them: with the password on the first. */
  readonly url: string;
  /** The primaries it started with, each with a third of the slots. */
  readonly primaries: readonly RedisServer[];
  readonly nodes: readonly RedisServer[];
  /** Connections to the nodes themselves, in their order, for looking behind the scenes. */
  readonly admins: readonly Redis[];
  /** The node that has the key's slot, as far as the first living node knows. */
  ownerOf(key: string): Promise<RedisServer>;
  /** Resolves once every living node sees the whole cluster up. */
  settled(): Promise<void>;
}

const SLOTS = 16_384;
const PRIMARIES = 3;
const PASSWORD = 'sesame';
/** Milliseconds of silence until a node is held for dead: short, as the tests wait for it. */
export const NODE_TIMEOUT_MS = 1000;

/** A cluster of three primaries of the test's own, stopped when the test ends; takes three seconds. */
export async function withRedisCluster(
  t: Pick<Test, 'teardown'>,
  { replicas = false }: RedisClusterOptions = {},
): Promise<RedisCluster> {
  const size = replicas ? 2 * PRIMARIES : PRIMARIES;
  const nodes = await Promise.all(Array.from({ length: size }, startNode));
  const admins = nodes.map(({ port }) => connect(port));
  t.teardown(async () => {
    for (const admin of admins) admin.disconnect();
    await Promise.all(nodes.map(({ kill }) => kill()));
  });
  const [first] = admins as [Redis];

  const share = Math.ceil(SLOTS / PRIMARIES);
  const ids: string[] = [];
  for (const [n, admin] of admins.entries()) {
    ids.push((await admin.cluster('MYID')) as string);
    // Without epochs of their own the nodes would first have to settle who is right about what.
    await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', n + 1);
    if (n < PRIMARIES)
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', n * share, Math.min(SLOTS, (n + 1) * share) - 1);
    const { port, busPort } = nodes[n]!;
    if (n > 0) await first.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort);
  }
  await Promise.all(admins.map((admin) => until('the nodes have met', () => knows(admin, ids))));
  for (const [n, admin] of admins.entries())
    if (n >= PRIMARIES) await admin.call('CLUSTER', 'REPLICATE', ids[n - PRIMARIES]!);

  const settled = async (): Promise<void> => {
    await Promise.all(admins.filter(isUp).map((admin) => until('the cluster is up', () => isWhole(admin))));
  };
  await settled();
  return {
    url: nameNodes(nodes.map(({ port }) => port)),
    primaries: nodes.slice(0, PRIMARIES),
    nodes,
    admins,
    settled,
    async ownerOf(key) {
      const admin = admins.find(isUp) as Redis;
      const slot = await admin.cluster('KEYSLOT', key);
      const range = (await admin.cluster('SLOTS')).find(([from, to]) => from <= slot && slot <= to);
      return nodes[ids.indexOf(range?.[2]?.[2] as string)] as RedisServer;
    },
  };
}

/**
 * Puts a counting proxy before each node and lets the cluster announce those as its nodes. Give the code under test
 * the `url`; the counters are in the order of the nodes.
 */
export async function countClusterTrips(
  t: Pick<Test, 'teardown'>,
  { nodes, admins }: RedisCluster,
): Promise<{ url: string; counters: readonly TripCounter[] }> {
  const counters = await Promise.all(nodes.map(({ url }) => countTrips(t, url)));
  const ports = counters.map(({ url }) => Number(new URL(url).port));
  await Promise.all(admins.map((admin, n) => admin.config('SET', 'cluster-announce-port', ports[n]!)));
  const announced = async (admin: Redis): Promise<boolean> => {
    const ranges = await admin.cluster('SLOTS');
    return ranges.every(([, , ...holders]) => holders.every(([, port]) => ports.includes(port)));
  };
  await Promise.all(admins.map((admin) => until('the proxies are announced', () => announced(admin))));
  return { url: nameNodes(ports), counters };
}

const nameNodes = (ports: readonly number[]): string =>
  ports.map((port, n) => `redis://${n === 0 ? `:${PASSWORD}@` : ''}127.0.0.1:${port}`).join(',');

async function startNode(): Promise<RedisServer & { busPort: number }> {
  const busPort = await freePort();
  const settings = {
    'cluster-enabled': 'yes',
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': NODE_TIMEOUT_MS,
    'cluster-announce-ip': '127.0.0.1',
    // By itself it would be the port + 10000: among those of outgoing connections.
    'cluster-port': busPort,
    requirepass: PASSWORD,
    masterauth: PASSWORD,
    // Nothing here is kept, so a replica need not wait for others that may come.
    'repl-diskless-sync-delay': 0,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return Object.assign(await startRedis({ args }), { busPort });
}

function connect(port: number): Redis {
  const redis = new Redis({ port, host: '127.0.0.1', password: PASSWORD, retryStrategy: () => 50 });
  return redis.on('error', () => undefined);
}

const isUp = ({ status }: Redis): boolean => status === 'ready';

async function knows(admin: Redis, ids: readonly string[]): Promise<boolean> {
  const known = (await admin.cluster('NODES')) as string;
  return ids.every((id) => known.includes(id)) && !known.includes('handshake');
}

/** Every slot is served, and a replica is in step with its primary. */
async function isWhole(admin: Redis): Promise<boolean> {
  const [state, replication] = await Promise.all([
    admin.cluster('INFO') as Promise<string>,
    admin.info('replication'),
  ]);
  return state.includes('cluster_state:ok') && !replication.includes('master_link_status:down');
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within 15 s: ${what}`);
    await delay(20);
  }
}
