import type { SecurityEvent } from '../audit/events.js';
import type { Identifier } from './identifiers.js';
import type { User } from './user.js';

/** The account as whoever asked for a change knew it; one that has changed since is left alone. */
interface Known {
  userId: string;
  authVersion: number;
}

/**
 * Changes of what an account is reached by and opened with. Each is one statement that asks whether the account is still
 * what the change was asked for, and active, together with its event: both or neither. `undefined`: it is not.
 *
 * Every method throws `store_unavailable` when SQL is away.
 */
export interface CredentialStore {
  /** Every older session dies. */
  changePassword(change: Known & { passwordHash: string }, event: SecurityEvent): Promise<User | undefined>;
  /**
   * By somebody who reads the mail of this address, which is proved by that; every older session dies. If it never was
   * proved before, a number that was not either goes: anybody may have entered it.
   */
  resetByEmail(
    reset: Known & { emailKey: string; passwordHash: string },
    event: SecurityEvent,
  ): Promise<User | undefined>;
  /** The same by somebody who holds this number. */
  resetByPhone(
    reset: Known & { phone: string; passwordHash: string },
    event: SecurityEvent,
  ): Promise<User | undefined>;
  /**
   * Notes that somebody reads the mail of this address. `claim`: who that is has shown no other tie to the account, so
   * its password, its sessions and a number that was never proved go.
   */
  verifyEmail(
    proof: Known & { emailKey: string; claim: boolean },
    event: SecurityEvent,
  ): Promise<User | undefined>;
  changeEmail(
    change: Known & { email: Identifier },
    event: SecurityEvent,
  ): Promise<{ user: User } | { taken: 'email' } | undefined>;
  /** Sets the number, which somebody signed in has just proved to hold. */
  changePhone(
    change: Known & { phone: string },
    event: SecurityEvent,
  ): Promise<{ user: User } | { taken: 'phone' } | undefined>;
}
