import { AuthError } from '../errors.js';
import { type Clock, toSeconds } from '../lib/clock.js';
import { isExpired, readClaims, type SignedPayload, type TokenClaims } from '../tokens/claims.js';
import { createSignatureCheck } from '../tokens/key-ring.js';
import { type Algorithm, isHmac, KeyError, MIN_SECRET_BYTES, readSingleKey } from '../tokens/key-set.js';
import type { StateStore } from '../tokens/state-store.js';
import { asToken, refusal } from '../tokens/verdict.js';
import { createKeyVerifier } from './key-verifier.js';
import { createRemoteKeys } from './remote-keys.js';

export interface TokenVerifierOptions {
  /** The issuer's `JWT_ISSUER`. */
  issuer: string;
  /** The issuer's `JWT_AUDIENCE`; a token for an audience is refused where none is given (RFC 7519 §4.1.3). */
  audience?: string | undefined;
  /** Where the issuer publishes its keys: `https://…/.well-known/jwks.json`; http only on this machine. */
  jwksUrl?: string | undefined;
  /** Instead of `jwksUrl` the issuer's `JWT_SIGNING_KEY`. Whoever can verify by it can also sign. */
  key?: string | undefined;
  /** Of `key`: `HS256` by default. Keys that are published each say their own. */
  algorithm?: Algorithm | undefined;
  /** Seconds of grace on `exp` and `nbf`; 0 by default. */
  leeway?: number | undefined;
  /** The issuer's Redis: then a revoked token is refused at once, for one round trip. */
  redisUrl?: string | undefined;
  /** `redisUrl` names nodes of a cluster, comma-separated. */
  redisCluster?: boolean | undefined;
  /** The issuer's `REDIS_PREFIX`; `latchkey:` by default. */
  redisPrefix?: string | undefined;
  /** Told when the keys could not be fetched or Redis was lost: for the log. */
  onTrouble?: ((error: Error) => void) | undefined;
  now?: Clock | undefined;
}

/** An access token that is good. */
export interface VerifiedToken {
  userId: string;
  sessionId: string;
  jti: string;
  /** Seconds since the epoch. */
  expiresAt: number;
  /** All claims: role, permissions and what a custom hook added. */
  claims: Readonly<Record<string, unknown>>;
}

export interface TokenVerifier {
  /**
   * Says whose access token this is.
   * @throws AuthError: `token_missing` (it is empty), `token_invalid`, `token_expired`, with Redis also
   * `token_revoked`; `store_unavailable` when nobody can tell now: answer 503, never 401
   */
  verify(token: string): Promise<VerifiedToken>;
  /** Ends connections. */
  close(): Promise<void>;
}

/**
 * Checks Latchkey's access tokens in another service.
 * @throws KeyError or TypeError for options that cannot be used
 */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { issuer, audience, leeway = 0, now = Date.now, onTrouble = () => undefined } = options;
  if (!issuer) throw new TypeError('issuer is missing');
  const rules = { issuer, audience, leeway };
  const keys = openKeys(options, now, onTrouble);
  const store = openStore(options, onTrouble);
  // A client that cannot even be made is told of at once, and again to whoever asks.
  store.catch(onTrouble);

  function readAccessToken(signed: SignedPayload): TokenClaims {
    const nowSeconds = toSeconds(now());
    const claims = readClaims(signed, rules, nowSeconds);
    if (claims.tokenType !== 'access') throw new AuthError('token_invalid', { why: 'token_type' });
    if (audience === undefined && claims.payload.aud !== undefined)
      throw new AuthError('token_invalid', { why: 'aud' });
    if (isExpired(claims, rules, nowSeconds)) throw new AuthError('token_expired');
    return claims;
  }

  async function requireStanding(state: StateStore, claims: TokenClaims): Promise<void> {
    const found = await state.checkToken(asToken(claims, now()));
    if (found.status === 'stale') {
      // The account is changing at this moment: SQL decides, and only the issuer has it.
      throw new AuthError('store_unavailable', { retryAfter: 1, why: 'the account is changing' });
    }
    if (found.status !== 'ok') throw refusal(found, 'access');
    if (!found.user.isActive) throw refusal({ status: 'ended', reason: 'account_disabled' }, 'access');
  }

  return {
    async verify(token) {
      if (!token) throw new AuthError('token_missing');
      const claims = readAccessToken(await keys.verifySignature(token));
      const state = await store;
      if (state) await requireStanding(state, claims);
      const { userId, sessionId, jti, expiresAt, payload } = claims;
      return { userId, sessionId, jti, expiresAt, claims: payload };
    },
    async close() {
      keys.close();
      await (await store)?.close();
    },
  };
}

function openKeys(
  { jwksUrl, key, algorithm = 'HS256' }: TokenVerifierOptions,
  now: Clock,
  onTrouble: (error: Error) => void,
) {
  if (jwksUrl !== undefined && key === undefined)
    return createRemoteKeys({ url: readUrl(jwksUrl), now, onTrouble });
  if (jwksUrl !== undefined || key === undefined) throw new TypeError('give jwksUrl or key, one of them');
  if (!isHmac(algorithm)) throw new KeyError(`${algorithm} needs jwksUrl: key is for a shared secret`);
  const least = MIN_SECRET_BYTES[algorithm];
  if (Buffer.byteLength(key) < least) throw new KeyError(`key is shorter than ${least} bytes`);
  const verify = createSignatureCheck([createKeyVerifier(readSingleKey(key, algorithm))]);
  return { verifySignature: async (token: string) => verify(token), close: () => undefined };
}

const LOCAL = new Set(['localhost', '127.0.0.1', '[::1]']);

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOCAL.has(url.hostname));
  if (!url || !isSafe) throw new TypeError('jwksUrl must be an https URL');
  return url;
}

/** Loaded only where it is asked for: whoever checks signatures alone needs no Redis client. */
async function openStore(
  { redisUrl, redisCluster, redisPrefix = 'latchkey:' }: TokenVerifierOptions,
  onTrouble: (error: Error) => void,
): Promise<StateStore | undefined> {
  if (redisUrl === undefined) return undefined;
  const { createRedisStateStore } = await import('../stores/redis/state-store.js');
  return createRedisStateStore({
    url: redisUrl,
    cluster: redisCluster,
    prefix: redisPrefix,
    onState: (state, error) => {
      if (state === 'lost') onTrouble(error ?? new Error('Redis is away'));
    },
  });
}
