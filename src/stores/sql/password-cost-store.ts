import { type Kysely, sql } from 'kysely';
import type { HashCost } from '../../accounts/password-scheme.js';
import { run } from './errors.js';
import type { Schema } from './schema.js';

export interface PasswordCostStore {
  /** Of the schemes that some account still has a hash of. */
  listCosts(): Promise<HashCost[]>;
  /** Keeps the dearest of each family. To be called before the first account with such a hash is stored. */
  recordCosts(costs: readonly HashCost[]): Promise<void>;
}

/** What refusals have to cost because of hashes that came from an older system. */
export function createPasswordCostStore(db: Kysely<Schema>): PasswordCostStore {
  return {
    listCosts: () =>
      run(() =>
        db
          .selectFrom('password_costs')
          .select(['family', 'units'])
          .where(({ exists, selectFrom }) =>
            exists(
              selectFrom('users')
                .select(sql`1`.as('one'))
                // As the index `users_by_foreign_hash` has it.
                .where(sql`substr(password_hash, 1, 1)`, '<>', sql.lit('$'))
                .whereRef(sql`substr(password_hash, 1, 6)`, '=', sql`substr(password_costs.family, 1, 6)`),
            ),
          )
          .orderBy('family')
          .execute(),
      ),

    async recordCosts(costs) {
      if (costs.length === 0) return;
      await run(() =>
        db
          .insertInto('password_costs')
          .values(costs.map(({ family, units }) => ({ family, units })))
          .onConflict((on) =>
            on.column('family').doUpdateSet({
              units: sql`case when excluded.units > password_costs.units
                              then excluded.units else password_costs.units end`,
            }),
          )
          .execute(),
      );
    },
  };
}
