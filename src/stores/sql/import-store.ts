import { setTimeout as delay } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { UniqueField } from '../../accounts/account-store.js';
import { hashDrfKey } from '../../accounts/drf-tokens.js';
import type { ImportedAccount } from '../../compat/import/accounts.js';
import type { ImportStore, Inserted } from '../../compat/import/import-store.js';
import { requireOwn } from '../../compat/import/survey.js';
import { AuthError } from '../../errors.js';
import { toInsert } from './account-store.js';
import type { Dialect } from './database.js';
import { insertDrfTokens } from './drf-token-store.js';
import { run } from './errors.js';
import { insertRevokedTokens } from './legacy-token-store.js';
import { createPasswordCostStore } from './password-cost-store.js';
import type { Schema } from './schema.js';
import { readPermissions } from './standing.js';

/** A server that writes meanwhile has the file, or a row, for a moment: an import is not in a hurry (ms). */
const WAITS = [100, 500, 2000, 5000];

export function createImportStore(db: Kysely<Schema>, dialect: Dialect): ImportStore {
  const store: ImportStore = {
    findByLegacyIds: (legacyIds) => findByLegacyIds(db, legacyIds),

    async reserveLegacyIds(upTo) {
      await run(() =>
        db.transaction().execute(async (tx) => {
          if (dialect === 'postgres') {
            const sequence = sql`pg_get_serial_sequence('users', 'legacy_id')`;
            await sql`select case when nextval(${sequence}) < ${upTo}
                             then setval(${sequence}, ${upTo}) end`.execute(tx);
            return;
          }
          await sql`insert into sqlite_sequence (name, seq) select 'users', 0
                    where not exists (select 1 from sqlite_sequence where name = 'users')`.execute(tx);
          await sql`update sqlite_sequence set seq = ${upTo} where name = 'users' and seq < ${upTo}`.execute(
            tx,
          );
        }),
      );
    },

    async listRoles() {
      const rows = await run(() => db.selectFrom('roles').select(['name', 'permissions']).execute());
      return rows.map(({ name, permissions }) => ({ name, permissions: readPermissions(permissions) }));
    },

    async addRoles(roles) {
      if (roles.length === 0) return;
      const rows = roles.map((role) => ({ ...role, permissions: JSON.stringify(role.permissions) }));
      await run(() =>
        db
          .insertInto('roles')
          .values(rows)
          .onConflict((on) => on.doNothing())
          .execute(),
      );
    },

    recordCosts: createPasswordCostStore(db).recordCosts,

    tryAccounts: (accounts) => sortOut(db, accounts).then(({ outcome }) => outcome),

    insertAccounts: (accounts) =>
      run(() =>
        db.transaction().execute(async (tx) => {
          const { fresh, outcome } = await sortOut(tx, accounts);
          if (fresh.length === 0) return outcome;
          const inserted = await tx
            .insertInto('users')
            .values(fresh.map(toRow))
            .onConflict((on) => on.doNothing())
            .returning('legacy_id')
            .execute();
          if (inserted.length === fresh.length) return outcome;
          // Somebody registered in this very moment.
          const done = new Set(inserted.map((row) => row.legacy_id));
          const late = fresh.filter(({ legacyId }) => !done.has(legacyId));
          const again = await sortOut(tx, late);
          return {
            inserted: inserted.length,
            alreadyThere: outcome.alreadyThere,
            taken: [...outcome.taken, ...again.outcome.taken],
          };
        }),
      ),

    revokeTokens: (tokens) => run(() => db.transaction().execute((tx) => insertRevokedTokens(tx, tokens))),

    async addKeys(keys) {
      const tokens = keys.map(({ key, ...rest }) => ({ ...rest, keyHash: hashDrfKey(key) }));
      await run(() => db.transaction().execute((tx) => insertDrfTokens(tx, tokens)));
    },
  };
  return patient(store);
}

async function findByLegacyIds(db: Kysely<Schema>, legacyIds: readonly number[]) {
  if (legacyIds.length === 0) return [];
  const rows = await run(() =>
    db.selectFrom('users').select(['legacy_id', 'id']).where('legacy_id', 'in', legacyIds).execute(),
  );
  return rows.map(({ legacy_id, id }) => ({ legacyId: legacy_id, id }));
}

/** Which of them can be inserted, and what is in the way of the others. @throws DumpError */
async function sortOut(
  db: Kysely<Schema>,
  accounts: readonly ImportedAccount[],
): Promise<{ fresh: ImportedAccount[]; outcome: Inserted }> {
  const present = await findByLegacyIds(
    db,
    accounts.map(({ legacyId }) => legacyId),
  );
  requireOwn(present);
  const there = new Set(present.map(({ legacyId }) => legacyId));
  const others = accounts.filter(({ legacyId }) => !there.has(legacyId));
  const holders = {
    email: await findTaken(
      db,
      'email_key',
      others.map(({ email }) => email?.key),
    ),
    username: await findTaken(
      db,
      'username_key',
      others.map(({ username }) => username?.key),
    ),
    phone: await findTaken(
      db,
      'phone',
      others.map(({ phone }) => phone ?? undefined),
    ),
  };
  const fresh: ImportedAccount[] = [];
  const taken: Inserted['taken'] = [];
  for (const account of others) {
    const { email, username, phone } = account;
    const fields: [UniqueField, string | null | undefined][] = [
      ['email', email?.key],
      ['username', username?.key],
      ['phone', phone],
    ];
    const clash = fields.find(([field, key]) => key && holders[field].has(key));
    if (clash) taken.push({ legacyId: account.legacyId, field: clash[0] });
    else fresh.push(account);
  }
  return { fresh, outcome: { inserted: fresh.length, alreadyThere: present.length, taken } };
}

async function findTaken(
  db: Kysely<Schema>,
  column: 'email_key' | 'username_key' | 'phone',
  keys: (string | undefined)[],
): Promise<Set<string | null>> {
  const asked = keys.filter((key): key is string => key !== undefined);
  if (asked.length === 0) return new Set();
  const rows = await run(() => db.selectFrom('users').select(column).where(column, 'in', asked).execute());
  return new Set(rows.map((row) => row[column as keyof typeof row] as string | null));
}

const toRow = (account: ImportedAccount) => ({
  ...toInsert(account),
  legacy_id: account.legacyId,
  is_staff: account.isStaff ? 1 : 0,
  is_superuser: account.isSuperuser ? 1 : 0,
  is_active: account.isActive ? 1 : 0,
  email_verified: account.emailVerified ? 1 : 0,
  last_login: account.lastLogin,
});

/** Tries again for a while when the database is busy. */
function patient(store: ImportStore): ImportStore {
  const entries = Object.entries(store).map(([name, method]) => [
    name,
    async (...args: unknown[]) => {
      for (const wait of WAITS) {
        try {
          return await (method as (...args: unknown[]) => Promise<unknown>)(...args);
        } catch (error) {
          if (!(error instanceof AuthError && error.code === 'store_unavailable')) throw error;
          await delay(wait);
        }
      }
      return (method as (...args: unknown[]) => Promise<unknown>)(...args);
    },
  ]);
  return Object.fromEntries(entries) as ImportStore;
}
