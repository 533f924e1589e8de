import type { Kysely, Migration } from 'kysely';

/** What outlives the state store of tokens that an old system signed, and the keys that it handed out. */
export const legacyTokens: Migration = {
  async up(db: Kysely<unknown>) {
    const { schema } = db;

    // By the number of the user, as the tokens themselves name it: what is imported may come before its user.
    await schema
      .createTable('revoked_tokens')
      .addColumn('legacy_id', 'bigint', (c) => c.notNull())
      .addColumn('jti', 'varchar(32)', (c) => c.notNull())
      .addColumn('expires_at', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('revoked_tokens_pk', ['legacy_id', 'jti'])
      .execute();
    await schema.createIndex('revoked_tokens_by_expiry').on('revoked_tokens').column('expires_at').execute();

    // A key is good while its account is at the version that it was handed out under.
    await schema
      .createTable('drf_tokens')
      .addColumn('key_hash', 'varchar(64)', (c) => c.primaryKey())
      .addColumn('legacy_id', 'bigint', (c) => c.notNull())
      .addColumn('auth_version', 'integer', (c) => c.notNull())
      .addColumn('is_imported', 'smallint', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .execute();
    await schema
      .createIndex('drf_tokens_by_user')
      .on('drf_tokens')
      .columns(['legacy_id', 'created_at'])
      .execute();
  },
};
