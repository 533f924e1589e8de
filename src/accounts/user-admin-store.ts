import type { SecurityEvent } from '../audit/events.js';
import type { NewAccount, UniqueField } from './account-store.js';
import type { Standing } from './authority.js';
import type { Identifier } from './identifiers.js';

/** Which accounts, the newest first. */
export interface UserQuery {
  text?: SearchText | undefined;
  isActive?: boolean | undefined;
  isStaff?: boolean | undefined;
  isSuperuser?: boolean | undefined;
  role?: string | undefined;
  /** The `legacyId` of the last one on the page before. */
  before?: number | undefined;
  limit: number;
}

/** What was typed, in the spelling of each column: the beginning of any of them is found. */
export interface SearchText {
  email: string;
  username: string;
  /** In lower case; of the first name (and the last one after it) or of the last name. */
  name: string;
  /** `undefined` when nobody's number begins like that. */
  phone: string | undefined;
}

/** What staff change of an account; what is left out stays. */
export interface UserChange {
  firstName?: string | undefined;
  lastName?: string | undefined;
  username?: Identifier | undefined;
  /** Another one than before is not verified, and kills every older session and ticket. */
  email?: Identifier | undefined;
  /** `false` kills every older session, if the account was active. */
  isActive?: boolean | undefined;
  role?: string | undefined;
  isStaff?: boolean | undefined;
  isSuperuser?: boolean | undefined;
}

/** How things stand in SQL at the moment of a change. */
export interface ChangeMoment {
  target: Standing;
  /** Whoever asks; `undefined` when that account is gone, and when nobody's account asks but an operator. */
  actor: Standing | undefined;
  /** What the role that is to be given allows. */
  newPermissions: readonly string[] | undefined;
}

/** What an account was and what it has become. */
export interface UserChanged {
  before: Standing;
  after: Standing;
}

/** An account that an operator makes: its owner is known, and its address is believed. */
export interface OperatorAccount extends NewAccount {
  isStaff: boolean;
  isSuperuser: boolean;
}

/** Accounts in SQL, as those see them who administer them. Every method throws `store_unavailable` when SQL is away. */
export interface UserAdminStore {
  find(id: string): Promise<Standing | undefined>;
  search(query: UserQuery): Promise<Standing[]>;
  /**
   * Changes an account in one transaction, in which nobody else changes it, and stores what `tell` makes of it: all or
   * nothing. `judge` is told how things stand, and throws to refuse.
   * @throws what `judge` throws; invalid_request when there is no such role; forbidden when no active superuser would
   *   be left
   */
  change(
    input: { userId: string; actorId: string | undefined; change: UserChange },
    judge: (moment: ChangeMoment) => void,
    tell: (changed: UserChanged) => readonly SecurityEvent[],
  ): Promise<UserChanged | { taken: UniqueField } | undefined>;
  /** The account and its events, all or nothing. @throws invalid_request when there is no such role */
  insert(
    account: OperatorAccount,
    events: readonly SecurityEvent[],
  ): Promise<{ standing: Standing } | { taken: UniqueField }>;
}
