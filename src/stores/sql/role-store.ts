import type { Kysely } from 'kysely';
import type { Role, RoleDefinitions } from '../../accounts/role-definitions.js';
import { run } from './errors.js';
import type { EventWriter } from './event-writer.js';
import type { RolesTable, Schema } from './schema.js';
import { readPermissions, readStanding } from './standing.js';

export function createRoleStore(db: Kysely<Schema>, write: EventWriter): RoleDefinitions {
  return {
    async listRoles() {
      const rows = await run(() => db.selectFrom('roles').selectAll().orderBy('name').execute());
      return rows.map(toRole);
    },

    async define(role, actorId, judge, event) {
      const row = { ...role, permissions: JSON.stringify(role.permissions) };
      await run(() =>
        db.transaction().execute(async (tx) => {
          // There and locked afterwards: as it was, or as it is to be if there was none.
          const locked = await tx
            .insertInto('roles')
            .values(row)
            .onConflict((on) => on.column('name').doUpdateSet({ name: role.name }))
            .returningAll()
            .executeTakeFirstOrThrow();
          judge(toRole(locked), await readStanding(tx, actorId));
          await tx.updateTable('roles').set(row).where('name', '=', role.name).execute();
          await write(tx, [event]);
        }),
      );
    },

    async remove(name, actorId, judge, event) {
      return run(() =>
        db.transaction().execute(async (tx) => {
          const locked = await lockRole(tx, name);
          if (!locked) return 'missing';
          judge(toRole(locked), await readStanding(tx, actorId));
          // Asked only now: whoever was giving somebody the role held it, and is done.
          const used = await tx.selectFrom('users').select('id').where('role', '=', name).limit(1).execute();
          if (used.length > 0) return 'in_use';
          await tx.deleteFrom('roles').where('name', '=', name).execute();
          await write(tx, [event]);
          return 'removed';
        }),
      );
    },
  };
}

/** Reads a role that nobody else changes or deletes before the transaction ends. */
export async function lockRole(tx: Kysely<Schema>, name: string): Promise<RolesTable | undefined> {
  return tx.updateTable('roles').set({ name }).where('name', '=', name).returningAll().executeTakeFirst();
}

const toRole = ({ name, permissions, description }: RolesTable): Role => ({
  name,
  permissions: readPermissions(permissions),
  description,
});
