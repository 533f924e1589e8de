import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Test } from 'tap';
import type { User } from '../../src/accounts/user.js';
import { newAccountId, newTokenId } from '../../src/lib/ids.js';
import { createRedisStateStore, type RedisStateStoreOptions } from '../../src/stores/redis/state-store.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import { createSqliteStateStore } from '../../src/stores/sqlite/state-store.js';
import type { Stores } from '../../src/stores/stores.js';
import type { CheckToken, OpenSession, Rotate, RotateResult } from '../../src/tokens/state-store.js';
import { withRedisCluster } from '../support/redis-cluster.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const DAY = 86_400 * SECOND;
export const REFRESH_SECONDS = 7 * 86_400;
export const CAP_SECONDS = 90 * 86_400;

/** One store under test, seen from two processes, and the clock both go by. */
export interface Bench {
  store: Stores;
  /** The same data through a connection of its own. */
  other: Stores;
  now(): number;
  /** Moves the clock, and with it what expires by itself. */
  advance(ms: number): Promise<void>;
}

export interface Adapter {
  name: 'redis' | 'redis cluster' | 'sqlite';
  setUp(t: Test): Promise<Bench>;
}

/** Takes `ms` off the life of every key, as if that time had passed in Redis too. */
const AGE = `
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local ttl = redis.call('PTTL', key)
  if ttl >= 0 then redis.call('PEXPIRE', key, ttl - tonumber(ARGV[2])) end
end`;

const redisAdapter: Adapter = {
  name: 'redis',
  async setUp(t) {
    const url = sharedRedisUrl();
    const admin = new Redis(url);
    t.teardown(() => admin.disconnect());
    return redisBench(t, { url, prefix: freshPrefix(t) }, [admin]);
  },
};

const clusterAdapter: Adapter = {
  name: 'redis cluster',
  async setUp(t) {
    const { url, admins } = await withRedisCluster(t);
    return redisBench(t, { url, cluster: true, prefix: 't:' }, admins);
  },
};

function redisBench(t: Test, options: RedisStateStoreOptions, admins: readonly Redis[]): Bench {
  const clock = startClock();
  const [store, other] = [createRedisStateStore(options), createRedisStateStore(options)];
  t.teardown(() => Promise.all([store.close(), other.close()]));
  return {
    store,
    other,
    now: clock.now,
    async advance(ms) {
      clock.move(ms);
      await Promise.all(admins.map((admin) => admin.eval(AGE, 0, options.prefix, ms)));
    },
  };
}

const sqliteAdapter: Adapter = {
  name: 'sqlite',
  async setUp(t) {
    const dataDir = tempDir(t);
    const clock = startClock();
    const store = await openStore(t, dataDir, clock.now);
    const other = await openStore(t, dataDir, clock.now);
    return { store, other, now: clock.now, advance: async (ms) => clock.move(ms) };
  },
};

export const ADAPTERS = [redisAdapter, clusterAdapter, sqliteAdapter];

export function tempDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-state-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** The embedded store of a process of its own. */
export async function openStore(t: Test, dataDir: string, now: () => number): Promise<Stores> {
  const { sqlite, migrate, close } = openDatabase({ url: undefined, dataDir });
  await migrate();
  t.teardown(close);
  if (!sqlite) throw new Error('no embedded database');
  return createSqliteStateStore({ sqlite, now });
}

function startClock() {
  let time = Date.now();
  return {
    now: () => time,
    move: (ms: number) => {
      time += ms;
    },
  };
}

export function makeUser(change: Partial<User> = {}): User {
  return {
    id: newAccountId(),
    legacyId: 4711,
    email: 'Zoë@example.com',
    username: null,
    phone: '+989123456789',
    firstName: 'زهرا',
    lastName: '',
    userType: 'business',
    role: 'editor',
    isStaff: true,
    isSuperuser: false,
    isActive: true,
    emailVerified: true,
    phoneVerified: false,
    dateJoined: 1_700_000_000_123,
    lastLogin: null,
    version: 3,
    authVersion: 1,
    authReason: null,
    ...change,
  };
}

export const raiseVersion = (user: User, change: Partial<User> = {}): User => ({
  ...user,
  version: user.version + 1,
  ...change,
});

/** A refresh token, as far as the store cares. */
export interface Token {
  userId: string;
  sessionId: string;
  jti: string;
  issuedAtSeconds: number;
}

/** Logs in, checks and rotates the way the service does, at the bench's time. */
export function createHolder({ store, now }: Pick<Bench, 'store' | 'now'>) {
  const seconds = () => Math.floor(now() / 1000);

  async function open(user: User, change: Partial<OpenSession> = {}): Promise<Token> {
    const token = { userId: user.id, sessionId: newTokenId(), jti: newTokenId(), issuedAtSeconds: seconds() };
    await store.openSession({
      ...token,
      expiresAtSeconds: seconds() + REFRESH_SECONDS,
      endsAtSeconds: seconds() + CAP_SECONDS,
      ip: '192.0.2.1',
      userAgent: 'curl/8',
      authVersion: user.authVersion,
      user,
      now: now(),
      ...change,
    });
    return token;
  }

  const checkInput = (token: Token, change: Partial<CheckToken> = {}): CheckToken => {
    const type = change.type ?? 'access';
    const jti = type === 'access' ? accessJti(token) : token.jti;
    const { userId, sessionId, issuedAtSeconds } = token;
    return { userId, sessionId, jti, issuedAtSeconds, type, now: now(), ...change };
  };

  const rotateInput = (token: Token, change: Partial<Rotate> = {}): Rotate => ({
    ...token,
    next: {
      jti: newTokenId(),
      issuedAtSeconds: seconds(),
      expiresAtSeconds: seconds() + REFRESH_SECONDS,
    },
    ip: '192.0.2.2',
    now: now(),
    ...change,
  });

  const rotate = (token: Token, change?: Partial<Rotate>) => store.rotate(rotateInput(token, change));

  /** Rotates and hands out the successor; anything but success is a fault of the test. */
  async function refresh(token: Token, change?: Partial<Rotate>): Promise<Token> {
    return successor(token, await rotate(token, change));
  }

  return {
    seconds,
    open,
    checkInput,
    rotateInput,
    rotate,
    refresh,
    check: (token: Token, change?: Partial<CheckToken>) => store.checkToken(checkInput(token, change)),
  };
}

export function successor(token: Token, result: RotateResult): Token {
  if (result.status !== 'rotated' && result.status !== 'repeated')
    throw new Error(`not rotated: ${result.status}`);
  return { ...token, jti: result.jti, issuedAtSeconds: result.issuedAtSeconds };
}

/** The access token issued with a refresh token shares the first digits of its jti. */
export const accessJti = (token: Token): string => token.jti.slice(0, 12) + randomBytes(10).toString('hex');
