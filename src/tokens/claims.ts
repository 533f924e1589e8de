import type { User } from '../accounts/user.js';
import { AuthError } from '../errors.js';
import { isTokenId } from '../lib/ids.js';

export type TokenType = 'access' | 'refresh';

/** The `typ` header of each kind: RFC 9068 §2.1 for access tokens, and its like for refresh tokens. */
export const HEADER_TYPE = { access: 'at+jwt', refresh: 'rt+jwt' } as const satisfies Record<
  TokenType,
  string
>;

/** What Latchkey reads out of a token it has verified. Times are seconds (NumericDate). */
export interface TokenClaims {
  tokenType: TokenType;
  userId: string;
  /** Only of a token that an old system signed: its number of the user. */
  legacyId?: number;
  sessionId: string;
  jti: string;
  issuedAt: number;
  expiresAt: number;
  /** Everything the token carried, custom claims included. */
  payload: Readonly<Record<string, unknown>>;
}

/** A JWS whose signature is good; nothing else about it has been looked at. */
export interface SignedPayload {
  header: Readonly<Record<string, unknown>>;
  payload: Readonly<Record<string, unknown>>;
  /** By the old system's key: never a token of ours, whatever it says. */
  isLegacy?: boolean;
}

/** Signing and verifying, as the token core needs them. `plugins/jwt.ts` implements it. */
export interface TokenCodec {
  sign(type: TokenType, payload: Record<string, unknown>): string;
  /** Checks form, algorithm and signature only. Throws `token_invalid`. */
  verifySignature(token: string): SignedPayload;
}

export interface ClaimRules {
  issuer: string;
  audience: string | undefined;
  /** Which id goes into `user_id`: the account's own or the one of the old system. */
  userIdClaim: 'id' | 'legacy_id';
  /** Seconds of grace on `exp`. */
  leeway: number;
}

/** Clocks of the processes that issue tokens may differ by this much. */
const MAX_CLOCK_SKEW_SECONDS = 10;

/** What an access token says about its user. */
const ACCOUNT_CLAIMS = new Set([
  ...['email', 'phone', 'username', 'first_name', 'last_name', 'user_type', 'role', 'permissions'],
  ...['is_staff', 'is_superuser'],
]);

/** Claims that a custom claims hook can never set, also where this user has none of them. */
const RESERVED = new Set([
  ...['iss', 'aud', 'sub', 'user_id', 'jti', 'iat', 'exp', 'nbf', 'token_type', 'sid'],
  ...ACCOUNT_CLAIMS,
]);

export interface Issue {
  user: User;
  sessionId: string;
  jti: string;
  issuedAt: number;
  expiresAt: number;
}

function registeredClaims(type: TokenType, issue: Issue, rules: ClaimRules): Record<string, unknown> {
  const { user } = issue;
  const claims: Record<string, unknown> = {
    iss: rules.issuer,
    sub: user.id,
    user_id: rules.userIdClaim === 'legacy_id' ? user.legacyId : user.id,
    jti: issue.jti,
    iat: issue.issuedAt,
    exp: issue.expiresAt,
    token_type: type,
    sid: issue.sessionId,
  };
  if (rules.audience !== undefined) claims.aud = rules.audience;
  return claims;
}

export const buildRefreshClaims = (issue: Issue, rules: ClaimRules): Record<string, unknown> =>
  registeredClaims('refresh', issue, rules);

/** The access token's claims, made anew from the account each time; null values are left out. */
export function buildAccessClaims(
  issue: Issue,
  rules: ClaimRules,
  permissions: readonly string[],
  custom: Readonly<Record<string, unknown>> | undefined,
): Record<string, unknown> {
  const claims = addAccountClaims(registeredClaims('access', issue, rules), issue.user, permissions);
  if (custom) {
    for (const [name, value] of Object.entries(custom)) if (!RESERVED.has(name)) claims[name] = value;
  }
  return claims;
}

