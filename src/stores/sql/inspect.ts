import { existsSync } from 'node:fs';
import {
  DummyDriver,
  Kysely,
  Migrator,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely';
import type { EventStore } from '../../audit/events.js';
import type { FieldCipher } from '../../audit/field-cipher.js';
import type { Clock } from '../../lib/clock.js';
import { type DatabaseOptions, type Dialect, databaseFile, openDatabase } from './database.js';
import { run } from './errors.js';
import { createEventStore } from './event-store.js';
import { migrations } from './migrate.js';
import type { Schema } from './schema.js';

/** What the database tells of itself. */
export interface SqlInspection {
  dialect: Dialect;
  version: string;
  /** How far ahead of ours its clock is (ms); SQLite has none of its own. */
  clockAheadMs: number | undefined;
  /** Not run yet; and those of a newer release, which ran here already. */
  migrations: { pending: string[]; unknown: string[] };
  /** Indexes that migrations made and that are gone or broken. */
  missingIndexes: MissingIndex[];
  /** Whether what was answered survives a crash; only of PostgreSQL. */
  durability: { fsync: boolean; synchronousCommit: boolean } | undefined;
  /** The last events that have an address. */
  addresses: AddressSample;
  /** Sends of codes that the spend guard found suspicious in the last 24 hours, by whatever it was. */
  suspectedSends: number;
}

export interface MissingIndex {
  name: string;
  /** The statement that makes it. */
  statement: string;
}

export interface AddressSample {
  counts: { address: string; events: number }[];
  /** How many are encrypted under a key that is not at hand. */
  unreadable: number;
}

const EVENTS_LOOKED_AT = 1000;

export interface InspectSqlOptions extends Pick<DatabaseOptions, 'url' | 'dataDir'> {
  /** What personal fields of events are encrypted with. */
  cipher: FieldCipher;
  now: Clock;
}

/**
 * Asks, and changes nothing. `undefined` where the embedded database has yet to be made.
 * @throws store_unavailable
 */
export async function inspectSql({
  cipher,
  now,
  ...where
}: InspectSqlOptions): Promise<SqlInspection | undefined> {
  if (where.url === undefined && !existsSync(databaseFile(where.dataDir))) return undefined;
  return run(async () => {
    const { db, dialect, close } = openDatabase(where);
    try {
      return await inspect(db, dialect, { cipher, now });
    } finally {
      await close();
    }
  });
}

async function inspect(
  db: Kysely<Schema>,
  dialect: Dialect,
  { cipher, now }: Pick<InspectSqlOptions, 'cipher' | 'now'>,
): Promise<SqlInspection> {
  const isPostgres = dialect === 'postgres';
  const clockAheadMs = isPostgres ? await compareClocks(db, now) : undefined;
  const { executed, ...found } = await readMigrations(db, dialect);
  const events = createEventStore(db, { dialect, cipher, write: async () => undefined });
  const isCurrent = found.pending.length === 0;
  return {
    dialect,
    version: await readVersion(db, dialect),
    clockAheadMs,
    migrations: found,
    missingIndexes: await findMissingIndexes(db, dialect, executed),
    durability: isPostgres ? await readDurability(db) : undefined,
    addresses: isCurrent ? await readAddresses(events) : { counts: [], unreadable: 0 },
    suspectedSends: isCurrent ? await countSuspected(events, now()) : 0,
  };
}

async function compareClocks(db: Kysely<Schema>, now: Clock): Promise<number> {
  const before = now();
  const { rows } = await sql<{ ms: number }>`
    select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`.execute(db);
  return rows[0]!.ms - (before + now()) / 2;
}

async function readVersion(db: Kysely<Schema>, dialect: Dialect): Promise<string> {
  const statement =
    dialect === 'postgres'
      ? sql<{ version: string }>`select current_setting('server_version') as version`
      : sql<{ version: string }>`select sqlite_version() as version`;
  const { rows } = await statement.execute(db);
  return rows[0]!.version.split(' ', 1)[0]!;
}

async function readMigrations(
  db: Kysely<Schema>,
  dialect: Dialect,
): Promise<{ executed: string[]; pending: string[]; unknown: string[] }> {
  const known = migrations(dialect);
  const migrator = new Migrator({ db, provider: { getMigrations: async () => known } });
  const all = await migrator.getMigrations();
  const executed = all.filter(({ executedAt }) => executedAt !== undefined).map(({ name }) => name);
  const pending = all.filter(({ executedAt }) => executedAt === undefined).map(({ name }) => name);
  if (executed.length === 0) return { executed, pending, unknown: [] };
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  return {
    executed,
    pending,
    unknown: rows.map(({ name }) => name).filter((name) => !Object.hasOwn(known, name)),
  };
}

async function findMissingIndexes(
  db: Kysely<Schema>,
  dialect: Dialect,
  executed: readonly string[],
): Promise<MissingIndex[]> {
  const wanted = await indexesOf(dialect, executed);
  const statement =
    dialect === 'postgres'
      ? // One whose making was broken off is there, but of no use.
        sql<{ name: string }>`
          select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
          where i.indisvalid and pg_table_is_visible(i.indrelid)`
      : sql<{ name: string }>`select name from sqlite_master where type = 'index'`;
  const { rows } = await statement.execute(db);
  const there = new Set(rows.map(({ name }) => name));
  return [...wanted].filter(([name]) => !there.has(name)).map(([name, statement]) => ({ name, statement }));
}

/** The named indexes that these migrations make, each with a statement that makes it: no list to keep beside them. */
async function indexesOf(dialect: Dialect, executed: readonly string[]): Promise<Map<string, string>> {
  const indexes = new Map<string, string>();
  const read = (statement: string): void => {
    const [, made] = /^create (?:unique )?index (?:if not exists )?"?(\w+)"?/i.exec(statement) ?? [];
    if (made) indexes.set(made, statement.replace(/\s+/g, ' '));
    const [, dropped] = /^drop index (?:if exists )?"?(\w+)"?/i.exec(statement) ?? [];
    if (dropped) indexes.delete(dropped);
    // In SQLite a constraint's index has no name, and cannot be dropped.
    if (dialect === 'sqlite') return;
    const [, table] = /^create table (?:if not exists )?"?(\w+)"?/i.exec(statement) ?? [];
    for (const [constraint, name] of statement.matchAll(
      /constraint "?(\w+)"? (?:unique|primary key) \([^)]*\)/g,
    )) {
      indexes.set(name as string, `alter table "${table}" add ${constraint}`);
    }
  };
  const db = pretendDatabase(dialect, read);
  const known = migrations(dialect);
  for (const name of executed) await known[name]?.up(db);
  return indexes;
}

