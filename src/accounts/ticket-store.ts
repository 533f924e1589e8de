import type { Identifier } from './identifiers.js';

/**
 * What a link in an e-mail is good for, and of which state of the account it was made: it dies with that. Whoever uses
 * it must ask SQL, in the statement that makes the change, whether the account is still like that.
 */
export type Ticket =
  | {
      kind: 'reset';
      userId: string;
      /** Key of the address it was sent to. */
      emailKey: string;
      authVersion: number;
    }
  | {
      kind: 'verify';
      userId: string;
      emailKey: string;
      authVersion: number;
    }
  | {
      kind: 'email_change';
      userId: string;
      /** The new address, to which it was sent. */
      email: Identifier;
      authVersion: number;
    };

/**
 * Sealed tickets by the hash of their token: whoever reads the store can use none, and learns of nobody's address.
 * Implemented beside the token core's store by the same two adapters, under the same rules (atomic, harmless late,
 * `store_unavailable`).
 */
export interface TicketStore {
  /** Older tickets stay as they are. */
  open(input: { hash: string; sealed: string; lifetimeMs: number; now: number }): Promise<void>;
  /** Looks at it without spending it. */
  find(input: { hash: string; now: number }): Promise<string | undefined>;
  /** Spends it: of all who ask, at once or ever, one is given the ticket. */
  take(input: { hash: string; now: number }): Promise<string | undefined>;
}
