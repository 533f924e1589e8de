import type { OtpPurpose } from '../contract/otp.js';
import type { LimitState } from '../tokens/state-store.js';

/** The windows of the budgets. Those of a number and of an address slide: no boundary lets twice the budget through. */
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

/**
 * One-time codes by phone: challenges, and the budgets around them. Implemented beside the token core's store by
 * the same two adapters, under the same rules: every method is atomic per slot, harmless when run twice or late,
 * and throws `store_unavailable` when the store cannot answer. Times are milliseconds since the epoch.
 *
 * Slots: the number's own (sends, challenges, wrong tries), the address's, the country's, and one for all sends.
 * What touches several slots sends one script to each in one pipelined trip.
 */
export interface OtpStore {
  /**
   * Counts one send in every slot, or in none: each slot looks at all its windows before it counts. When some slots
   * counted and another refused, a second trip takes the counts back; if that one fails, the refusal stands all the
   * same, and too much is counted rather than too little.
   */
  countSend(input: CountSend): Promise<SendVerdict>;
  /** Takes back what `countSend` counted: the message was not sent after all. The cool-down goes with it. */
  uncountSend(input: SendCount): Promise<void>;
  /**
   * Puts a challenge up for this number and purpose. It ends the one before, but for one that is newer by `now`:
   * run late it replaces nothing, and brings nothing back that was answered meanwhile.
   */
  openChallenge(input: OpenChallenge): Promise<void>;
  /**
   * Judges a code against the live challenge of this number and purpose. The try is counted before it is compared,
   * against the code's budget and the number's, and given back when it was right; one right answer ends the challenge
   * and the number's cool-down, so of several at once only one is told `right`.
   */
  answerChallenge(input: AnswerChallenge): Promise<AnswerVerdict>;
  /** Notes for the spend guard that a code sent to this country, and from this address, was proved. */
  countVerified(input: { address: string; country: string; now: number }): Promise<void>;
  /** What the spend guard counted today, of these countries and of all sends. */
  readSpend(input: { countries: readonly string[]; now: number }): Promise<SpendReport>;
}

/** A number as the store knows it: a fingerprint, never the digits. */
export interface SendCount {
  /** Makes counting and taking back idempotent where single sends are kept. */
  sendId: string;
  number: string;
  /** As `limitAddress` gives it. */
  address: string;
  /** ISO 3166 alpha-2, or `001` for numbers of no country. */
  country: string;
  /** When it was sent; the same to take it back, so that the counts of a later day stay as they are. */
  now: number;
}

export interface CountSend extends SendCount {
  /**
   * Waits after the first, second, … send since the last proved code, of those in the last 24 hours and for any
   * purpose; the last one repeats. Empty: none.
   */
  coolDownMs: readonly number[];
  /** Sends per number in any hour and any 24 hours, per address in any hour; at least 1, `undefined`: unlimited. */
  perHour: number | undefined;
  perDay: number | undefined;
  perAddressHour: number | undefined;
  guard: SpendRules | undefined;
}

/**
 * When sends look like somebody earning money with our messages. Counted per day, from the day's first send on, and
 * looked at before a send is counted.
 */
export interface SpendRules {
  /** `record`: nothing is refused for it, the verdict only names it. */
  mode: 'record' | 'deny';
  /** Sends of one country, or from one address, before their ratio means anything. */
  minPerCountry: number;
  minPerAddress: number;
  /** Below this share of proved codes (0 to 1) a country or an address is suspicious. */
  minVerifiedRatio: number;
  /** Sends a day in all. */
  dailyCap: number;
}

export type SpendSuspicion = 'country' | 'address' | 'daily_cap';

/**
 * Where several refuse, the first in this order is named: cool-down, number, address, guard. `retryMs` is the longest
 * of their waits. `limit` is the budget of the number or the address with the least left, until its oldest send has
 * left the window; `undefined` where there is none.
 */
export type SendVerdict =
  | {
      status: 'counted';
      /** Until the next send to this number may follow (ms); 0 without cool-down. */
      resendMs: number;
      suspicions: SpendSuspicion[];
      limit: LimitState | undefined;
    }
  /** The cool-down of the number. */
  | { status: 'cooldown'; retryMs: number; limit: LimitState | undefined }
  /** A budget of the number or the address is spent. */
  | { status: 'limited'; by: 'number_hour' | 'number_day' | 'address'; max: number; retryMs: number }
  /** The spend guard refuses, in mode `deny`. */
  | { status: 'denied'; suspicions: SpendSuspicion[]; retryMs: number };

export interface OpenChallenge {
  number: string;
  purpose: OtpPurpose;
  /** Keyed hash of the code; see `hashCode` in `otp-service.ts`. */
  codeHash: string;
  lifetimeMs: number;
  now: number;
}

export interface AnswerChallenge {
  number: string;
  purpose: OtpPurpose;
  /** The hash under each key in force: any of them may have been used for the challenge. */
  codeHashes: readonly string[];
  /** Wrong tries per code, and per number across its codes and purposes in any hour and any 24 hours. */
  maxTries: number;
  maxTriesPerHour: number;
  /**
   * `perDay * maxTries`, or `undefined` where sends are unlimited. The budget of sends alone does not hold guesses to
   * that: a code sent before a day begins can still be guessed at in it.
   */
  maxTriesPerDay: number | undefined;
  now: number;
}

export type AnswerVerdict =
  | { status: 'right' }
  | { status: 'wrong' }
  /** No live challenge: expired, answered, or never there. Nothing is counted, whatever is spent. */
  | { status: 'none' }
  /** The tries are spent, of the code or of the number: until then no answer to this code is even compared. */
  | { status: 'spent'; retryMs: number };

export interface SpendCounts {
  sends: number;
  verified: number;
}

export interface SpendReport {
  countries: ({ country: string } & SpendCounts)[];
  /** Sends today in all. */
  total: number;
}
