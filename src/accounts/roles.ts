import type { Clock } from '../lib/clock.js';
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

/** A changed definition shows within five seconds: no older copy is used while SQL answers. */
const MAX_AGE_MS = 4500;
/** While SQL is away nobody can change a definition either, so the last known one serves; this is how often to try. */
const RETRY_MS = 1000;

/** What each role allows. Kept in memory, so that neither a request nor a refresh asks SQL. */
export function createRoleService({ store, now, onTrouble }: RoleServiceNeeds) {
  let roles: Map<string, readonly string[]> | undefined;
  let freshUntil = 0;
  let awayUntil = 0;
  let loading: Promise<void> | undefined;

  async function load(): Promise<void> {
    try {
      const list = await store.listRoles();
      roles = new Map(list.map((role) => [role.name, Object.freeze([...role.permissions])]));
      freshUntil = now() + MAX_AGE_MS;
      awayUntil = 0;
    } catch (error) {
      if (!roles) throw error;
      onTrouble(error);
      freshUntil = now() + RETRY_MS;
      awayUntil = now() + MAX_AGE_MS;
    }
  }

  async function permissionsOf(user: User): Promise<readonly string[]> {
    if (now() >= freshUntil) {
      loading ??= load().finally(() => {
        loading = undefined;
      });
      // Nobody waits for a store that was away a moment ago: requests that need no SQL would all turn slow.
      if (now() >= awayUntil) await loading;
    }
    return roles?.get(user.role) ?? [];
  }

  return { permissionsOf };
}
