import { type Expression, type Kysely, type SqlBool, sql } from 'kysely';
import type { Standing } from '../../accounts/authority.js';
import type { EndReason, User } from '../../accounts/user.js';
import type { SearchText, UserAdminStore, UserChange } from '../../accounts/user-admin-store.js';
import { AuthError } from '../../errors.js';
import { orTaken, toInsert } from './account-store.js';
import { run } from './errors.js';
import type { EventWriter } from './event-writer.js';
import { requireSuperuserLeft } from './last-superuser.js';
import { lockRole } from './role-store.js';
import type { Schema } from './schema.js';
import { readPermissions, readStanding, selectStandings, toStanding } from './standing.js';

export function createUserAdminStore(db: Kysely<Schema>, write: EventWriter): UserAdminStore {
  return {
    find: (id) => run(() => readStanding(db, id)),

    async search({ text, isActive, isStaff, isSuperuser, role, before, limit }) {
      let query = selectStandings(db);
      if (text) query = query.where(beginsWith(text));
      if (isActive !== undefined) query = query.where('is_active', '=', flag(isActive));
      if (isStaff !== undefined) query = query.where('is_staff', '=', flag(isStaff));
      if (isSuperuser !== undefined) query = query.where('is_superuser', '=', flag(isSuperuser));
      if (role !== undefined) query = query.where('role', '=', role);
      if (before !== undefined) query = query.where('legacy_id', '<', before);
      const rows = await run(() => query.orderBy('legacy_id', 'desc').limit(limit).execute());
      return rows.map(toStanding);
    },

    async change({ userId, actorId, change }, judge, tell) {
      return orTaken(() =>
        db.transaction().execute(async (tx) => {
          const locked = await tx
            .updateTable('users')
            .set({ version: sql<number>`version + 1` })
            .where('id', '=', userId)
            .executeTakeFirst();
          if (locked.numUpdatedRows === 0n) return undefined;
          const before = (await readStanding(tx, userId)) as Standing;
          const newPermissions = change.role === undefined ? undefined : await requireRole(tx, change.role);
          const actor = actorId === undefined ? undefined : await readStanding(tx, actorId);
          judge({ target: before, actor, newPermissions });

          const columns = toColumns(change, before.user);
          if (Object.keys(columns).length > 0) {
            await tx.updateTable('users').set(columns).where('id', '=', userId).execute();
          }
          const after = (await readStanding(tx, userId)) as Standing;
          if (isActiveSuperuser(before) && !isActiveSuperuser(after)) await requireSuperuserLeft(tx);
          const changed = { before, after };
          await write(tx, tell(changed));
          return changed;
        }),
      );
    },

    async insert({ isStaff, isSuperuser, ...account }, events) {
      return orTaken(() =>
        db.transaction().execute(async (tx) => {
          await requireRole(tx, account.role);
          await tx
            .insertInto('users')
            .values({
              ...toInsert({ ...account, isSignedIn: false }),
              is_staff: flag(isStaff),
              is_superuser: flag(isSuperuser),
              email_verified: 1,
            })
            .execute();
          await write(tx, events);
          return { standing: (await readStanding(tx, account.id)) as Standing };
        }),
      );
    },
  };
}

const flag = (value: boolean): number => (value ? 1 : 0);

const isActiveSuperuser = ({ user }: Standing): boolean => user.isSuperuser && user.isActive;

/** What a role allows, which stays as it is until the transaction ends. @throws invalid_request */
async function requireRole(tx: Kysely<Schema>, name: string): Promise<string[]> {
  const role = await lockRole(tx, name);
  if (role) return readPermissions(role.permissions);
  throw new AuthError('invalid_request', { errors: [{ field: 'role', code: 'invalid_value' }] });
}

function toColumns(change: UserChange, before: User) {
  const { firstName, lastName, username, email, isActive, role, isStaff, isSuperuser } = change;
  const isShutOut = before.isActive && isActive === false;
  const isMoved = email !== undefined && email.display !== before.email;
  return {
    ...(firstName !== undefined && { first_name: firstName }),
    ...(lastName !== undefined && { last_name: lastName }),
    ...(username && { username: username.display, username_key: username.key }),
    ...(isMoved && { email: email.display, email_key: email.key, email_verified: 0 }),
    ...(role !== undefined && { role }),
    ...(isStaff !== undefined && { is_staff: flag(isStaff) }),
    ...(isSuperuser !== undefined && { is_superuser: flag(isSuperuser) }),
    ...(isActive !== undefined && { is_active: flag(isActive) }),
    ...((isShutOut || isMoved) && {
      auth_version: sql<number>`auth_version + 1`,
      auth_reason: (isShutOut ? 'account_disabled' : 'admin') satisfies EndReason,
    }),
  };
}

/** In the words of the indexes that 0005-roles.ts makes. */
function beginsWith({ email, username, phone, name }: SearchText): Expression<SqlBool> {
  const begins = (column: ReturnType<typeof sql>, text: string) =>
    sql<SqlBool>`${column} like ${`${text.replace(/[\\%_]/g, '\\$&')}%`} escape '\\'`;
  const alternatives = [
    begins(sql`email_key`, email),
    begins(sql`username_key`, username),
    begins(sql`lower(last_name)`, name),
    begins(sql`lower(first_name || ' ' || last_name)`, name),
    ...(phone === undefined ? [] : [begins(sql`phone`, phone)]),
  ];
  return sql<SqlBool>`(${sql.join(alternatives, sql` or `)})`;
}
