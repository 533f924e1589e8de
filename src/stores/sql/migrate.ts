import { type Kysely, type Migration, type MigrationResult, Migrator } from 'kysely';
import type { Dialect } from './database.js';
import { accounts } from './migrations/0001-accounts.js';
import { embeddedState } from './migrations/0002-embedded-state.js';
import { oauthClients } from './migrations/0003-oauth-clients.js';
import { securityEvents } from './migrations/0004-security-events.js';
import { roles } from './migrations/0005-roles.js';
import { legacyTokens } from './migrations/0006-legacy-tokens.js';
import { passwordCosts } from './migrations/0007-password-costs.js';
import type { Schema } from './schema.js';

/** In order, for ever: a migration that has been released is never edited, only followed by another. */
export const migrations = (dialect: Dialect): Record<string, Migration> => ({
  '0001-accounts': accounts(dialect),
  '0002-embedded-state': embeddedState(dialect),
  '0003-oauth-clients': oauthClients,
  '0004-security-events': securityEvents(dialect),
  '0005-roles': roles(dialect),
  '0006-legacy-tokens': legacyTokens,
  '0007-password-costs': passwordCosts,
});

/**
 * Brings the database to the newest schema, forward only. Processes that start together take turns: PostgreSQL
 * by an advisory lock, SQLite by its write lock.
 *
 * @returns the names of the migrations that ran now.
 */
export async function migrateToLatest(db: Kysely<Schema>, dialect: Dialect): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations(dialect) } });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error) throw error;
  return results.filter((r: MigrationResult) => r.status === 'Success').map((r) => r.migrationName);
}
