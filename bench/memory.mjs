// What a session and its user take in Redis, and whether a check or a refresh costs more when there are a thousand
// times as many. Fills Redis through Latchkey's own store.
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { createRedisStateStore } from '../dist/src/stores/redis/state-store.js';
import { startRedis, stop } from './servers.mjs';

const FEW = 1000;
/** Memory is read here and extrapolated to a million. */
const MANY = 100_000;
const MOST = Number(process.env.BENCH_SESSIONS ?? 1_000_000);
const MILLION = 1_000_000;
/** So many of the sessions are used, picked evenly from all of them. */
const USED = 1000;

const hex = () => randomUUID().replaceAll('-', '');
const limit = { max: 1e8, windowMs: 3_600_000 };
let admin;
let store;

export async function measureMemory() {
  const redis = await startRedis();
  admin = new Redis(redis.url);
  store = createRedisStateStore({ url: redis.url, prefix: 'latchkey:' });
  try {
    const empty = await usedMemory();
    const costs = [];
    let used = await fill(FEW, 0, 1);
    costs.push([FEW, await cost(used)]);

    used = used.concat(await fill(MANY - FEW, FEW, MANY / USED));
    const bytes = ((await usedMemory()) - empty) / MANY;
    const keys = await sampleKeys();
    costs.push([MANY, await cost(used)]);

    if (MOST > MANY) {
      used = used.concat(await fill(MOST - MANY, MANY, MOST / USED));
      costs.push([MOST, await cost(used)]);
    }
    reportMemory(bytes, keys);
    reportCosts(costs);
    if (MOST === MILLION)
      console.log(`\na million, measured            ${gib((await usedMemory()) - empty)} GiB`);
  } finally {
    await store.close();
    admin.disconnect();
    await stop(redis.child);
  }
}

const gib = (bytes) => (bytes / 2 ** 30).toFixed(2);

function reportMemory(bytes, keys) {
  console.log(`\nRedis with ${MANY} users of one session each (bytes; goals: 600 a session, 800 a user)`);
  console.log(`a session                    ${keys.s}`);
  console.log(
    `an active user               ${keys.u + keys.i}   (state ${keys.u}, list of sessions ${keys.i})`,
  );
  console.log(`both, key table included     ${Math.round(bytes)}`);
  console.log(`a million, extrapolated      ${gib(bytes * MILLION)} GiB`);
}

function reportCosts(costs) {
  console.log(`\nRedis's µs per call${costs.map(([count]) => String(count).padStart(12)).join('')} sessions`);
  for (const what of ['check', 'refresh', 'plain HGET'])
    console.log(
      `${what.padEnd(19)}${costs.map(([, micros]) => micros[what].toFixed(1).padStart(12)).join('')}`,
    );
}

/** Opens sessions and gives every so-manieth of them. */
async function fill(count, from, every) {
  const kept = [];
  for (let start = 0; start < count; start += 500) {
    const batch = Array.from({ length: Math.min(500, count - start) }, (_, n) =>
      makeSession(from + start + n),
    );
    await Promise.all(batch.map((session) => store.openSession(session)));
    kept.push(...batch.filter((_, n) => (start + n) % every === 0));
  }
  return kept;
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

/**
 * What Redis itself spends on a call, by its own count, over sessions picked at random. A plain HGET of each is the
 * yardstick: more memory than the processor's caches hold makes every look-up slower, whatever is looked up.
 */
async function cost(sessions) {
  const micros = {};
  for (const what of ['check', 'refresh', 'plain HGET']) {
    await admin.config('RESETSTAT');
    for (let turn = 0; turn < 40; turn++) {
      await Promise.all(
        Array.from({ length: 100 }, () => use(what, sessions[Math.floor(Math.random() * sessions.length)])),
      );
    }
    const stats = await admin.info('commandstats');
    const command = what === 'plain HGET' ? 'hget' : 'evalsha';
    micros[what] = Number(new RegExp(`cmdstat_${command}:.*usec_per_call=([\\d.]+)`).exec(stats)?.[1]);
  }
  return micros;
}

async function use(what, session) {
  const { userId, sessionId, jti, issuedAtSeconds } = session;
  const now = Date.now();
  if (what === 'plain HGET') {
    await admin.hget(`latchkey:{${userId}}:s:${sessionId}`, 'j');
    return;
  }
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
