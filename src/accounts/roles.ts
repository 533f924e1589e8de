import type { Clock } from '../lib/clock.js';
import { createFreshCopy } from '../lib/fresh-copy.js';
import type { User } from './user.js';

export interface RoleStore {
  /** Every role with its permissions. */
  listRoles(): Promise<{ name: string; permissions: string[] }[]>;
}

export interface RoleServiceNeeds {
  store: RoleStore;
  now: Clock;
  onTrouble(error: unknown): void;
}

/** A changed definition shows within five seconds. */
const MAX_AGE_MS = 4500;

/** What each role allows. Kept in memory, so that neither a request nor a refresh asks SQL. */
export function createRoleService({ store, now, onTrouble }: RoleServiceNeeds) {
  const keepCopy = () => createFreshCopy({ read, now, maxAgeMs: MAX_AGE_MS, onTrouble });
  let roles = keepCopy();

  async function read(): Promise<Map<string, readonly string[]>> {
    const list = await store.listRoles();
    return new Map(list.map((role) => [role.name, Object.freeze([...role.permissions])]));
  }

  /** At once, but for the first to ask after the copy got old. */
  function permissionsOf(user: User): readonly string[] | Promise<readonly string[]> {
    const known = roles();
    return known instanceof Promise ? known.then((read) => allows(read, user)) : allows(known, user);
  }

  /** After a change in this process, which need not wait until its copy is old. */
  async function renew(): Promise<void> {
    const fresh = keepCopy();
    try {
      await fresh();
      roles = fresh;
    } catch (error) {
      onTrouble(error);
    }
  }

  /** Reads them before somebody asks; whoever asks hears of a failure. */
  async function prepare(): Promise<void> {
    try {
      await roles();
    } catch {}
  }

  return { permissionsOf, renew, prepare };
}

const allows = (roles: ReadonlyMap<string, readonly string[]>, { role }: User): readonly string[] =>
  roles.get(role) ?? [];

export type RoleService = ReturnType<typeof createRoleService>;
