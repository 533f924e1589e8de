import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  type QueryResult,
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
  // For its owner only, whatever the folder allows; SQLite gives the log beside it the same mode.
  closeSync(openSync(path, 'a', 0o600));
  const raw = new Database(path);
  raw.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`);
  raw.exec('pragma journal_mode = wal');
  raw.exec('pragma synchronous = full');
  raw.exec('pragma foreign_keys = on');

  const db = new Kysely<Schema>({ dialect: new EmbeddedDialect(raw) });
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
  readonly #database: Database.Database;

  constructor(database: Database.Database) {
    super({ database: database as unknown as SqliteDatabase });
    this.#database = database;
  }

  override createDriver(): Driver {
    return new ImmediateDriver(this.#database);
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
  readonly #database: Database.Database;

  constructor(database: Database.Database) {
    super({ database: database as unknown as SqliteDatabase });
    this.#database = database;
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    return new LockingConnection(await super.acquireConnection(), this.#database);
  }

  override async beginTransaction(): Promise<void> {
    this.#database.exec('begin immediate');
  }
}

const WRITES = new Set(['InsertQueryNode', 'UpdateQueryNode', 'DeleteQueryNode']);

/**
 * Takes the write lock by `exec` before a single write too: a prepared statement that meets SQLITE_BUSY stays
 * active until it is collected as garbage, and until then no commit succeeds ("SQL statements in progress").
 */
class LockingConnection implements DatabaseConnection {
  readonly #inner: DatabaseConnection;
  readonly #database: Database.Database;

  constructor(inner: DatabaseConnection, database: Database.Database) {
    this.#inner = inner;
    this.#database = database;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#database.inTransaction || !WRITES.has(query.query.kind)) return this.#inner.executeQuery(query);
    this.#database.exec('begin immediate');
    try {
      const result = await this.#inner.executeQuery<R>(query);
      this.#database.exec('commit');
      return result;
    } catch (error) {
      if (this.#database.inTransaction) this.#database.exec('rollback');
      throw error;
    }
  }

  streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    return this.#inner.streamQuery(query, chunkSize);
  }
}

/** SQLite's DDL is transactional, so the migrations of two starting processes can take turns by its write lock. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}
