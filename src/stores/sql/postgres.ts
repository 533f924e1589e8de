import { type Compilable, Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import { isUnavailable } from './errors.js';
import type { Prepare } from './prepare.js';
import type { Schema } from './schema.js';

/** A statement or a connection that takes longer is a store that is away. */
const TIMEOUT_MS = 1000;
const POOL_SIZE = 10;
/** One request at a time, and one that timed out. */
const SMALL_POOL_SIZE = 2;

/** bigint columns hold milliseconds and row numbers: far below 2^53. */
const INT8_OID = 20;

/**
 * The server stops too: nothing of an abandoned request may commit much later, when its fence has gone. On Lambda the
 * role has these limits (docs/deploying-to-lambda.md): RDS Proxy refuses connections that ask for them.
 */
const SERVER_LIMITS = {
  statement_timeout: 5 * TIMEOUT_MS,
  idle_in_transaction_session_timeout: 5 * TIMEOUT_MS,
} as const;

export interface PostgresOptions {
  url: string;
  onError(error: Error): void;
  /** The process stands still between requests, as on Lambda: there is one at a time, and no timer fires in between. */
  mayFreeze: boolean;
}

export function openPostgres({ url, onError, mayFreeze }: PostgresOptions): {
  db: Kysely<Schema>;
  prepare: Prepare;
} {
  const settings = {
    connectionString: url,
    ...(mayFreeze ? { max: SMALL_POOL_SIZE, idleTimeoutMillis: 0 } : { max: POOL_SIZE, ...SERVER_LIMITS }),
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    types: {
      getTypeParser: (oid, format) => (oid === INT8_OID ? Number : pg.types.getTypeParser(oid, format)),
    } as pg.CustomTypesConfig,
  };
  const pool = openPool(settings, onError);
  return {
    db: new Kysely<Schema>({ dialect: new PostgresDialect({ pool: discardBroken(pool) }) }),
    prepare: prepareWith(pool),
  };
}

/**
 * A row comes as one column of JSON: with twenty of them the driver would read their names and types again with every
 * answer. After an error the pool ends the connection by itself.
 */
const prepareWith =
  (pool: pg.Pool): Prepare =>
  <Row>(query: Compilable<Row>) => {
    let text: string | undefined;
    return async (...values: unknown[]) => {
      text ??= `select row_to_json(found) from (${query.compile().sql}) as found`;
      const { rows } = await pool.query<[Row]>({ text, values, rowMode: 'array' });
      return rows.map(([row]) => row);
    };
  };

/** For migrations: one connection that may take its time. */
export function openPostgresForMigrations(url: string): Kysely<Schema> {
  const settings = { connectionString: url, max: 1, connectionTimeoutMillis: 5000 };
  // Whichever statement it breaks says so.
  const pool = openPool(settings, () => undefined);
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
}

/**
 * A connection that dies must not take the process with it: an idle one tells the pool, also after the pool was ended,
 * and one in use only itself, and then its query fails (node-postgres, events of Pool and Client).
 */
function openPool(settings: pg.PoolConfig, onError: (error: Error) => void): pg.Pool {
  const pool = new pg.Pool(settings);
  pool.on('error', onError);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/**
 * A client whose query timed out still waits for that answer, and whoever gets it next would wait behind it.
 * One to a server that became a standby would go on refusing. Whatever is not PostgreSQL's word about a statement
 * therefore ends the connection.
 */
function discardBroken(pool: pg.Pool): PostgresPool {
  // Kysely knows a connection by its client and makes everything anew for one it has not seen.
  const known = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    async connect() {
      const client = await pool.connect();
      const discardable = known.get(client) ?? discardWhenBroken(client);
      known.set(client, discardable);
      return discardable;
    },
    end: () => pool.end(),
  };
}

function discardWhenBroken(client: pg.PoolClient): PostgresPoolClient {
  let broken = false;
  return {
    async query(...args: unknown[]) {
      // A rollback would wait behind the query that timed out; ending the connection is one.
      if (broken) throw new Error('Connection terminated');
      try {
        return await (client.query as (...args: unknown[]) => Promise<never>)(...args);
      } catch (error) {
        if (isUnavailable(error)) broken = true;
        throw error;
      }
    },
    release: () => client.release(broken),
  } as unknown as PostgresPoolClient;
}
