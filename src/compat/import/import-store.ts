import type { UniqueField } from '../../accounts/account-store.js';
import type { HashCost } from '../../accounts/password-scheme.js';
import type { RevokedToken } from '../../tokens/legacy-store.js';
import type { ImportedAccount } from './accounts.js';
import type { ImportedRole } from './roles.js';

/** A key of DRF's `authtoken`; of the key itself only its hash is kept. */
export interface ImportedKey {
  key: string;
  legacyId: number;
  createdAt: number;
}

export interface Inserted {
  inserted: number;
  /** They came from the same rows before, and stay as they are now. */
  alreadyThere: number;
  /** Left out: somebody else has what must be one account's. */
  taken: { legacyId: number; field: UniqueField }[];
}

/**
 * Where an import writes. Each call is one transaction, and may come again with the same values. Every method throws
 * `store_unavailable` when SQL is away.
 */
export interface ImportStore {
  /** Which of these numbers accounts have. */
  findByLegacyIds(legacyIds: readonly number[]): Promise<{ legacyId: number; id: string }[]>;
  /** Those who register from now on get higher numbers. */
  reserveLegacyIds(upTo: number): Promise<void>;
  listRoles(): Promise<{ name: string; permissions: string[] }[]>;
  /** Of those that are not there yet. */
  addRoles(roles: readonly ImportedRole[]): Promise<void>;
  recordCosts(costs: readonly HashCost[]): Promise<void>;
  insertAccounts(accounts: readonly ImportedAccount[]): Promise<Inserted>;
  /** As `insertAccounts` would answer. */
  tryAccounts(accounts: readonly ImportedAccount[]): Promise<Inserted>;
  revokeTokens(tokens: readonly RevokedToken[]): Promise<void>;
  addKeys(keys: readonly ImportedKey[]): Promise<void>;
}
