/** Where the pages are, below the base. Links in e-mails lead to `reset` and `verifyEmail`. */
export const PATHS = {
  signIn: '/sign-in',
  register: '/register',
  forgot: '/forgot',
  reset: '/reset',
  verifyEmail: '/verify-email',
  account: '/account',
  users: '/admin/users',
  roles: '/admin/roles',
  events: '/admin/events',
  stats: '/admin/stats',
} as const;

/** Below it stands the id of an account. */
export const USER_PATH = `${PATHS.users}/`;
