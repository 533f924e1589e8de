import { type Kysely, type Migration, sql } from 'kysely';
import type { Dialect } from '../database.js';

/** What the built-in role `admin` may do; src/accounts/permissions.ts says what each of it is. */
const OF_ADMIN = [
  'users.read',
  'users.write',
  'users.email',
  'users.disable',
  'users.sessions',
  'users.grant',
  'roles.read',
  'roles.write',
  'events.read',
  'stats.read',
];

/** A role for staff, and what the administration of accounts stands on. */
export const roles = (dialect: Dialect): Migration => ({
  async up(db: Kysely<unknown>) {
    const { schema } = db;

    // A role of that name may be there already: then it stays what its makers meant by it.
    await sql`insert into roles (name, permissions, description)
              values ('admin', ${JSON.stringify(OF_ADMIN)}, 'Runs the accounts, below superusers.')
              on conflict (name) do nothing`.execute(db);

    // Where a rule holds over several rows, whoever might break it holds one of these until the transaction ends.
    await schema
      .createTable('guards')
      .addColumn('name', 'varchar(32)', (c) => c.primaryKey())
      .execute();
    await sql`insert into guards (name) values ('superusers')`.execute(db);

    // Whether anybody still has a role; the superusers that are left, of whom there are few.
    await schema.createIndex('users_by_role').on('users').column('role').execute();
    await schema
      .createIndex('users_superusers')
      .on('users')
      .column('is_active')
      .where(sql.ref('is_superuser'), '=', sql.lit(1))
      .execute();

    if (dialect === 'sqlite') return;
    // `like 'text%'` finds nothing by an index in the order of a language.
    await sql`create index users_email_prefix on users (email_key varchar_pattern_ops)`.execute(db);
    await sql`create index users_username_prefix on users (username_key varchar_pattern_ops)`.execute(db);
    await sql`create index users_phone_prefix on users (phone varchar_pattern_ops)`.execute(db);
    await sql`create index users_last_name_prefix on users (lower(last_name) text_pattern_ops)`.execute(db);
    await sql`create index users_full_name_prefix
              on users (lower(first_name || ' ' || last_name) text_pattern_ops)`.execute(db);
  },
});