/** An access token's claims with what they say about the user as it is now. */
export function renewAccountClaims(
  payload: Readonly<Record<string, unknown>>,
  user: User,
  permissions: readonly string[],
): Record<string, unknown> {
  const others = Object.entries(payload).filter(([name]) => !ACCOUNT_CLAIMS.has(name));
  return addAccountClaims(Object.fromEntries(others), user, permissions);
}

function addAccountClaims(
  claims: Record<string, unknown>,
  user: User,
  permissions: readonly string[],
): Record<string, unknown> {
  if (user.email !== null) claims.email = user.email;
  if (user.phone !== null) claims.phone = user.phone;
  if (user.username !== null) claims.username = user.username;
  if (user.userType !== null) claims.user_type = user.userType;
  claims.first_name = user.firstName;
  claims.last_name = user.lastName;
  claims.role = user.role;
  claims.permissions = permissions;
  claims.is_staff = user.isStaff;
  claims.is_superuser = user.isSuperuser;
  return claims;
}

/**
 * Turns a verified payload into claims, or throws `token_invalid`. Nothing is taken on trust because the
 * signature was good: every claim must be there, of its type and of our making, and `typ` must agree with
 * `token_type` (RFC 8725 §3.11). Expiry is left to the caller: logout takes expired tokens.
 */
export function readClaims(
  { header, payload }: SignedPayload,
  rules: Omit<ClaimRules, 'userIdClaim'>,
  nowSeconds: number,
): TokenClaims {
  const refuse = (why: string): never => {
    throw new AuthError('token_invalid', { why });
  };
  const type = payload.token_type;
  if (type !== 'access' && type !== 'refresh') return refuse('token_type');
  if (header.typ !== HEADER_TYPE[type]) return refuse('typ');
  // RFC 7515 §4.1.11: we understand no extension. RFC 7797 §7: no JWT has a payload that is not base64url.
  if ('crit' in header || 'b64' in header) return refuse('crit');
  if (payload.iss !== rules.issuer) return refuse('iss');
  if (rules.audience !== undefined && !hasAudience(payload.aud, rules.audience)) return refuse('aud');
  const { sub, sid, jti, iat, exp, nbf, user_id } = payload;
  if (typeof sub !== 'string' || sub === '' || sub.length > 64) return refuse('sub');
  if (user_id !== sub && !Number.isSafeInteger(user_id)) return refuse('user_id');
  if (!isTokenId(sid)) return refuse('sid');
  if (!isTokenId(jti)) return refuse('jti');
  if (!isNumericDate(iat) || isAhead(iat, rules, nowSeconds)) return refuse('iat');
  if (!isNumericDate(exp) || exp <= iat) return refuse('exp');
  if (!isBegun(nbf, rules, nowSeconds)) return refuse('nbf');
  return { tokenType: type, userId: sub, sessionId: sid, jti, issuedAt: iat, expiresAt: exp, payload };
}

/** RFC 7519 §4.1.4: on or after `exp` a token is not taken. */
export const isExpired = ({ expiresAt }: TokenClaims, { leeway }: Leeway, nowSeconds: number): boolean =>
  expiresAt + leeway <= nowSeconds;

type Leeway = Pick<ClaimRules, 'leeway'>;

/** Issued by a clock that is further ahead than clocks may be. */
export const isAhead = (iat: number, { leeway }: Leeway, nowSeconds: number): boolean =>
  iat > nowSeconds + leeway + MAX_CLOCK_SKEW_SECONDS;

/** RFC 7519 §4.1.5: before `nbf` a token is not taken. */
export const isBegun = (nbf: unknown, { leeway }: Leeway, nowSeconds: number): boolean =>
  nbf === undefined || (isNumericDate(nbf) && nbf <= nowSeconds + leeway);

export const hasAudience = (aud: unknown, wanted: string): boolean =>
  Array.isArray(aud) ? aud.includes(wanted) : aud === wanted;

/** Whole seconds within what a Date can hold. */
export const isNumericDate = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) < 8.64e12;
