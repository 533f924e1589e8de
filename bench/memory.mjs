// npm run bench:memory: what a session and its user take in Redis, and whether a refresh or a check costs more when
// there are a thousand times as many. Fills Redis through Latchkey's own store.
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { createRedisStateStore } from '../dist/src/stores/redis/state-store.js';
import { startRedis, stopAll } from './servers.mjs';

const SMALL = 1000;
const LARGE = Number(process.env.BENCH_SESSIONS ?? 100_000);
const MILLION = 1_000_000;

const hex = () => randomUUID().replaceAll('-', '');
const redis = await startRedis();
const admin = new Redis(redis.url);
const store = createRedisStateStore({ url: redis.url, prefix: 'latchkey:' });
const limit = { max: 1e8, windowMs: 3_600_000 };

try {
  const empty = await usedMemory();
  const first = await fill(SMALL, 0);
  const few = await cost(first);
  const many = await fill(LARGE - SMALL, SMALL);
  const full = await usedMemory();
  const lots = await cost([...first, ...many]);

  const keys = await sampleKeys();
  console.log(`${LARGE} users with one session each, after a refresh and a check of some\n`);
  console.log(`bytes per session           ${keys.s}`);
  console.log(
    `bytes per active user       ${keys.u + keys.i}   (state ${keys.u}, list of sessions ${keys.i})`,
  );
  console.log(
    `bytes per user and session  ${Math.round((full - empty) / LARGE)}   (used_memory, key table included)`,
  );
  console.log(
    `a million of them           ${(((full - empty) / LARGE) * (MILLION / 2 ** 30)).toFixed(2)} GiB\n`,
  );
  console.log(`Redis's µs per call         ${SMALL} sessions   ${LARGE} sessions`);
  for (const what of ['check', 'refresh']) {
    console.log(
      `  ${what.padEnd(26)}${few[what].toFixed(1).padStart(8)}${lots[what].toFixed(1).padStart(18)}`,
    );
  }
} finally {
  await store.close();
  admin.disconnect();
  await stopAll(redis.dir);
}

async function fill(count, from) {
  const sessions = [];
  for (let start = 0; start < count; start += 500) {
    const batch = Array.from({ length: Math.min(500, count - start) }, (_, n) =>
      makeSession(from + start + n),
    );
    await Promise.all(batch.map((session) => store.openSession(session)));
    sessions.push(...batch);
  }
  return sessions;
}

function makeSession(number) {
  const now = Date.now();
  const issued = Math.floor(now / 1000);
  const user = {
    id: randomUUID(),
    legacyId: number,
    email: `somebody.number${number}@example.com`,
    username: `somebody${number}`,
    phone: null,
    firstName: 'Somebody',
    lastName: 'Number',
    userType: 'individual',
    role: 'viewer',
    isStaff: false,
    isSuperuser: false,
    isActive: true,
    emailVerified: true,
    phoneVerified: false,
    dateJoined: now,
    lastLogin: now,
    version: 1,
    authVersion: 1,
    authReason: null,
  };
  return {
    userId: user.id,
    user,
    authVersion: 1,
    sessionId: hex(),
    jti: hex(),
    issuedAtSeconds: issued,
    expiresAtSeconds: issued + 604_800,
    endsAtSeconds: issued + 90 * 86_400,
    ip: '203.0.113.77',
    userAgent:
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
    now,
  };
}

/** What Redis itself spends on a call, by its own count, over sessions picked at random. */
async function cost(sessions) {
  const micros = {};
  for (const what of ['check', 'refresh']) {
    await admin.config('RESETSTAT');
    for (let turn = 0; turn < 40; turn++) {
      await Promise.all(
        Array.from({ length: 100 }, () => use(what, sessions[Math.floor(Math.random() * sessions.length)])),
      );
    }
    const stats = await admin.info('commandstats');
    micros[what] = Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(stats)?.[1]);
  }
  return micros;
}

async function use(what, session) {
  const { userId, sessionId, jti, issuedAtSeconds } = session;
  const now = Date.now();
  if (what === 'check') {
    await store.checkToken({ userId, sessionId, jti, issuedAtSeconds, type: 'access', limit, now });
    return;
  }
  const next = { jti: hex(), issuedAtSeconds, expiresAtSeconds: Math.floor(now / 1000) + 604_800 };
  const rotated = await store.rotate({
    userId,
    sessionId,
    jti,
    issuedAtSeconds,
    next,
    ip: '203.0.113.77',
    limit,
    now,
  });
  session.jti = rotated.jti;
}

async function usedMemory() {
  return Number(/used_memory:(\d+)/.exec(await admin.info('memory'))[1]);
}

/** MEMORY USAGE of the three kinds of key, averaged over a sample; the counter of requests included. */
async function sampleKeys() {
  const sums = { s: [0, 0], u: [0, 0], i: [0, 0] };
  const [, keys] = await admin.scan('0', 'MATCH', 'latchkey:*', 'COUNT', 3000);
  for (const key of keys) {
    const sum = sums[/\}:([sui])/.exec(key)?.[1]];
    if (!sum) continue;
    sum[0] += Number(await admin.memory('USAGE', key));
    sum[1] += 1;
  }
  return Object.fromEntries(
    Object.entries(sums).map(([kind, [bytes, count]]) => [kind, Math.round(bytes / count)]),
  );
}
