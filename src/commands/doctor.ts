import { createFieldCipher } from '../audit/field-cipher.js';
import type { Config } from '../config.js';
import type { Clock } from '../lib/clock.js';
import type { SpendReport } from '../otp/otp-store.js';
import { isPhoneRegion } from '../otp/phone-number.js';
import { inspectRedis, type RedisInspection } from '../stores/redis/inspect.js';
import { createRedisStateStore } from '../stores/redis/state-store.js';
import { openDatabase } from '../stores/sql/database.js';
import { inspectSql, type SqlInspection } from '../stores/sql/inspect.js';
import { createSqliteStateStore } from '../stores/sqlite/state-store.js';
import { checkClientAddress, checkForgery } from './checks/client-address.js';
import { checkClock } from './checks/clock.js';
import type { Finding } from './checks/finding.js';
import { checkDelivery, checkSpend } from './checks/messages.js';
import { checkRedis } from './checks/redis.js';
import { checkSettings, checkSigningKey, reportFaults } from './checks/settings.js';
import { checkSql } from './checks/sql.js';
import { reportTrouble } from './checks/trouble.js';

export interface Diagnosis {
  findings: Finding[];
  /** Whether nothing must be put right. */
  isHealthy: boolean;
}

/** The settings, or what is wrong with them. */
export type Patient = { config: Config } | { faults: readonly string[] };

/** Looks at everything, changes nothing, and takes a few seconds even where a store is away. */
export async function examine(patient: Patient, now: Clock = Date.now): Promise<Diagnosis> {
  const findings = 'faults' in patient ? reportFaults(patient.faults) : await examineAll(patient.config, now);
  return { findings, isHealthy: findings.every(({ status }) => status !== 'fail') };
}

async function examineAll(config: Config, now: Clock): Promise<Finding[]> {
  const [redis, sql] = await Promise.all([
    attempt(() => askRedis(config, now)),
    attempt(() => askSql(config, now)),
  ]);
  // What has no state yet, or is away, has counted nothing.
  const state = config.redisUrl === undefined ? sql.found : redis.found;
  const spend = await attempt(async () => state && readSpend(config, now));
  return [
    ...checkSettings(config),
    ...checkSigningKey(config),
    ...checkClock(clocksOf(redis.found, sql.found)),
    ...(sql.found ? [checkClientAddress(config, sql.found.addresses.counts)] : []),
    ...checkForgery(config),
    ...checkDelivery(config),
    ...(spend.found ? [checkSpend(config, spend.found, sql.found?.suspectedSends ?? 0)] : []),
    ...(redis.found ? checkRedis(config, redis.found) : []),
    ...(redis.error === undefined ? [] : [reportTrouble('redis', 'REDIS_URL', redis.error)]),
    ...(sql.error === undefined
      ? checkSql(config, sql.found)
      : [reportTrouble('sql', config.databaseUrl ? 'DATABASE_URL' : 'LATCHKEY_DATA_DIR', sql.error)]),
  ];
}

interface Attempt<T> {
  found?: T;
  error?: unknown;
}

async function attempt<T>(ask: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { found: await ask() };
  } catch (error) {
    return { error: error ?? new Error('unknown') };
  }
}

async function askRedis(
  { redisUrl: url, redisCluster: cluster, redisPrefix: prefix }: Config,
  now: Clock,
): Promise<RedisInspection | undefined> {
  return url === undefined ? undefined : inspectRedis({ url, cluster, prefix, now });
}

const askSql = ({ databaseUrl: url, dataDir, dataKeys }: Config, now: Clock) =>
  inspectSql({ url, dataDir, cipher: createFieldCipher(dataKeys), now });

function clocksOf(
  redis: RedisInspection | undefined,
  sql: SqlInspection | undefined,
): { of: string; ms: number }[] {
  return [
    ...(redis?.nodes ?? []).map(({ clockAheadMs }) => ({ of: 'Redis', ms: clockAheadMs })),
    ...(sql?.clockAheadMs === undefined ? [] : [{ of: 'PostgreSQL', ms: sql.clockAheadMs }]),
  ];
}

/** Of every country there is: the guard keeps no list of those that it saw. */
async function readSpend(config: Config, now: Clock): Promise<SpendReport | undefined> {
  if (!config.sms) return { countries: [], total: 0 };
  const question = { countries: COUNTRIES, now: now() };
  const { redisUrl: url, redisCluster: cluster, redisPrefix: prefix } = config;
  if (url !== undefined) {
    const store = createRedisStateStore({ url, cluster, prefix });
    return store.otp.readSpend(question).finally(() => store.close());
  }
  const { sqlite, close } = openDatabase({ url: undefined, dataDir: config.dataDir });
  return sqlite && createSqliteStateStore({ sqlite }).otp.readSpend(question).finally(close);
}

const LETTERS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];
const COUNTRIES = [
  '001',
  ...LETTERS.flatMap((first) => LETTERS.map((second) => first + second)).filter(isPhoneRegion),
];

/** For programs. */
export const asJson = ({ findings, isHealthy }: Diagnosis): string =>
  JSON.stringify({ healthy: isHealthy, checks: findings }, null, 2);

/** Green, yellow, red (ECMA-48 §8.3.117). */
const COLOUR = { ok: 32, warn: 33, fail: 31 } as const;

const inColour = (text: string, colour: number): string => `\u001b[${colour}m${text}\u001b[39m`;

/** For people: a line for each finding, and below it what to do. */
export function asText({ findings, isHealthy }: Diagnosis, { hasColours }: { hasColours: boolean }): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, status, detail, advice }) => {
    const word = status.padEnd(4);
    const head = `${hasColours ? inColour(word, COLOUR[status]) : word}  ${name.padEnd(width)}  ${detail}`;
    return advice === undefined ? [head] : [head, `${' '.repeat(width + 8)}${advice}`];
  });
  return [...lines, '', isHealthy ? 'Nothing must be put right.' : 'Something must be put right.'].join('\n');
}
