import { setTimeout as delay } from 'node:timers/promises';
import { Cluster, type Redis } from 'ioredis';
import { storeUnavailable } from '../../errors.js';
import type { Clock } from '../../lib/clock.js';
import { connectNode, REDIS_TIMEOUT_MS } from './client.js';
import { connectCluster } from './cluster.js';

/** What Redis tells of itself. What a managed one keeps to itself is `undefined`. */
export interface RedisInspection {
  /** The one server, or each primary of a cluster. */
  nodes: RedisNode[];
  keys: KeySample;
  /** Only of a cluster. */
  cluster: { isOk: boolean; slotsServed: number } | undefined;
}

export interface RedisNode {
  version: string;
  isReplica: boolean;
  isInCluster: boolean;
  replicas: number;
  /** How far ahead of our clock its own is (ms). */
  clockAheadMs: number;
  /** Bytes; 0: as many as the machine has. */
  memoryUsed: number;
  memoryAllowed: number;
  evictionPolicy: string | undefined;
  evictedKeys: number;
  appendOnly: boolean;
  /** `always`, `everysec`, `no` */
  appendFsync: string | undefined;
  /** Whether the last write to the append-only file failed: Redis then refuses writes. */
  isAppendFailing: boolean;
  hasSnapshots: boolean | undefined;
}

/** Some of the keys under our prefix. */
export interface KeySample {
  looked: number;
  /** Of every node, whether ours or not. */
  total: number;
  withoutTtl: number;
  /** Of those without: what stands behind the hash tag (see `keys.ts`), never whose they are. */
  kindsWithoutTtl: string[];
  /** Bytes that a session takes on average, and an active user beside it; `undefined` where none was found. */
  sessionBytes: number | undefined;
  userBytes: number | undefined;
}

export interface InspectRedisOptions {
  /** Of a cluster: those of some of its nodes, comma-separated. */
  url: string;
  cluster: boolean;
  prefix: string;
  now: Clock;
}

/** Enough to notice a habit, few enough not to be noticed. */
const KEYS_ENOUGH = 1000;
const KEYS_PER_SCAN = 1000;
const SCANS_AT_MOST = 100;
const WEIGHED_ENOUGH = 20;

/**
 * Asks, and changes nothing. Takes a few seconds at most.
 * @throws store_unavailable, with what Redis or the connection said as its cause
 */
export async function inspectRedis(options: InspectRedisOptions): Promise<RedisInspection> {
  const { url, cluster, now } = options;
  const { redis, connect } = cluster
    ? connectCluster(url, { timeoutMs: REDIS_TIMEOUT_MS, reconnects: true })
    : connectNode(url, { reconnects: true });
  let refusal: Error | undefined;
  for (const event of ['error', 'node error']) {
    redis.on(event, (error: Error) => {
      refusal ??= error;
    });
  }
  try {
    await withinTimeout(connect());
    const nodes = redis instanceof Cluster ? redis.nodes('master') : [redis];
    return {
      nodes: await Promise.all(nodes.map((node) => inspectNode(node, now))),
      keys: await sampleKeys(nodes, options.prefix),
      cluster: redis instanceof Cluster ? await inspectSlots(nodes[0] as Redis) : undefined,
    };
  } catch (error) {
    throw storeUnavailable(refusal ?? error);
  } finally {
    redis.disconnect();
  }
}

async function withinTimeout(connected: Promise<unknown>): Promise<void> {
  const tooLate = delay(2 * REDIS_TIMEOUT_MS, undefined, { ref: false }).then(() => {
    throw new Error('no answer in time');
  });
  await Promise.race([connected, tooLate]);
}

async function inspectNode(node: Redis, now: Clock): Promise<RedisNode> {
  const clockAheadMs = await compareClocks(node, now);
  const info = await readInfo(node);
  const settings = await readSettings(node);
  const number = (name: string): number => Number(info.get(name) ?? 0);
  return {
    version: info.get('redis_version') ?? 'unknown',
    isReplica: info.get('role') === 'slave',
    isInCluster: info.get('cluster_enabled') === '1',
    replicas: number('connected_slaves'),
    clockAheadMs,
    memoryUsed: number('used_memory'),
    memoryAllowed: number('maxmemory'),
    evictionPolicy: info.get('maxmemory_policy'),
    evictedKeys: number('evicted_keys'),
    appendOnly: info.get('aof_enabled') === '1',
    appendFsync: settings.get('appendfsync'),
    isAppendFailing: info.get('aof_last_write_status') === 'err',
    hasSnapshots: settings.has('save') ? settings.get('save') !== '' : undefined,
  };
}

