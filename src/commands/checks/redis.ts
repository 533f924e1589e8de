import type { Config } from '../../config.js';
import type { KeySample, RedisInspection, RedisNode } from '../../stores/redis/inspect.js';
import { count, type Finding, fail, ok, warn } from './finding.js';
import { isAtLeast } from './trouble.js';

const OLDEST_VERSION = '6.2';
/** Above these shares of the memory it may take. */
const NEARLY_FULL = 0.8;
const AS_GOOD_AS_FULL = 0.95;
const ALL_SLOTS = 16_384;

export function checkRedis(config: Pick<Config, 'redisCluster'>, found: RedisInspection): Finding[] {
  const { nodes, keys, cluster } = found;
  return [
    checkServer(config, nodes),
    ...(cluster ? [checkCluster(nodes, cluster)] : []),
    checkEviction(nodes),
    checkPersistence(nodes),
    checkMemory(nodes, keys),
    checkTtls(keys),
  ];
}

function checkServer({ redisCluster }: Pick<Config, 'redisCluster'>, nodes: readonly RedisNode[]): Finding {
  const name = 'redis';
  const versions = [...new Set(nodes.map(({ version }) => version))].join(', ');
  const old = nodes.find(({ version }) => !isAtLeast(version, OLDEST_VERSION));
  if (old) {
    return fail(
      name,
      `version ${old.version}`,
      `Latchkey needs Redis ${OLDEST_VERSION} or newer, or Valkey.`,
    );
  }
  if (nodes.some(({ isReplica }) => isReplica)) {
    return fail(
      name,
      `version ${versions}, a replica: it takes no writes, so every request is answered 503`,
      'Let REDIS_URL name the primary.',
    );
  }
  if (!redisCluster && nodes.some(({ isInCluster }) => isInCluster)) {
    return fail(
      name,
      `version ${versions}, a node of a cluster: it refuses the keys of the others`,
      'Set REDIS_CLUSTER=1.',
    );
  }
  return ok(name, `version ${versions}${nodes.length > 1 ? `, ${nodes.length} primaries` : ''}`);
}

function checkCluster(
  nodes: readonly RedisNode[],
  { isOk, slotsServed }: NonNullable<RedisInspection['cluster']>,
): Finding {
  const name = 'redis cluster';
  if (!isOk || slotsServed < ALL_SLOTS) {
    return fail(
      name,
      `${slotsServed.toLocaleString('en')} of ${ALL_SLOTS.toLocaleString('en')} slots are served`,
      'The people in the others are answered 503: bring their nodes back, see redis-cli --cluster check.',
    );
  }
  const bare = nodes.filter(({ replicas }) => replicas === 0).length;
  if (bare > 0) {
    return warn(
      name,
      `${bare} of ${count(nodes.length, 'primary', 'primaries')} without a replica`,
      'When such a primary dies its people are answered 503 until it is back: add replicas.',
    );
  }
  return ok(name, 'every slot is served, every primary has a replica');
}

function checkEviction(nodes: readonly RedisNode[]): Finding {
  const name = 'redis eviction';
  const { evictionPolicy: policy, evictedKeys } =
    nodes.find((node) => node.evictionPolicy !== 'noeviction') ?? (nodes[0] as RedisNode);
  if (policy === undefined) {
    return warn(name, 'the server does not tell its maxmemory-policy', 'See that it is noeviction.');
  }
  if (policy === 'noeviction') return ok(name, 'noeviction');
  const already = evictedKeys > 0 ? `, and ${count(evictedKeys, 'key')} went already` : '';
  return fail(
    name,
    `maxmemory-policy is ${policy}: when memory runs short revocations are thrown away${already}`,
    'CONFIG SET maxmemory-policy noeviction, and the same in redis.conf.',
  );
}

function checkPersistence(nodes: readonly RedisNode[]): Finding {
  const name = 'redis persistence';
  if (nodes.some(({ isAppendFailing }) => isAppendFailing)) {
    return fail(
      name,
      'the append-only file cannot be written: Redis refuses writes, and callers are answered 503',
      'Look at its disk.',
    );
  }
  const advice = 'Set appendonly yes and appendfsync everysec: then a crash loses the last second at most.';
  const bare = nodes.filter(({ appendOnly }) => !appendOnly);
  if (bare.some(({ hasSnapshots }) => hasSnapshots)) {
    return fail(
      name,
      'snapshots and no append-only file: a crash brings back what was revoked since the last snapshot',
      advice,
    );
  }
  if (bare.length > 0) {
    const isManaged = bare.some(({ hasSnapshots }) => hasSnapshots === undefined);
    return isManaged
      ? warn(
          name,
          'no append-only file, and the server does not tell about snapshots',
          'A snapshot that is restored brings back what was revoked since: rely on replicas, and start empty.',
        )
      : warn(name, 'none: when Redis stops everybody must sign in again', advice);
  }
  if (nodes.some(({ appendFsync }) => appendFsync === 'no')) {
    return warn(
      name,
      'append-only file, written when the system pleases: a crash loses half a minute',
      advice,
    );
  }
  const isStrict = nodes.every(({ appendFsync }) => appendFsync === 'always');
  return ok(name, `append-only file; a crash loses ${isStrict ? 'nothing' : 'the last second at most'}`);
}

function checkMemory(nodes: readonly RedisNode[], { sessionBytes, userBytes, total }: KeySample): Finding {
  const name = 'redis memory';
  const used = nodes.reduce((sum, { memoryUsed }) => sum + memoryUsed, 0);
  const perPerson = (sessionBytes ?? 459) + (userBytes ?? 497);
  const weight = `${sessionBytes === undefined ? 'a session and its user take about' : 'here a session and its user take'} ${perPerson} bytes`;
  const detail = `${mebibytes(used)} used by ${count(total, 'key')}`;
  if (nodes.some(({ memoryAllowed }) => memoryAllowed === 0)) {
    return warn(
      name,
      `${detail}; no maxmemory is set: Redis grows until the system ends it`,
      `Set maxmemory; ${weight}, a million of them ${mebibytes(perPerson * 1e6)}.`,
    );
  }
  const allowed = nodes.reduce((sum, { memoryAllowed }) => sum + memoryAllowed, 0);
  const fullest = Math.max(...nodes.map((node) => node.memoryUsed / node.memoryAllowed));
  const room = Math.max(0, Math.floor((allowed - used) / perPerson));
  const told = `${detail}, of ${mebibytes(allowed)}; ${weight}: room for ${count(room, 'more', 'more')}`;
  const advice = 'Raise maxmemory: when it is full Redis refuses writes, and callers are answered 503.';
  if (fullest >= AS_GOOD_AS_FULL) return fail(name, told, advice);
  return fullest >= NEARLY_FULL ? warn(name, told, advice) : ok(name, told);
}

const mebibytes = (bytes: number): string =>
  `${(bytes / 2 ** 20).toLocaleString('en', { maximumFractionDigits: bytes < 2 ** 24 ? 1 : 0 })} MiB`;

function checkTtls({ looked, withoutTtl, kindsWithoutTtl }: KeySample): Finding {
  const name = 'redis keys';
  if (withoutTtl === 0) return ok(name, `${count(looked, 'key')} looked at, each with a TTL`);
  return fail(
    name,
    `${withoutTtl} of ${count(looked, 'key')} looked at have no TTL (kinds: ${kindsWithoutTtl.join(', ')})`,
    'Latchkey gives every key one. If another program writes under this REDIS_PREFIX give it one of its own; delete these.',
  );
}
