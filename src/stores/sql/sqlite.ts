import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  SqliteAdapter,
  type SqliteDatabase,
  SqliteDialect,
  SqliteDriver,
} from 'kysely';
import Database from 'libsql';
import type { Schema } from './schema.js';

/** The one connection of this process to the embedded database, for synchronous work beside Kysely's queries. */
export interface SqliteHandle {
  /**
   * Runs synchronous work as one immediate transaction, after whatever Kysely is doing on the connection; rolls
   * back when the work throws.
   */
  exclusive<T>(work: (db: Database.Database) => T): Promise<T>;
}

/** How long a process waits for another one's write on the same file (ms): the store's timeout. */
const BUSY_TIMEOUT_MS = 1000;

/** Opens, or makes, the file. `synchronous=FULL`: what was answered survives a power cut, not only a kill. */
export function openSqlite(path: string): { db: Kysely<Schema>; sqlite: SqliteHandle } {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const raw = new Database(path);
  raw.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
  raw.exec('pragma journal_mode = wal');
  raw.exec('pragma synchronous = full');
  raw.exec('pragma foreign_keys = on');

  const db = new Kysely<Schema>({
    dialect: new EmbeddedDialect({ database: raw as unknown as SqliteDatabase }),
  });
  return {
    db,
    sqlite: {
      exclusive: (work) =>
        db.connection().execute(async () => {
          raw.exec('begin immediate');
          try {
            const result = work(raw);
            raw.exec('commit');
            return result;
          } catch (error) {
            if (raw.inTransaction) raw.exec('rollback');
            throw error;
          }
        }),
    },
  };
}

class EmbeddedDialect extends SqliteDialect {
  readonly #database: SqliteDatabase;

  constructor(config: { database: SqliteDatabase }) {
    super(config);
    this.#database = config.database;
  }

  override createDriver(): Driver {
    return new ImmediateDriver({ database: this.#database });
  }

  override createAdapter(): SqliteAdapter {
    return new TransactionalAdapter();
  }
}

/**
 * A deferred transaction that reads first fails with SQLITE_BUSY_SNAPSHOT when another process wrote meanwhile,
 * and no timeout helps. An immediate one waits for its turn (sqlite.org/lang_transaction.html).
 */
class ImmediateDriver extends SqliteDriver {
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }
}

/** SQLite's DDL is transactional, so the migrations of two starting processes can take turns by its write lock. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}
