import { join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import { run } from './errors.js';
import { migrateToLatest } from './migrate.js';
import { openPostgres, openPostgresForMigrations } from './postgres.js';
import { type Prepare, prepareWithKysely } from './prepare.js';
import type { Schema } from './schema.js';
import { openSqlite, type SqliteHandle } from './sqlite.js';

export type Dialect = 'postgres' | 'sqlite';

export interface Database {
  db: Kysely<Schema>;
  prepare: Prepare;
  dialect: Dialect;
  /** Only of the embedded database. */
  sqlite: SqliteHandle | undefined;
  /** Runs what migrations are missing and says which. */
  migrate(): Promise<string[]>;
  /** Resolves when the database answers; throws `store_unavailable` when not. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** `postgres://…`; without it the embedded SQLite file in `dataDir`. */
  url: string | undefined;
  dataDir: string;
  /** @see PostgresOptions */
  mayFreeze?: boolean;
  onError?: (error: Error) => void;
}

export const databaseFile = (dataDir: string): string => join(dataDir, 'latchkey.db');

export function openDatabase({
  url,
  dataDir,
  mayFreeze = false,
  onError = () => undefined,
}: DatabaseOptions): Database {
  if (url === undefined) {
    const { db, sqlite } = openSqlite(databaseFile(dataDir));
    return {
      db,
      prepare: prepareWithKysely(db),
      dialect: 'sqlite',
      sqlite,
      migrate: () => run(() => migrateToLatest(db, 'sqlite')),
      ping: () => ping(db),
      close: () => db.destroy(),
    };
  }
  const { db, prepare } = openPostgres({ url, onError, mayFreeze });
  return {
    db,
    prepare,
    dialect: 'postgres',
    sqlite: undefined,
    async migrate() {
      const patient = openPostgresForMigrations(url);
      try {
        return await run(() => migrateToLatest(patient, 'postgres'));
      } finally {
        await patient.destroy();
      }
    },
    ping: () => ping(db),
    close: () => db.destroy(),
  };
}

async function ping(db: Kysely<Schema>): Promise<void> {
  await run(() => sql`select 1`.execute(db));
}
