import type { Kysely } from 'kysely';
import type { Standing } from '../../accounts/authority.js';
import { toUser } from './account-store.js';
import type { Schema } from './schema.js';

/** Accounts with what their roles allow; a role that is not there allows nothing. */
export const selectStandings = (db: Kysely<Schema>) =>
  db
    .selectFrom('users')
    .leftJoin('roles', 'roles.name', 'users.role')
    .selectAll('users')
    .select('roles.permissions as granted');

type Row = Parameters<typeof toUser>[0] & { granted: string | null };

export const toStanding = (row: Row): Standing => ({
  user: toUser(row),
  permissions: row.granted === null ? [] : readPermissions(row.granted),
});

export async function readStanding(db: Kysely<Schema>, id: string): Promise<Standing | undefined> {
  const row = await selectStandings(db).where('users.id', '=', id).executeTakeFirst();
  return row && toStanding(row);
}

export const readPermissions = (json: string): string[] => JSON.parse(json) as string[];
