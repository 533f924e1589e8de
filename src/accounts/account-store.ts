import type { SecurityEvent } from '../audit/events.js';
import type { Identifier } from './identifiers.js';
import type { EndReason, User } from './user.js';

/** What registration writes. */
export interface NewAccount {
  id: string;
  email: Identifier | null;
  username: Identifier | null;
  phone: string | null;
  /** Its owner has just proved to hold it. */
  phoneVerified?: boolean | undefined;
  /** Registration is the first login, unless something is to be confirmed before. */
  isSignedIn?: boolean;
  passwordHash: string | null;
  firstName: string;
  lastName: string;
  userType: string | null;
  role: string;
  dateJoined: number;
}

/** An account with what could log somebody in. */
export interface StoredAccount {
  user: User;
  passwordHash: string | null;
}

/** A number that its account never proved, proved by whoever holds it. */
export interface PhoneClaim {
  userId: string;
  phone: string;
  profile: Profile;
  at: number;
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
  findByIdentifier(identifier: LoginIdentifier): Promise<StoredAccount | undefined>;
  /** Just enough to know whether a message is worth sending: the same work whether or not there is one. */
  findOwnerOfPhone(phone: string): Promise<Pick<User, 'id' | 'isActive'> | undefined>;
  findPasswordHash(id: string): Promise<string | null | undefined>;
  /** Which of these another account already has. */
  findTaken(account: Pick<NewAccount, 'email' | 'username' | 'phone'>): Promise<UniqueField[]>;
  /** The account and its event, both or neither. `taken` when another was quicker. */
  insert(account: NewAccount, event: SecurityEvent): Promise<{ user: User } | { taken: UniqueField }>;
  /** Notes a login at once, and with it a hash made anew, unless the password has changed meanwhile: see `noteLogin`. */
  recordLogin(id: string, at: number, rehashed?: { from: string; to: string }): Promise<void>;
  updateProfile(id: string, profile: Profile): Promise<{ user: User } | { taken: UniqueField } | undefined>;
  /**
   * Gives an account to whoever proved its number, which was never proved before: the password, the sessions and an
   * e-mail address that was never verified are by somebody who may be anybody, and go. With its event, all or nothing.
   * `undefined` when the account is not like that any more.
   */
  claimByPhone(claim: PhoneClaim, event: SecurityEvent): Promise<User | undefined>;
  /**
   * Changes who may log in; every older session dies with the rise of `authVersion`.
   * @throws forbidden when no active superuser would be left
   */
  setActive(id: string, active: boolean, reason: EndReason): Promise<User | undefined>;
  /** Ends every older session, and every token that has none, by the rise of `authVersion`. */
  endSessions(id: string, reason: EndReason): Promise<User | undefined>;
  /**
   * Deletes the account and the personal fields of its events; an anonymous trace stays.
   * @throws forbidden when no active superuser would be left
   */
  erase(id: string, at: number): Promise<boolean>;
}
