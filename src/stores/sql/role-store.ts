import type { Kysely } from 'kysely';
import type { RoleStore } from '../../accounts/roles.js';
import { run } from './errors.js';
import type { Schema } from './schema.js';

export function createRoleStore(db: Kysely<Schema>): RoleStore {
  return {
    async listRoles() {
      const rows = await run(() => db.selectFrom('roles').select(['name', 'permissions']).execute());
      return rows.map(({ name, permissions }) => ({
        name,
        permissions: JSON.parse(permissions) as string[],
      }));
    },
  };
}
