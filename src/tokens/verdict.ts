import { AuthError } from '../errors.js';
import type { TokenClaims } from './claims.js';
import type { CheckToken, Limit, Refusal } from './state-store.js';

/** A token as the state store is asked about it. */
export const asToken = (claims: TokenClaims, now: number, limit?: Limit): CheckToken => ({
  userId: claims.userId,
  sessionId: claims.sessionId,
  jti: claims.jti,
  issuedAtSeconds: claims.issuedAt,
  type: claims.tokenType,
  limit,
  now,
});

/** What the store found, in the contract's words: the holder of an ended session's refresh token learns why. */
export function refusal(found: Refusal, type: 'access' | 'refresh'): AuthError {
  switch (found.status) {
    case 'limited':
      return new AuthError('rate_limited', { limit: found.limit });
    case 'ended':
      return type === 'refresh'
        ? new AuthError('session_ended', { reason: found.reason, finding: found.reason })
        : new AuthError('token_revoked', { finding: found.reason });
    case 'gone':
      return type === 'refresh'
        ? new AuthError('session_ended', { reason: 'unknown' })
        : new AuthError('token_revoked', { why: 'no such session' });
    default:
      return new AuthError('token_revoked');
  }
}
