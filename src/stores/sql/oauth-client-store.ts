import type { Kysely } from 'kysely';
import type { OauthClientStore } from '../../accounts/oauth-clients.js';
import { run } from './errors.js';
import type { Schema } from './schema.js';

export function createOauthClientStore(db: Kysely<Schema>): OauthClientStore {
  return {
    async insert({ id, name, secretHash, createdAt }) {
      const row = { id, name, secret_hash: secretHash, created_at: createdAt };
      await run(() => db.insertInto('clients').values(row).execute());
    },

    async list() {
      const query = db.selectFrom('clients').selectAll().orderBy('created_at').orderBy('id');
      const rows = await run(() => query.execute());
      return rows.map(({ id, name, secret_hash, created_at }) => ({
        id,
        name,
        secretHash: secret_hash,
        createdAt: created_at,
      }));
    },

    async remove(id) {
      const { numDeletedRows } = await run(() =>
        db.deleteFrom('clients').where('id', '=', id).executeTakeFirst(),
      );
      return numDeletedRows > 0n;
    },
  };
}
