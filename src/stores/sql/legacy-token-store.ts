import type { Kysely } from 'kysely';
import type { LegacyTokenStore, RevokedToken } from '../../tokens/legacy-store.js';
import { toUser } from './account-store.js';
import { run } from './errors.js';
import type { Schema } from './schema.js';

export function createLegacyTokenStore(db: Kysely<Schema>): LegacyTokenStore {
  return {
    async find({ legacyId, jti }) {
      const row = await run(() =>
        db
          .selectFrom('users')
          .leftJoin('revoked_tokens', (join) =>
            join.onRef('revoked_tokens.legacy_id', '=', 'users.legacy_id').on('revoked_tokens.jti', '=', jti),
          )
          .selectAll('users')
          .select('revoked_tokens.jti')
          .where('users.legacy_id', '=', legacyId)
          .executeTakeFirst(),
      );
      return row && { user: toUser(row), isRevoked: row.jti !== null };
    },

    revoke: (tokens) => run(() => insertRevokedTokens(db, tokens)),

    async listRevoked(legacyId) {
      const rows = await run(() =>
        db
          .selectFrom('revoked_tokens')
          .selectAll()
          .where('legacy_id', '=', legacyId)
          .orderBy('expires_at')
          .execute(),
      );
      return rows.map(({ jti, expires_at }) => ({ legacyId, jti, expiresAt: expires_at }));
    },
  };
}

/** Three values each; SQLite takes 32,766 in one statement. */
const ROWS_PER_STATEMENT = 5000;

/**
 * For an import, in its own transaction if it has one: the tokens are refused from now on, whether or not their user
 * has been imported yet. What is there already stays as it is, so that the same rows may come again.
 */
export async function insertRevokedTokens(
  db: Kysely<Schema>,
  tokens: readonly RevokedToken[],
): Promise<void> {
  for (let from = 0; from < tokens.length; from += ROWS_PER_STATEMENT) {
    const rows = tokens
      .slice(from, from + ROWS_PER_STATEMENT)
      .map(({ legacyId, jti, expiresAt }) => ({ legacy_id: legacyId, jti, expires_at: expiresAt }));
    await db
      .insertInto('revoked_tokens')
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}
