import { type Kysely, type Selectable, sql } from 'kysely';
import type { AccountStore, NewAccount, UniqueField } from '../../accounts/account-store.js';
import type { EndReason, User } from '../../accounts/user.js';
import { brokenUniqueness, run } from './errors.js';
import { toRow } from './event-store.js';
import type { Schema, UsersTable } from './schema.js';

export function createAccountStore(db: Kysely<Schema>): AccountStore {
  const byId = (id: string) => db.selectFrom('users').selectAll().where('id', '=', id);

  return {
    async findById(id) {
      const row = await run(() => byId(id).executeTakeFirst());
      return row && toUser(row);
    },

    async findByIdentifier({ kind, key }) {
      const column = ({ email: 'email_key', username: 'username_key', phone: 'phone' } as const)[kind];
      const row = await run(() =>
        db.selectFrom('users').selectAll().where(column, '=', key).executeTakeFirst(),
      );
      return row && { user: toUser(row), passwordHash: row.password_hash };
    },

    async findPasswordHash(id) {
      const row = await run(() =>
        db.selectFrom('users').select('password_hash').where('id', '=', id).executeTakeFirst(),
      );
      return row?.password_hash;
    },

    async findTaken(account) {
      const rows = await run(() =>
        db
          .selectFrom('users')
          .select(['email_key', 'username_key', 'phone'])
          .where((e) =>
            e.or([
              e('email_key', '=', account.email?.key ?? null),
              e('username_key', '=', account.username?.key ?? null),
              e('phone', '=', account.phone),
            ]),
          )
          .execute(),
      );
      const { email, username, phone } = account;
      const taken: Record<UniqueField, boolean> = {
        email: rows.some((row) => email && row.email_key === email.key),
        username: rows.some((row) => username && row.username_key === username.key),
        phone: rows.some((row) => phone && row.phone === phone),
      };
      // The first names the code of the answer: always in this order, whatever order the rows came in.
      return (['email', 'username', 'phone'] as const).filter((field) => taken[field]);
    },

    async insert(account, event) {
      return orTaken(async () => {
        const row = await db.transaction().execute(async (tx) => {
          const inserted = await tx
            .insertInto('users')
            .values(toInsert(account))
            .returningAll()
            .executeTakeFirstOrThrow();
          await tx.insertInto('events').values(toRow(event)).execute();
          return inserted;
        });
        return { user: toUser(row) };
      });
    },

    async recordLogin(id, at, rehashed) {
      await run(() =>
        db
          .updateTable('users')
          .set((e) => ({
            last_login: at,
            ...(rehashed && {
              password_hash: e
                .case()
                .when('password_hash', '=', rehashed.from)
                .then(rehashed.to)
                .else(e.ref('password_hash'))
                .end(),
            }),
          }))
          .where('id', '=', id)
          .execute(),
      );
    },

    async updateProfile(id, profile) {
      return orTaken(async () => {
        const row = await db
          .updateTable('users')
          .set({
            version: sql<number>`version + 1`,
            ...(profile.firstName === undefined ? {} : { first_name: profile.firstName }),
            ...(profile.lastName === undefined ? {} : { last_name: profile.lastName }),
            ...(profile.userType === undefined ? {} : { user_type: profile.userType }),
            ...(profile.username && {
              username: profile.username.display,
              username_key: profile.username.key,
            }),
          })
          .where('id', '=', id)
          .returningAll()
          .executeTakeFirst();
        return row && { user: toUser(row) };
      });
    },

    async setActive(id, active, reason) {
      const row = await run(() =>
        db
          .updateTable('users')
          .set({
            is_active: active ? 1 : 0,
            version: sql<number>`version + 1`,
            auth_version: sql<number>`auth_version + 1`,
            auth_reason: reason,
          })
          .where('id', '=', id)
          .returningAll()
          .executeTakeFirst(),
      );
      return row && toUser(row);
    },

    async erase(id, at) {
      return run(() =>
        db.transaction().execute(async (tx) => {
          const { numDeletedRows } = await tx.deleteFrom('users').where('id', '=', id).executeTakeFirst();
          if (numDeletedRows === 0n) return false;
          await tx
            .updateTable('events')
            .set({ user_id: null, session_id: null, ip: null, user_agent: null })
            .where('user_id', '=', id)
            .execute();
          await tx
            .insertInto('events')
            .values(toRow({ type: 'account_deleted', at }))
            .execute();
          return true;
        }),
      );
    },
  };
}

async function orTaken<T>(change: () => Promise<T>): Promise<T | { taken: UniqueField }> {
  try {
    return await run(change);
  } catch (error) {
    const taken = brokenUniqueness(error);
    if (taken) return { taken };
    throw error;
  }
}

const toInsert = (account: NewAccount) => ({
  id: account.id,
  email: account.email?.display ?? null,
  email_key: account.email?.key ?? null,
  username: account.username?.display ?? null,
  username_key: account.username?.key ?? null,
  phone: account.phone,
  password_hash: account.passwordHash,
  first_name: account.firstName,
  last_name: account.lastName,
  user_type: account.userType,
  role: account.role,
  is_staff: 0,
  is_superuser: 0,
  is_active: 1,
  email_verified: 0,
  phone_verified: 0,
  date_joined: account.dateJoined,
  // Registration hands out tokens: it is the first login.
  last_login: account.dateJoined,
  version: 1,
  auth_version: 1,
  auth_reason: null,
});

function toUser(row: Selectable<UsersTable>): User {
  return {
    id: row.id,
    legacyId: row.legacy_id,
    email: row.email,
    username: row.username,
    phone: row.phone,
    firstName: row.first_name,
    lastName: row.last_name,
    userType: row.user_type,
    role: row.role,
    isStaff: row.is_staff === 1,
    isSuperuser: row.is_superuser === 1,
    isActive: row.is_active === 1,
    emailVerified: row.email_verified === 1,
    phoneVerified: row.phone_verified === 1,
    dateJoined: row.date_joined,
    lastLogin: row.last_login,
    version: row.version,
    authVersion: row.auth_version,
    authReason: row.auth_reason as EndReason | null,
  };
}
