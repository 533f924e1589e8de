import type { Limit, LimitRule, LimitState } from '../tokens/state-store.js';

/**
 * What stands between a password and those who guess it, beside the plain limits. Implemented by the same two
 * adapters as the token core's store, under the same rules (atomic per slot, harmless late, `store_unavailable`).
 */
export interface LoginStore {
  /**
   * Counts one try to prove a password, before anything is compared: against the address and against the account,
   * one script to each slot in one pipelined trip. A known device spends its own budget: what the address or the
   * account has spent does not touch it. When one slot counted and the other refused, a second trip takes it back.
   */
  countTry(input: CountTry): Promise<TryVerdict>;
  /** Takes back what was counted. */
  uncountTry(counted: CountedTry): Promise<void>;
  /** The password was right: ends the row of wrong ones, and the device's own. `openSession` does it by itself. */
  endRow(input: { account: string; deviceId: string | undefined; now: number }): Promise<void>;
  /** When each known device of an account last logged in (ms), the latest first. */
  listDevices(input: { account: string; now: number }): Promise<number[]>;
}

/** A row of wrong passwords is forgotten so long after the last of them. */
export const ROW_LIFETIME_MS = 86_400_000;
/** A device is forgotten so long after it last logged in. */
export const DEVICE_LIFETIME_MS = 90 * 86_400_000;
/** Of one account. For a new one goes the oldest that never came back, or else the oldest. */
export const DEVICES_KEPT = 16;

export interface CountTry {
  /** As `limitAddress` gives it. */
  address: string;
  addressRules: LimitRule[];
  /** The account's id, or a fingerprint of what was typed when nobody has it. */
  account: string;
  /** The device that the caller's cookie names, if its signature is good and it names this account. */
  deviceId: string | undefined;
  /** What a known device may try; the delay applies to it as to strangers, on a counter of its own. */
  deviceLimit: Limit;
  delay: DelayRule;
  now: number;
}

/**
 * From the wrong password number `after` in a row on, each is followed by a time in which no other is tried: by
 * `stepMs`, then a step more for each further one, up to `maxMs`.
 */
export interface DelayRule {
  after: number;
  stepMs: number;
  maxMs: number;
}

/** Where a try was counted. */
export interface CountedTry {
  /**
   * Not there where the address was not charged. Redis charges it in the same trip that finds out whether the device
   * is known: then this is to be taken back together with whatever is next.
   */
  address?: { address: string; rules: string[] } | undefined;
  /** `deviceId` is set when the device is known: its own row was counted, not the one that strangers share. */
  row?: { account: string; deviceId: string | undefined } | undefined;
  /** When it was counted. */
  now: number;
}

/** `limit` is the device's own if it is known, else the address's. */
export type TryVerdict =
  | { status: 'counted'; counted: CountedTry; limit: LimitState }
  | { status: 'limited'; limit: LimitState }
  /** Refused tries neither count nor extend it. */
  | { status: 'delayed'; limit: LimitState; retryMs: number };
