import type { User } from '../accounts/user.js';

/** A token of an old system that is refused before its time. */
export interface RevokedToken {
  /** The old system's number of the user, as the token names it. */
  legacyId: number;
  jti: string;
  /** The token's own expiry (ms): until then this is kept. */
  expiresAt: number;
}

/** What SQL knows of tokens that have no session. Every method throws `store_unavailable` when SQL is away. */
export interface LegacyTokenStore {
  /** Whose token it is, and whether it was revoked or spent; in one statement. `undefined`: nobody's. */
  find(
    token: Pick<RevokedToken, 'legacyId' | 'jti'>,
  ): Promise<{ user: User; isRevoked: boolean } | undefined>;
  /** Revokes them for good; one that was revoked before stays so. */
  revoke(tokens: readonly RevokedToken[]): Promise<void>;
  /** What is stored about the tokens of a user. */
  listRevoked(legacyId: number): Promise<RevokedToken[]>;
}
