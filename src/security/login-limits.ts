import { createHash } from 'node:crypto';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import type { Limit, LimitRule, LimitState, StateStore } from '../tokens/state-store.js';
import { limitAddress } from './client-address.js';

export interface LoginLimitsNeeds {
  store: StateStore;
  now: Clock;
  /** Tries per address and identifier. `undefined` ends both rules. */
  perIdentifier: Limit | undefined;
  /** Tries per address, whoever they are for. */
  perAddress: Limit | undefined;
}

/** Whose password is tried: what was typed, or for a password asked for with a bearer token the account itself. */
export interface TriedIdentifier {
  kind: 'email' | 'username' | 'phone' | 'id';
  key: string;
}

/** Counts every try to prove a password before anything is compared. */
export function createLoginLimits({ store, now, perIdentifier, perAddress }: LoginLimitsNeeds) {
  /** @throws rate_limited, store_unavailable */
  async function countTry(identifier: TriedIdentifier, ip: string): Promise<LimitState | undefined> {
    if (!perIdentifier) return undefined;
    const rules: LimitRule[] = [{ name: `login:${fingerprint(identifier)}`, ...perIdentifier }];
    if (perAddress) rules.push({ name: 'login', ...perAddress });
    const { allowed, limit } = await store.hitLimits({ slot: `ip:${limitAddress(ip)}`, rules, now: now() });
    if (!allowed) throw new AuthError('rate_limited', { limit });
    return limit;
  }

  return { countTry };
}

/** No address or name of a person stands in a key. */
const fingerprint = ({ kind, key }: TriedIdentifier): string =>
  createHash('sha256').update(`${kind}:${key}`).digest('base64url').slice(0, 22);
