import { createHmac } from 'node:crypto';
import { AuthError } from '../errors.js';
import { isTokenId } from '../lib/ids.js';
import {
  type ClaimRules,
  hasAudience,
  isAhead,
  isBegun,
  isNumericDate,
  type SignedPayload,
  type TokenClaims,
} from './claims.js';

/** The header's `typ` of what SimpleJWT signs; it tells such a token from ours where both are signed by one key. */
export const LEGACY_HEADER_TYPE = 'JWT';

export interface LegacyRules extends Pick<ClaimRules, 'audience' | 'leeway'> {
  /** From then on none is taken, whatever its `exp` (seconds since the epoch). */
  until: number | undefined;
  /** What verifies them, as a secret to name sessions by. */
  key: string | Buffer;
}

/** One of them. Who the user is says SQL, not the token. */
export type LegacyClaims = TokenClaims & { legacyId: number };

/**
 * Turns a verified payload of SimpleJWT's into claims, or throws `token_invalid`. It has no `sid` and may lack `iss`,
 * `aud`, `sub` and `iat`. Its `iss` is whatever that system was called, and its key says who signed; but a token for
 * somebody else's `aud` is none for us.
 *
 * Its session is named after its `jti`, so that every process comes to the same; and by a key, so that nobody who sees
 * the name of a session could tell of which token.
 */
export function readLegacyClaims(
  { header, payload }: SignedPayload,
  rules: LegacyRules,
  nowSeconds: number,
): LegacyClaims {
  const refuse = (why: string): never => {
    throw new AuthError('token_invalid', { why });
  };
  const { token_type: tokenType, user_id, jti, exp, iat = 0, nbf, aud } = payload;
  if (tokenType !== 'access' && tokenType !== 'refresh') return refuse('token_type');
  if ('crit' in header || 'b64' in header) return refuse('crit');
  if (aud !== undefined && rules.audience !== undefined && !hasAudience(aud, rules.audience))
    return refuse('aud');
  const legacyId = readLegacyId(user_id);
  if (legacyId === undefined) return refuse('user_id');
  if (payload.sid !== undefined) return refuse('sid');
  if (!isTokenId(jti)) return refuse('jti');
  if (iat !== 0 && (!isNumericDate(iat) || isAhead(iat, rules, nowSeconds))) return refuse('iat');
  if (!isNumericDate(exp) || exp <= iat) return refuse('exp');
  if (!isBegun(nbf, rules, nowSeconds)) return refuse('nbf');
  return {
    tokenType,
    userId: '',
    legacyId,
    sessionId: createHmac('sha256', rules.key).update(`session ${jti}`).digest('hex').slice(0, 32),
    jti,
    issuedAt: iat,
    expiresAt: rules.until === undefined ? exp : Math.min(exp, rules.until),
    payload,
  };
}

/** SimpleJWT writes the number of a user as it is, or as text. */
function readLegacyId(userId: unknown): number | undefined {
  const isNumeral = typeof userId === 'string' && /^[1-9]\d{0,15}$/.test(userId);
  const id = isNumeral ? Number(userId) : userId;
  return Number.isSafeInteger(id) && (id as number) > 0 ? (id as number) : undefined;
}
