import type { SecurityEvent } from '../audit/events.js';
import type { Identifier } from './identifiers.js';
import type { EndReason, User } from './user.js';

/** What registration writes. */
export interface NewAccount {
  id: string;
  email: Identifier | null;
  username: Identifier | null;
  phone: string | null;
  passwordHash: string | null;
  firstName: string;
  lastName: string;
  userType: string | null;
  role: string;
  dateJoined: number;
}

/** By what a person says who they are. */
export interface LoginIdentifier {
  kind: 'email' | 'username' | 'phone';
  key: string;
}

export interface Profile {
  firstName?: string;
  lastName?: string;
  username?: Identifier;
  userType?: string;
}

export type UniqueField = 'email' | 'username' | 'phone';

/** Accounts in SQL. Every method throws `store_unavailable` when SQL is away. */
export interface AccountStore {
  findById(id: string): Promise<User | undefined>;
  /** The account and its password hash, in one statement. */
  findByIdentifier(
    identifier: LoginIdentifier,
  ): Promise<{ user: User; passwordHash: string | null } | undefined>;
  findPasswordHash(id: string): Promise<string | null | undefined>;
  /** Which of these another account already has. */
  findTaken(account: Pick<NewAccount, 'email' | 'username' | 'phone'>): Promise<UniqueField[]>;
  /** The account and its event, both or neither. `taken` when another was quicker. */
  insert(account: NewAccount, event: SecurityEvent): Promise<{ user: User } | { taken: UniqueField }>;
  /** Notes a login, and with it a hash made anew, unless the password has changed meanwhile. */
  recordLogin(id: string, at: number, rehashed?: { from: string; to: string }): Promise<void>;
  updateProfile(id: string, profile: Profile): Promise<{ user: User } | { taken: UniqueField } | undefined>;
  /** Changes who may log in; every older session dies with the rise of `authVersion`. */
  setActive(id: string, active: boolean, reason: EndReason): Promise<User | undefined>;
  /** Deletes the account and the personal fields of its events; an anonymous trace stays. */
  erase(id: string, at: number): Promise<boolean>;
}
