/**
 * What Latchkey's own admin routes ask for: a closed list. The application around us may put names of its own into
 * roles and ask for them by `app.authorize()`; they are never of these families, so that a later Latchkey cannot
 * give a meaning to a name that is in use.
 */
export const PERMISSIONS = {
  'users.read': 'List, search and see accounts.',
  'users.write': 'Change the names and the username of an account.',
  'users.email':
    'Change the e-mail address of an account. Whoever reads mail there can have a new password sent to them.',
  'users.disable': 'Disable accounts, which ends their sessions, and enable them again.',
  'users.sessions': 'See the sessions of accounts, and end them.',
  'users.grant': 'Give accounts a role, and make them staff.',
  'roles.read': 'See the roles.',
  'roles.write': 'Define and delete roles.',
  'events.read': 'Read the security events.',
  'stats.read': 'Read the statistics.',
} as const;

export type Permission = keyof typeof PERMISSIONS;

const FAMILIES = new Set(Object.keys(PERMISSIONS).map((name) => name.split('.')[0]));

/** A letter, then letters, digits and `_ . : -`: what stands in a claim and in a URL without any escaping. */
const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/;

/** Whether a role may hold a permission of this name: one of ours, or one of the application's own. */
export const isPermissionName = (name: string): boolean =>
  Object.hasOwn(PERMISSIONS, name) || (NAME.test(name) && !FAMILIES.has(name.split('.')[0]));
