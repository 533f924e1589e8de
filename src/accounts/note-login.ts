import type { EventRecorder } from '../audit/events.js';
import type { AccountStore } from './account-store.js';
import type { User } from './user.js';

/**
 * The user as of a login at `at`. What SQL keeps of it comes with the event of type `login`, within a second: a
 * statement of its own would cost a login more than anything but its hash. Two things cannot wait. Whether anybody has
 * ever been signed in decides whose an unconfirmed account is (see `confirmEmail`), and a hash made anew is at hand
 * only now. And nobody signs in by a database that takes no writes: a standby may not have heard of a new password, and
 * no trace of the login would be left.
 * @throws store_unavailable
 */
export async function noteLogin(
  { accounts, events }: { accounts: AccountStore; events: EventRecorder },
  user: User,
  at: number,
  rehashed?: { from: string; to: string },
): Promise<User> {
  if (events.isBehind()) await events.flush();
  if (user.lastLogin === null || rehashed) await accounts.recordLogin(user.id, at, rehashed);
  return { ...user, lastLogin: at };
}
