import type { Kysely } from 'kysely';
import { AuthError } from '../../errors.js';
import type { Schema } from './schema.js';

/**
 * For a transaction that has just taken an active superuser away, whatever else it goes on to do. Two that run side by
 * side each still see the superuser whom the other takes: they take turns by the guard, and the second one then counts
 * what the first has left.
 * @throws forbidden when there is none left
 */
export async function requireSuperuserLeft(tx: Kysely<Schema>): Promise<void> {
  const guard = 'superusers';
  await tx.updateTable('guards').set({ name: guard }).where('name', '=', guard).execute();
  const left = await tx
    .selectFrom('users')
    .select('id')
    .where('is_superuser', '=', 1)
    .where('is_active', '=', 1)
    .limit(1)
    .executeTakeFirst();
  if (!left) throw new AuthError('forbidden', { why: 'no active superuser would be left' });
}
