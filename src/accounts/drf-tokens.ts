import { createHash, randomBytes } from 'node:crypto';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import type { Limit, LimitState, StateStore } from '../tokens/state-store.js';
import type { User } from './user.js';

/** A key of the Django REST Framework's `TokenAuthentication`, as SQL knows it. */
export interface DrfToken {
  /** See {@link hashDrfKey}. */
  keyHash: string;
  legacyId: number;
  /** Milliseconds since the epoch. */
  createdAt: number;
}

/** What is told of a key: nobody can show it again. */
export type StoredDrfToken = Pick<DrfToken, 'createdAt'> & { isImported: boolean };

/** Keys in SQL. Every method throws `store_unavailable` when SQL is away. */
export interface DrfTokenStore {
  /** Whose key it is, while the account has not changed in a way that ends sessions since the key was handed out. */
  findUser(keyHash: string): Promise<User | undefined>;
  /** Hands one out under the version that the account had; of those handed out before only the newest `keep` stay. */
  issue(token: DrfToken & { authVersion: number; keep: number }): Promise<void>;
  /** Those of a user, the oldest first. */
  list(legacyId: number): Promise<StoredDrfToken[]>;
}

export interface DrfTokensNeeds {
  store: DrfTokenStore;
  state: Pick<StateStore, 'hitLimits'>;
  /** Requests per user; apart from those by access tokens. */
  userLimit: Limit | undefined;
  permissionsOf(user: User): readonly string[] | Promise<readonly string[]>;
  now: Clock;
}

export type DrfTokens = ReturnType<typeof createDrfTokens>;

/** RFC 9110 §11.1 has no limit for credentials; the old system's column has. */
const MAX_KEY_LENGTH = 40;
const KEY_BYTES = 20;
/** One for each login is handed out, as none can be shown twice; imported ones do not count. */
const KEPT = 20;

/**
 * Keys that do not expire, for clients of the Django REST Framework. Each request asks SQL: a key is good while its account
 * is at the version under which it was handed out, so that all that ends sessions ends the keys with them, at once.
 */
export function createDrfTokens({ store, state, userLimit, permissionsOf, now }: DrfTokensNeeds) {
  /** @throws token_invalid, rate_limited, store_unavailable */
  async function authenticate(
    key: string,
  ): Promise<{ user: User; permissions: readonly string[]; limit: LimitState | undefined }> {
    const user = key.length <= MAX_KEY_LENGTH ? await store.findUser(hashDrfKey(key)) : undefined;
    if (!user) throw new AuthError('token_invalid', { finding: 'unknown_key' });
    if (!user.isActive) throw new AuthError('token_revoked', { finding: 'account_disabled' });
    const limit = await countRequest(user.id);
    return { user, permissions: await permissionsOf(user), limit };
  }

  async function countRequest(userId: string): Promise<LimitState | undefined> {
    if (!userLimit) return undefined;
    const rules = [{ name: 'drf', ...userLimit }];
    const { allowed, limit } = await state.hitLimits({ slot: userId, rules, now: now() });
    if (!allowed) throw new AuthError('rate_limited', { limit });
    return limit;
  }

  /** A new key, which is stored nowhere. @throws store_unavailable */
  async function issue({ legacyId, authVersion }: User): Promise<string> {
    const key = randomBytes(KEY_BYTES).toString('hex');
    const keyHash = hashDrfKey(key);
    await store.issue({ keyHash, legacyId, authVersion, createdAt: now(), keep: KEPT });
    return key;
  }

  return { authenticate, issue };
}

/** A key is 160 random bits: there is nothing that a slow hash would protect, and this one is looked up by. */
export const hashDrfKey = (key: string): string => createHash('sha256').update(key).digest('hex');
