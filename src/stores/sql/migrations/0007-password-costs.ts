import { type Kysely, type Migration, sql } from 'kysely';

/** What comparing with the hashes of an older system costs; see src/accounts/password-hasher.ts. */
export const passwordCosts: Migration = {
  async up(db: Kysely<unknown>) {
    await db.schema
      .createTable('password_costs')
      .addColumn('family', 'varchar(64)', (c) => c.primaryKey())
      .addColumn('units', 'integer', (c) => c.notNull())
      .execute();
    // Our own hashes begin with a dollar sign. Six letters tell the others apart: pbkdf2, bcrypt, scrypt, argon2.
    await sql`create index users_by_foreign_hash on users (substr(password_hash, 1, 6))
              where substr(password_hash, 1, 1) <> '$'`.execute(db);
  },
};
