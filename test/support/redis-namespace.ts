import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Test } from 'tap';

/** A key prefix of the test's own in the shared Redis (TEST_REDIS_URL); its keys are deleted when the test ends. */
export function freshPrefix(t: Pick<Test, 'teardown'>): string {
  const prefix = `t${randomBytes(8).toString('hex')}:`;
  t.teardown(() => deleteKeys(sharedRedisUrl(), prefix));
  return prefix;
}

export function sharedRedisUrl(): string {
  const url = process.env.TEST_REDIS_URL;
  if (!url) throw new Error('TEST_REDIS_URL is not set: run the tests with npm test');
  return url;
}

/** As after a loss of everything that a test has written there. */
export const emptyRedis = (prefix: string): Promise<void> => deleteKeys(sharedRedisUrl(), prefix);

/** What is left of the life of each key (ms); -1 for one without an end. */
export async function ttlsOf(prefix: string): Promise<number[]> {
  const redis = new Redis(sharedRedisUrl());
  try {
    const ttls: number[] = [];
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1_000 }))
      ttls.push(...(await Promise.all((keys as string[]).map((key) => redis.pttl(key)))));
    return ttls;
  } finally {
    redis.disconnect();
  }
}

async function deleteKeys(url: string, prefix: string): Promise<void> {
  const redis = new Redis(url);
  try {
    for await (const keys of redis.scanStream({ match: `${prefix}*`, count: 1_000 })) {
      if (keys.length > 0) await redis.unlink(keys);
    }
  } finally {
    redis.disconnect();
  }
}
