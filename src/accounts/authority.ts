import { AuthError } from '../errors.js';
import type { Permission } from './permissions.js';
import type { User } from './user.js';

/** An account and what its role allows, as SQL has both at one moment. */
export interface Standing {
  user: User;
  permissions: readonly string[];
}

/** What staff may change of an account. */
export type UserField =
  | 'first_name'
  | 'last_name'
  | 'username'
  | 'email'
  | 'is_active'
  | 'role'
  | 'is_staff'
  | 'is_superuser';

const NEEDED: Record<UserField, Permission | 'superuser'> = {
  first_name: 'users.write',
  last_name: 'users.write',
  username: 'users.write',
  email: 'users.email',
  is_active: 'users.disable',
  role: 'users.grant',
  is_staff: 'users.grant',
  is_superuser: 'superuser',
};

/** By these somebody would come to act with the permissions of the account. */
const LENDS_PERMISSIONS = new Set<UserField>(['email', 'role', 'is_staff']);

/** Superusers are staff, whatever `is_staff` says. */
export const isStaff = ({ isStaff, isSuperuser }: User): boolean => isStaff || isSuperuser;

const may = ({ user, permissions }: Standing, permission: Permission | 'superuser'): boolean =>
  user.isSuperuser || permissions.some((name) => name === permission);

/** Does `actor` hold each of these? */
const covers = ({ user, permissions }: Standing, others: readonly string[]): boolean =>
  user.isSuperuser || others.every((name) => permissions.includes(name));

/** @throws forbidden unless the account is one of staff, and has not been disabled meanwhile */
function requireActingStaff(actor: Standing | undefined): asserts actor is Standing {
  if (!actor?.user.isActive || !isStaff(actor.user)) throw refuse('is no staff any more');
}

/**
 * Whether `actor` may do anything to `target` at all: nobody below a superuser touches one, and members of staff
 * are touched only by those who may do as much.
 * @throws forbidden
 */
export function requireAbove(actor: Standing | undefined, target: Standing): asserts actor is Standing {
  requireActingStaff(actor);
  if (actor.user.id === target.user.id || actor.user.isSuperuser) return;
  if (target.user.isSuperuser) throw refuse('the account is a superuser');
  if (isStaff(target.user) && !covers(actor, target.permissions)) throw refuse('the account may do more');
}

export interface ProposedChange {
  fields: readonly UserField[];
  /** What the role that is to be given allows. */
  newPermissions: readonly string[] | undefined;
}

/**
 * Whether `actor` may change these fields of `target`. Nobody changes their own account as staff, and nobody gives,
 * takes away or comes to use permissions that they do not have themselves.
 * @throws forbidden, naming the fields that were refused where others would not have been
 */
export function requireMayChange(
  actor: Standing | undefined,
  target: Standing,
  { fields, newPermissions = [] }: ProposedChange,
): void {
  requireAbove(actor, target);
  if (actor.user.id === target.user.id) throw refuse('the own account');
  const reaches = covers(actor, target.permissions) && covers(actor, newPermissions);
  const refused = fields.filter(
    (field) => !may(actor, NEEDED[field]) || (LENDS_PERMISSIONS.has(field) && !reaches),
  );
  if (refused.length === 0) return;
  throw new AuthError('forbidden', {
    why: `may not change ${refused.join(', ')}`,
    errors: refused.map((field) => ({ field, code: 'invalid_value' })),
  });
}

/**
 * Whether `actor` may define or delete a role: `permissions` is all that it allows, before and after. What a role means
 * it means for everybody who has it, so nobody below a superuser changes their own, nor one that allows more.
 * @throws forbidden
 */
export function requireMayDefine(
  actor: Standing | undefined,
  name: string,
  permissions: readonly string[],
): void {
  requireActingStaff(actor);
  if (!may(actor, 'roles.write')) throw refuse('needs roles.write');
  if (actor.user.isSuperuser) return;
  if (actor.user.role === name) throw refuse('the own role');
  if (!covers(actor, permissions)) throw refuse('the role allows more');
}

const refuse = (why: string): AuthError => new AuthError('forbidden', { why });
