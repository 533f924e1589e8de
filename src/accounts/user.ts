import { END_REASONS, type EndReason } from '../contract/end-reasons.js';

/**
 * A person's account as the rest of Latchkey knows it: everything that goes into claims and answers, and
 * nothing that could log anybody in. Times are milliseconds since the epoch.
 */
export interface User {
  /** UUIDv7. */
  id: string;
  /** The old system's integer id, or the next in sequence. */
  legacyId: number;
  email: string | null;
  username: string | null;
  /** E.164. */
  phone: string | null;
  firstName: string;
  lastName: string;
  /** Chosen by the user from `USER_TYPES`: never authorise by it. */
  userType: string | null;
  role: string;
  isStaff: boolean;
  isSuperuser: boolean;
  isActive: boolean;
  emailVerified: boolean;
  phoneVerified: boolean;
  dateJoined: number;
  lastLogin: number | null;
  /** Rises by one with every change of the account: of two snapshots the higher is the truth. */
  version: number;
  /** Rises when every older session must die (password, disabling): a session of a lower one is dead. */
  authVersion: number;
  /** Why `authVersion` last rose. */
  authReason: EndReason | null;
}

export { END_REASONS, type EndReason };
