import { type Selectable, sql } from 'kysely';
import type { AccountStore, NewAccount, Profile, UniqueField } from '../../accounts/account-store.js';
import type { EndReason, User } from '../../accounts/user.js';
import type { Database } from './database.js';
import { brokenUniqueness, run } from './errors.js';
import type { EventWriter } from './event-writer.js';
import { requireSuperuserLeft } from './last-superuser.js';
import type { UsersTable } from './schema.js';

export function createAccountStore(
  { db, prepare }: Pick<Database, 'db' | 'prepare'>,
  writeEvents: EventWriter,
): AccountStore {
  const users = db.selectFrom('users').selectAll();
  const byId = (id: string) => users.where('id', '=', id);
  const findBy = {
    email: prepare(users.where('email_key', '=', '')),
    username: prepare(users.where('username_key', '=', '')),
    phone: prepare(users.where('phone', '=', '')),
  };

  return {
    async findById(id) {
      const row = await run(() => byId(id).executeTakeFirst());
      return row && toUser(row);
    },

    async findByIdentifier({ kind, key }) {
      const [row] = await run(() => findBy[kind](key));
      return row && { user: toUser(row), passwordHash: row.password_hash };
    },

    async findOwnerOfPhone(phone) {
      const row = await run(() =>
        db.selectFrom('users').select(['id', 'is_active']).where('phone', '=', phone).executeTakeFirst(),
      );
      return row && { id: row.id, isActive: row.is_active === 1 };
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
          await writeEvents(tx, [event]);
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
            ...toProfileUpdate(profile),
          })
          .where('id', '=', id)
          .returningAll()
          .executeTakeFirst();
        return row && { user: toUser(row) };
      });
    },

    async claimByPhone({ userId, phone, profile, at }, event) {
      const row = await run(() =>
        db.transaction().execute(async (tx) => {
          const claimed = await tx
            .updateTable('users')
            .set((e) => {
              const ifVerified = <C extends 'email' | 'email_key'>(column: C) =>
                e.case().when('email_verified', '=', 1).then(e.ref(column)).else(null).end();
              return {
                ...toProfileUpdate(profile),
                phone_verified: 1,
                password_hash: null,
                email: ifVerified('email'),
                email_key: ifVerified('email_key'),
                last_login: at,
                version: sql<number>`version + 1`,
                auth_version: sql<number>`auth_version + 1`,
                auth_reason: 'identity_verified' satisfies EndReason,
              };
            })
            .where('id', '=', userId)
            .where('phone', '=', phone)
            .where('phone_verified', '=', 0)
            .where('is_active', '=', 1)
            .returningAll()
            .executeTakeFirst();
          if (claimed) await writeEvents(tx, [event]);
          return claimed;
        }),
      );
      return row && toUser(row);
    },

    async setActive(id, active, reason) {
      const row = await run(() =>
        db.transaction().execute(async (tx) => {
          const changed = await tx
            .updateTable('users')
            .set({
              is_active: active ? 1 : 0,
              version: sql<number>`version + 1`,
              auth_version: sql<number>`auth_version + 1`,
              auth_reason: reason,
            })
            .where('id', '=', id)
            .returningAll()
            .executeTakeFirst();
          if (changed?.is_superuser === 1 && !active) await requireSuperuserLeft(tx);
          return changed;
        }),
      );
      return row && toUser(row);
    },

    async endSessions(id, reason) {
      const row = await run(() =>
        db
          .updateTable('users')
          .set({
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
          const deleted = await tx
            .deleteFrom('users')
            .where('id', '=', id)
            .returning(['is_superuser', 'is_active', 'legacy_id'])
            .executeTakeFirst();
          if (!deleted) return false;
          if (deleted.is_superuser === 1 && deleted.is_active === 1) await requireSuperuserLeft(tx);
          for (const table of ['revoked_tokens', 'drf_tokens'] as const) {
            await tx.deleteFrom(table).where('legacy_id', '=', deleted.legacy_id).execute();
          }
          await tx
            .updateTable('events')
            .set({ user_id: null, session_id: null, ip: null, ip_key: null, user_agent: null })
            .where('user_id', '=', id)
            .execute();
          // What somebody of staff did stays, and where they sat when they did it goes with them.
          await tx
            .updateTable('events')
            .set({ ip: null, ip_key: null, user_agent: null })
            .where('actor_id', '=', id)
            .execute();
          await writeEvents(tx, [{ type: 'account_deleted', at }]);
          return true;
        }),
      );
    },
  };
}

export async function orTaken<T>(change: () => Promise<T>): Promise<T | { taken: UniqueField }> {
  try {
    return await run(change);
  } catch (error) {
    const taken = brokenUniqueness(error);
    if (taken) return { taken };
    throw error;
  }
}

const toProfileUpdate = ({ firstName, lastName, userType, username }: Profile) => ({
  ...(firstName === undefined ? {} : { first_name: firstName }),
  ...(lastName === undefined ? {} : { last_name: lastName }),
  ...(userType === undefined ? {} : { user_type: userType }),
  ...(username && { username: username.display, username_key: username.key }),
});

export const toInsert = (account: NewAccount) => ({
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
  phone_verified: account.phoneVerified ? 1 : 0,
  date_joined: account.dateJoined,
  // Registration hands out tokens: it is the first login.
  last_login: account.isSignedIn === false ? null : account.dateJoined,
  version: 1,
  auth_version: 1,
  auth_reason: null,
});

export function toUser(row: Selectable<UsersTable>): User {
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
