import { type Kysely, type Migration, sql } from 'kysely';
import type { Dialect } from '../database.js';

/** What operators need of events: who acted, how many there were, what must be told elsewhere, and an end to them. */
export const securityEvents = (dialect: Dialect): Migration => ({
  async up(db: Kysely<unknown>) {
    const { schema } = db;
    const isSqlite = dialect === 'sqlite';

    // An event has an identity before it has a row: a batch that is stored twice is stored once, and an encrypted
    // field is bound to its event. In PostgreSQL a `uuid` takes half the room of its text. Whoever still runs an
    // older release while this one starts knows nothing of it: such rows get one there, and none in SQLite.
    await schema
      .alterTable('events')
      .addColumn('uid', isSqlite ? 'varchar(36)' : 'uuid')
      .execute();
    await schema.alterTable('events').addColumn('actor_id', 'varchar(36)').execute();
    await schema.alterTable('events').addColumn('ip_key', 'varchar(64)').execute();
    await schema.alterTable('events').addColumn('detail', 'varchar(1024)').execute();
    if (isSqlite) {
      await sql`update events set uid = lower(hex(randomblob(16))), ip_key = ip`.execute(db);
    } else {
      await sql`update events set uid = gen_random_uuid(), ip_key = ip`.execute(db);
      // Room for what is encrypted: 45 and 192 characters, nonce and tag, all in base64. SQLite keeps no widths.
      await sql`alter table events
        alter column uid set default gen_random_uuid(),
        alter column uid set not null,
        alter column ip type varchar(160),
        alter column user_agent type varchar(384)`.execute(db);
    }
    await schema.createIndex('events_by_uid').unique().on('events').column('uid').execute();

    // Every list is of the newest first, page by page: each index ends on (at, id), so that a page is one range of
    // it and nothing is sorted. Most events have no actor, and those of strangers no user: they are left out there.
    await schema.dropIndex('events_by_user').execute();
    for (const column of ['user_id', 'session_id', 'ip_key', 'actor_id'] as const) {
      await schema
        .createIndex(`events_by_${column}`)
        .on('events')
        .columns([column, 'at', 'id'])
        .where(sql.ref(column), 'is not', null)
        .execute();
    }
    await schema.createIndex('events_by_type').on('events').columns(['type', 'at', 'id']).execute();
    // The whole list, and what has grown too old.
    await schema.createIndex('events_by_time').on('events').columns(['at', 'id']).execute();

    // Events per quarter of an hour, for charts: they outlive the events, hold nothing personal, and every time zone
    // in use begins its days on a quarter. The key is the only index, because every question is for a range of time.
    await sql`create table event_counts (
      at bigint not null,
      type varchar(48) not null,
      count bigint not null,
      primary key (at, type)
    ) ${isSqlite ? sql`without rowid` : sql``}`.execute(db);

    // What has to be posted to somebody, from the moment it is true until it has arrived.
    await schema
      .createTable('webhook_deliveries')
      .addColumn('id', 'varchar(48)', (c) => c.primaryKey())
      .addColumn('body', 'text', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .addColumn('next_at', 'bigint', (c) => c.notNull())
      .addColumn('tries', 'integer', (c) => c.notNull().defaultTo(0))
      .execute();
    await schema.createIndex('webhook_deliveries_due').on('webhook_deliveries').column('next_at').execute();

    // What one process at a time does for all, and how far it came. A handful of rows.
    await schema
      .createTable('jobs')
      .addColumn('name', 'varchar(32)', (c) => c.primaryKey())
      .addColumn('leased_until', 'bigint', (c) => c.notNull().defaultTo(0))
      .addColumn('progress', 'varchar(128)')
      .execute();
  },
});
