import type { Kysely } from 'kysely';
import type { DrfToken, DrfTokenStore } from '../../accounts/drf-tokens.js';
import { LEGACY_AUTH_VERSION } from '../../tokens/legacy-tokens.js';
import { toUser } from './account-store.js';
import { run } from './errors.js';
import type { Schema } from './schema.js';

export function createDrfTokenStore(db: Kysely<Schema>): DrfTokenStore {
  return {
    async findUser(keyHash) {
      const row = await run(() =>
        db
          .selectFrom('drf_tokens')
          .innerJoin('users', (join) =>
            join
              .onRef('users.legacy_id', '=', 'drf_tokens.legacy_id')
              .onRef('users.auth_version', '=', 'drf_tokens.auth_version'),
          )
          .selectAll('users')
          .where('key_hash', '=', keyHash)
          .executeTakeFirst(),
      );
      return row && toUser(row);
    },

    async issue({ keep, authVersion, ...token }) {
      await run(() =>
        db.transaction().execute(async (tx) => {
          await tx
            .insertInto('drf_tokens')
            .values(toRow(token, authVersion, 0))
            .execute();
          const issued = tx
            .selectFrom('drf_tokens')
            .select('key_hash')
            .where('legacy_id', '=', token.legacyId)
            .where('is_imported', '=', 0)
            .orderBy('created_at', 'desc')
            .limit(keep);
          await tx
            .deleteFrom('drf_tokens')
            .where('legacy_id', '=', token.legacyId)
            .where('is_imported', '=', 0)
            .where('key_hash', '!=', token.keyHash)
            .where('key_hash', 'not in', issued)
            .execute();
        }),
      );
    },

    async list(legacyId) {
      const rows = await run(() =>
        db
          .selectFrom('drf_tokens')
          .select(['created_at', 'is_imported'])
          .where('legacy_id', '=', legacyId)
          .orderBy('created_at')
          .execute(),
      );
      return rows.map((row) => ({ createdAt: row.created_at, isImported: row.is_imported === 1 }));
    },
  };
}

/** Five values each; SQLite takes 32,766 in one statement. */
const ROWS_PER_STATEMENT = 5000;

/**
 * For an import, in its own transaction if it has one. A key is good from when its user is there, unless that account
 * has meanwhile changed in a way that ends sessions: what was ended does not come back with a second import.
 */
export async function insertDrfTokens(db: Kysely<Schema>, tokens: readonly DrfToken[]): Promise<void> {
  for (let from = 0; from < tokens.length; from += ROWS_PER_STATEMENT) {
    const rows = tokens
      .slice(from, from + ROWS_PER_STATEMENT)
      .map((token) => toRow(token, LEGACY_AUTH_VERSION, 1));
    await db
      .insertInto('drf_tokens')
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

const toRow = ({ keyHash, legacyId, createdAt }: DrfToken, authVersion: number, isImported: 0 | 1) => ({
  key_hash: keyHash,
  legacy_id: legacyId,
  auth_version: authVersion,
  is_imported: isImported,
  created_at: createdAt,
});
