import type { Limit } from './state-store.js';

/** What the operator decides about tokens. Lifetimes are seconds. */
export interface TokenPolicy {
  accessLifetime: number;
  refreshLifetime: number;
  /** However often it is refreshed, a session ends after this. */
  sessionMaxLifetime: number;
  /** Refreshes per session. */
  refreshLimit: Limit | undefined;
  /** Requests per user. */
  userLimit: Limit | undefined;
}
