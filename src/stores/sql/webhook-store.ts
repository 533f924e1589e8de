import type { Kysely } from 'kysely';
import type { FieldCipher } from '../../audit/field-cipher.js';
import type { WebhookStore } from '../../delivery/alert-webhooks.js';
import type { Dialect } from './database.js';
import { run } from './errors.js';
import type { Schema } from './schema.js';

export interface WebhookStoreOptions {
  dialect: Dialect;
  cipher: FieldCipher;
}

/** `createEventWriter` puts them in, in one statement with the alert that they tell of. */
export function createWebhookStore(
  db: Kysely<Schema>,
  { dialect, cipher }: WebhookStoreOptions,
): WebhookStore {
  return {
    async claim({ now, until, limit }) {
      const due = db
        .selectFrom('webhook_deliveries')
        .select('id')
        .where('next_at', '<=', now)
        .orderBy('next_at')
        .limit(limit);
      const rows = await run(() =>
        db
          .updateTable('webhook_deliveries')
          .set((e) => ({ next_at: until, tries: e('tries', '+', 1) }))
          // SQLite lets one process write at a time; in PostgreSQL nobody waits for another one's rows.
          .where('id', 'in', dialect === 'sqlite' ? due : due.forUpdate().skipLocked())
          .returningAll()
          .execute(),
      );
      return rows.map(({ id, body, created_at, tries }) => ({
        id,
        body: cipher.open(body, id),
        createdAt: created_at,
        tries,
      }));
    },

    async remove(id) {
      await run(() => db.deleteFrom('webhook_deliveries').where('id', '=', id).execute());
    },

    async retry(id, at) {
      await run(() =>
        db.updateTable('webhook_deliveries').set({ next_at: at }).where('id', '=', id).execute(),
      );
    },
  };
}
