import type { EventRecorder, EventType, SecurityEvent } from '../audit/events.js';
import { AuthError, type FieldFault } from '../errors.js';
import type { Client } from '../tokens/session-service.js';
import { requireMayDefine, type Standing } from './authority.js';
import { normalizeName } from './identifiers.js';
import { isPermissionName } from './permissions.js';
import type { RoleStore } from './roles.js';

/** A named set of permissions. */
export interface Role {
  name: string;
  permissions: string[];
  description: string;
}

/** Told how a role and whoever asks stand in SQL at the moment of the change; throws to refuse it. */
export type RoleJudge = (role: Role, actor: Standing | undefined) => void;

/** The roles in SQL, for those who change them. Every method throws `store_unavailable` when SQL is away. */
export interface RoleDefinitions extends RoleStore {
  /** By name. */
  listRoles(): Promise<Role[]>;
  /**
   * Makes a role, or changes what it means for everybody who has it, and stores the event with it. A new one is judged
   * as what it is to be.
   */
  define(role: Role, actorId: string, judge: RoleJudge, event: SecurityEvent): Promise<void>;
  /** Never while an account has it: whoever made one of that name later would give it to them. */
  remove(
    name: string,
    actorId: string,
    judge: RoleJudge,
    event: SecurityEvent,
  ): Promise<'removed' | 'missing' | 'in_use'>;
}

export interface RoleAdminNeeds {
  store: RoleDefinitions;
  events: Pick<EventRecorder, 'prepare'>;
  /** Told of what a transaction has stored: no recorder sees it. */
  countEvent(type: EventType): void;
  /** New accounts get it. */
  defaultRole: string;
  /** Makes this process read the roles again; others do so within five seconds. */
  renew(): Promise<void>;
}

export type RoleAdmin = ReturnType<typeof createRoleAdmin>;

/** Defining roles, within what the one who does it may do. */
export function createRoleAdmin({ store, events, countEvent, defaultRole, renew }: RoleAdminNeeds) {
  /** @throws invalid_request, forbidden, store_unavailable */
  async function define(input: Role, actorId: string, client: Client): Promise<Role> {
    const role = readRole(input);
    const judge: RoleJudge = ({ permissions: before }, actor) =>
      requireMayDefine(actor, role.name, [...before, ...role.permissions]);
    const event = events.prepare({ type: 'role_defined', actorId, client, detail: { role: role.name } });
    await store.define(role, actorId, judge, event);
    countEvent(event.type);
    await renew();
    return role;
  }

  /** @throws not_found, invalid_request (while it is in use), forbidden, store_unavailable */
  async function remove(name: string, actorId: string, client: Client): Promise<void> {
    if (name === defaultRole) throw inUse();
    const judge: RoleJudge = ({ permissions }, actor) => requireMayDefine(actor, name, permissions);
    const event = events.prepare({ type: 'role_deleted', actorId, client, detail: { role: name } });
    const outcome = await store.remove(name, actorId, judge, event);
    if (outcome === 'missing') throw new AuthError('not_found');
    if (outcome === 'in_use') throw inUse();
    countEvent(event.type);
    await renew();
  }

  return { list: store.listRoles, define, remove };
}

const inUse = (): AuthError =>
  new AuthError('invalid_request', { errors: [{ field: 'name', code: 'taken' }], why: 'the role is in use' });

function readRole({ name, permissions, description }: Role): Role {
  const tidied = normalizeName(description);
  const faults: FieldFault[] = permissions.flatMap((permission, index) =>
    isPermissionName(permission) ? [] : [{ field: `permissions.${index}`, code: 'invalid_value' }],
  );
  if (tidied === undefined) faults.push({ field: 'description', code: 'invalid_format' });
  if (faults.length > 0 || tidied === undefined) throw new AuthError('invalid_request', { errors: faults });
  return { name, permissions: [...new Set(permissions)].sort(), description: tidied };
}
