import { type Kysely, type Migration, sql } from 'kysely';
import type { Dialect } from '../database.js';

/** Accounts, roles and events. */
export const accounts = (dialect: Dialect): Migration => ({
  async up(db: Kysely<unknown>) {
    const { schema } = db;
    const flag = 'smallint';
    const time = 'bigint';

    await numberedTable(db, dialect, 'users', 'legacy_id')
      .addColumn('id', 'varchar(36)', (c) => c.notNull())
      .addColumn('email', 'varchar(254)')
      .addColumn('email_key', 'varchar(254)')
      .addColumn('username', 'varchar(150)')
      .addColumn('username_key', 'varchar(150)')
      .addColumn('phone', 'varchar(16)')
      .addColumn('password_hash', 'varchar(512)')
      .addColumn('first_name', 'varchar(150)', (c) => c.notNull().defaultTo(''))
      .addColumn('last_name', 'varchar(150)', (c) => c.notNull().defaultTo(''))
      .addColumn('user_type', 'varchar(64)')
      .addColumn('role', 'varchar(64)', (c) => c.notNull())
      .addColumn('is_staff', flag, (c) => c.notNull().defaultTo(0))
      .addColumn('is_superuser', flag, (c) => c.notNull().defaultTo(0))
      .addColumn('is_active', flag, (c) => c.notNull().defaultTo(1))
      .addColumn('email_verified', flag, (c) => c.notNull().defaultTo(0))
      .addColumn('phone_verified', flag, (c) => c.notNull().defaultTo(0))
      .addColumn('date_joined', time, (c) => c.notNull())
      .addColumn('last_login', time)
      .addColumn('version', 'integer', (c) => c.notNull().defaultTo(1))
      .addColumn('auth_version', 'integer', (c) => c.notNull().defaultTo(1))
      .addColumn('auth_reason', 'varchar(32)')
      .addUniqueConstraint('users_id_unique', ['id'])
      .addUniqueConstraint('users_email_unique', ['email_key'])
      .addUniqueConstraint('users_username_unique', ['username_key'])
      .addUniqueConstraint('users_phone_unique', ['phone'])
      .execute();

    await schema
      .createTable('roles')
      .addColumn('name', 'varchar(64)', (c) => c.primaryKey())
      .addColumn('permissions', 'text', (c) => c.notNull())
      .addColumn('description', 'text', (c) => c.notNull().defaultTo(''))
      .execute();
    await sql`insert into roles (name, permissions, description)
              values ('viewer', '[]', 'May use the application; administers nothing.')`.execute(db);

    await numberedTable(db, dialect, 'events', 'id')
      .addColumn('at', time, (c) => c.notNull())
      .addColumn('type', 'varchar(48)', (c) => c.notNull())
      .addColumn('user_id', 'varchar(36)')
      .addColumn('session_id', 'varchar(32)')
      .addColumn('reason', 'varchar(32)')
      .addColumn('ip', 'varchar(45)')
      .addColumn('user_agent', 'varchar(192)')
      .execute();
    await schema.createIndex('events_by_user').on('events').columns(['user_id', 'id']).execute();
  },
});

/** A table whose first column numbers its rows and never gives a number twice. */
function numberedTable(db: Kysely<unknown>, dialect: Dialect, table: string, column: string) {
  return dialect === 'sqlite'
    ? db.schema.createTable(table).addColumn(column, 'integer', (c) => c.primaryKey().autoIncrement())
    : db.schema
        .createTable(table)
        .addColumn(column, 'bigint', (c) => c.primaryKey().generatedByDefaultAsIdentity());
}
