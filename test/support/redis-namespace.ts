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
