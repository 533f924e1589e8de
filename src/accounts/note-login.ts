import type { AccountStore } from './account-store.js';
import type { User } from './user.js';

/**
 * The user as of a login at `at`. What SQL keeps of it comes with the event of type `login`, within a second: a
 * statement of its own would cost a login more than anything but its hash. Two things cannot wait. Whether anybody has
 * ever been signed in decides whose an unconfirmed account is (see `confirmEmail`), and a hash made anew is at hand
 * only now.
 */
export async function noteLogin(
  accounts: AccountStore,
  user: User,
  at: number,
  rehashed?: { from: string; to: string },
): Promise<User> {
  if (user.lastLogin === null || rehashed) await accounts.recordLogin(user.id, at, rehashed);
  return { ...user, lastLogin: at };
}