async function compareClocks(node: Redis, now: Clock): Promise<number> {
  const before = now();
  const [seconds, micros] = await node.time();
  return Number(seconds) * 1000 + Number(micros) / 1000 - (before + now()) / 2;
}

async function readInfo(node: Redis): Promise<Map<string, string>> {
  const text = await node.info();
  return new Map(
    text.split('\r\n').map((line) => {
      const [name = '', ...value] = line.split(':');
      return [name, value.join(':')];
    }),
  );
}

/** Managed servers know no CONFIG. */
async function readSettings(node: Redis): Promise<Map<string, string>> {
  const settings = new Map<string, string>();
  for (const name of ['appendfsync', 'save']) {
    const reply = (await node.call('CONFIG', 'GET', name).catch(notOverdue)) as unknown;
    const value = readSetting(reply, name);
    if (value !== undefined) settings.set(name, value);
  }
  return settings;
}

/** Names and values in turn (RESP2), or a map of them (RESP3). */
function readSetting(reply: unknown, name: string): string | undefined {
  if (Array.isArray(reply)) return reply[0] === name ? String(reply[1]) : undefined;
  const value = (reply as Record<string, unknown> | undefined)?.[name];
  return value === undefined ? undefined : String(value);
}

/** An error of Redis's own is an answer. */
function notOverdue(error: Error): undefined {
  if (error.name !== 'ReplyError') throw error;
}

async function inspectSlots(node: Redis): Promise<NonNullable<RedisInspection['cluster']>> {
  const info = String(await node.cluster('INFO'));
  const field = (name: string): string | undefined => new RegExp(`^${name}:(\\w+)`, 'm').exec(info)?.[1];
  return { isOk: field('cluster_state') === 'ok', slotsServed: Number(field('cluster_slots_ok')) };
}

async function sampleKeys(nodes: readonly Redis[], prefix: string): Promise<KeySample> {
  const samples = await Promise.all(
    nodes.map((node) => sampleNode(node, prefix, Math.ceil(KEYS_ENOUGH / nodes.length))),
  );
  const sum = (count: (sample: NodeSample) => number): number =>
    samples.reduce((total, sample) => total + count(sample), 0);
  return {
    looked: sum(({ looked }) => looked),
    total: sum(({ total }) => total),
    withoutTtl: sum(({ lasting }) => lasting.length),
    kindsWithoutTtl: [...new Set(samples.flatMap(({ lasting }) => lasting.map(kindOf)))].sort(),
    sessionBytes: average(samples.flatMap(({ sessions }) => sessions)),
    userBytes: average(samples.flatMap(({ users }) => users)),
  };
}

interface NodeSample {
  looked: number;
  total: number;
  lasting: string[];
  sessions: number[];
  users: number[];
}

async function sampleNode(node: Redis, prefix: string, enough: number): Promise<NodeSample> {
  const keys = await scanSome(node, prefix, enough);
  const ttls = await inPipeline(node, keys, (pipeline, key) => pipeline.pttl(key));
  const weigh = async (kind: string): Promise<number[]> => {
    const some = keys.filter((key) => kindOf(key) === kind).slice(0, WEIGHED_ENOUGH);
    const sizes = await inPipeline(node, some, (pipeline, key) => pipeline.memory('USAGE', key));
    return sizes.filter((size): size is number => typeof size === 'number');
  };
  return {
    looked: keys.length,
    total: await node.dbsize(),
    lasting: keys.filter((_, n) => ttls[n] === -1),
    sessions: await weigh('s'),
    users: await weigh('u'),
  };
}

const average = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : Math.round(values.reduce((a, b) => a + b, 0) / values.length);

/** What follows the hash tag: `s` of `latchkey:{user}:s:<session>`. */
const kindOf = (key: string): string => /\}:([a-z]{1,2})(?::|$)/.exec(key)?.[1] ?? 'other';

/** Walks over other people's keys too, so it does not walk on for ever to find ours. */
async function scanSome(node: Redis, prefix: string, enough: number): Promise<string[]> {
  const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
  const found = new Set<string>();
  let cursor = '0';
  for (let n = 0; n < SCANS_AT_MOST && found.size < enough; n += 1) {
    const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', KEYS_PER_SCAN);
    for (const key of keys) found.add(key);
    cursor = next;
    if (cursor === '0') break;
  }
  return [...found];
}

async function inPipeline(
  node: Redis,
  keys: readonly string[],
  ask: (pipeline: ReturnType<Redis['pipeline']>, key: string) => unknown,
): Promise<unknown[]> {
  const pipeline = node.pipeline();
  for (const key of keys) ask(pipeline, key);
  return ((await pipeline.exec()) ?? []).map(([, reply]) => reply);
}
