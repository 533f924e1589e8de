import type { Kysely, Migration } from 'kysely';
import { sql } from 'kysely';
import type { Dialect } from '../database.js';

/** Where the embedded state store keeps what Redis holds in production. PostgreSQL never has this table. */
export const embeddedState = (dialect: Dialect): Migration => ({
  async up(db: Kysely<unknown>) {
    if (dialect !== 'sqlite') return;
    await sql`create table state (
      key text primary key,
      value text not null,
      expires_at integer not null
    ) without rowid`.execute(db);
    await db.schema.createIndex('state_by_expiry').on('state').column('expires_at').execute();
  },
});
