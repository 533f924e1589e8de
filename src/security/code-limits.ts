import type { Clock } from '../lib/clock.js';
import type { Limit, LimitState, StateStore } from '../tokens/state-store.js';
import { limitAddress } from './client-address.js';

export interface CodeLimitsNeeds {
  store: Pick<StateStore, 'hitLimits' | 'unhitLimits'>;
  now: Clock;
  /** `RATE_LIMIT_LOGIN_IP`: wrong codes and tries to log in by password spend one budget. `undefined`: none. */
  perAddress: Limit | undefined;
}

/** A try to prove a one-time code, as its address sees it. */
export interface CodeTry {
  isAllowed: boolean;
  limit: LimitState | undefined;
  /** The code was right, or was not compared. */
  takeBack(): Promise<void>;
  /** What is left once that is done. */
  limitWithout: LimitState | undefined;
}

export type CodeLimits = ReturnType<typeof createCodeLimits>;

/**
 * One address must not try its luck at everybody's codes. Each try is counted in the turn in which it is judged, and
 * taken back when it was right: a count that came after the verdict would be too late for those sent all at once.
 */
export function createCodeLimits({ store, now, perAddress }: CodeLimitsNeeds) {
  /** Started in one turn with the judging, it costs no trip of its own. @throws store_unavailable */
  async function countTry(ip: string): Promise<CodeTry> {
    if (!perAddress) return UNCOUNTED;
    const slot = `ip:${limitAddress(ip)}`;
    const rules = [{ name: 'login', ...perAddress }];
    const { allowed, limit } = await store.hitLimits({ slot, rules, now: now() });
    return {
      isAllowed: allowed,
      limit,
      limitWithout: { ...limit, remaining: Math.min(limit.max, limit.remaining + 1) },
      takeBack: async () => {
        if (allowed) await store.unhitLimits({ slot, rules: ['login'], now: now() });
      },
    };
  }

  return { countTry };
}

const UNCOUNTED: CodeTry = {
  isAllowed: true,
  limit: undefined,
  limitWithout: undefined,
  takeBack: async () => undefined,
};
