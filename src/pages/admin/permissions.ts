import type { User } from '../../client/auth-client.js';

/** What Latchkey itself asks for; a role may hold names of the application besides. */
export const OWN_PERMISSIONS = [
  'users.read',
  'users.write',
  'users.email',
  'users.disable',
  'users.sessions',
  'users.grant',
  'roles.read',
  'roles.write',
  'events.read',
  'stats.read',
] as const;

export type OwnPermission = (typeof OWN_PERMISSIONS)[number];

/** Only for what is shown: whether it is done the server decides. */
export const may = (user: User, permission: OwnPermission): boolean =>
  user.is_superuser || user.permissions.includes(permission);