/** Hears every statement and carries out none. */
function pretendDatabase(dialect: Dialect, hear: (statement: string) => void): Kysely<unknown> {
  return new Kysely<unknown>({
    dialect: {
      createDriver: () => new DummyDriver(),
      ...(dialect === 'postgres'
        ? {
            createAdapter: () => new PostgresAdapter(),
            createIntrospector: (db) => new PostgresIntrospector(db),
            createQueryCompiler: () => new PostgresQueryCompiler(),
          }
        : {
            createAdapter: () => new SqliteAdapter(),
            createIntrospector: (db) => new SqliteIntrospector(db),
            createQueryCompiler: () => new SqliteQueryCompiler(),
          }),
    },
    log: ({ query }) => hear(query.sql.trim()),
  });
}

async function readDurability(db: Kysely<Schema>): Promise<NonNullable<SqlInspection['durability']>> {
  const { rows } = await sql<{ fsync: string; commit: string }>`
    select current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit`.execute(db);
  return { fsync: rows[0]!.fsync === 'on', synchronousCommit: rows[0]!.commit !== 'off' };
}

async function readAddresses(events: Pick<EventStore, 'list'>): Promise<AddressSample> {
  const latest = await events.list({}, { limit: EVENTS_LOOKED_AT });
  const counts = new Map<string, number>();
  for (const { ip } of latest) if (ip !== undefined) counts.set(ip, (counts.get(ip) ?? 0) + 1);
  return {
    counts: Array.from(counts, ([address, events]) => ({ address, events })),
    unreadable: latest.filter(({ unreadable }) => unreadable).length,
  };
}

async function countSuspected(events: Pick<EventStore, 'count'>, now: number): Promise<number> {
  // Those of this second too, whoever's clock is ahead.
  const lastDay = { from: now - DAY_MS, to: now + QUARTER_MS };
  const counts = await events.count([lastDay], ['otp_send_suspected']);
  return counts.reduce((sum, { count }) => sum + count, 0);
}

const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;
