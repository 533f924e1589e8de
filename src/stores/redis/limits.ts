import type { Limit, LimitRule, LimitVerdict } from '../../tokens/state-store.js';
import type { Keys } from '../keys.js';
import { defineScript, type RedisRunner } from './client.js';
import * as hitLimitsLua from './scripts/hit-limits.js';

const scripts = {
  hitLimits: defineScript(hitLimitsLua.hitLimits),
  unhitLimits: defineScript(hitLimitsLua.unhitLimits),
};

export async function hitLimits(
  redis: RedisRunner,
  keys: Keys,
  slot: string,
  rules: LimitRule[],
): Promise<LimitVerdict> {
  const reply = await redis.run(
    scripts.hitLimits,
    rules.map((rule) => keys.limit(slot, rule.name)),
    rules.flatMap((rule) => [rule.max, rule.windowMs]),
  );
  const [allowed, rule, current, resetMs] = reply as [number, number, number, number];
  const { max } = rules[rule - 1] as Limit;
  return { allowed: allowed === 1, limit: { max, remaining: Math.max(0, max - current), resetMs } };
}

export async function unhitLimits(
  redis: RedisRunner,
  keys: Keys,
  slot: string,
  rules: string[],
): Promise<void> {
  await redis.run(
    scripts.unhitLimits,
    rules.map((rule) => keys.limit(slot, rule)),
    [],
  );
}
