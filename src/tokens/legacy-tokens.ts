import type { EndReason } from '../accounts/user.js';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { toSeconds } from '../lib/clock.js';
import type { SignedPayload } from './claims.js';
import { type LegacyClaims, type LegacyRules, readLegacyClaims } from './legacy-claims.js';
import type { LegacyTokenStore } from './legacy-store.js';
import type { Client } from './session-service.js';
import type { StateStore } from './state-store.js';
import { refusal } from './verdict.js';

export interface LegacyTokensNeeds {
  rules: LegacyRules;
  store: LegacyTokenStore;
  state: StateStore;
  /** Seconds that a session lives at most. */
  sessionMaxLifetime: number;
  now: Clock;
}

export type LegacyTokens = ReturnType<typeof createLegacyTokens>;

/**
 * That of an account which nobody has changed since it was imported or made in a way that ends sessions: the version
 * that old tokens were issued under, as far as can be known. Whatever raises it ends all of a user's old tokens.
 */
export const LEGACY_AUTH_VERSION = 1;

/** Users whose number is known without asking SQL: some 2 MB. */
const MAX_KNOWN_USERS = 16_384;
/** How often a token may find the state store emptied under its hands. */
const MAX_TURNS = 3;

/**
 * Tokens that an old system signed. Each is a session of its own: the state store learns of it from SQL when it is first
 * seen, and again whenever the store has forgotten it. From then on it is checked, rotated, limited and ended like any
 * other. What must survive the state store is in SQL: that the token was revoked or spent, and the version of the
 * account.
 */
export function createLegacyTokens({ rules, store, state, sessionMaxLifetime, now }: LegacyTokensNeeds) {
  const known = new Map<number, string>();

  const read = (signed: SignedPayload): LegacyClaims => readLegacyClaims(signed, rules, toSeconds(now()));

  /** Says whose token it is. A number belongs to one account for ever. `undefined`: to none. */
  async function identify(claims: LegacyClaims): Promise<LegacyClaims | undefined> {
    let userId = known.get(claims.legacyId);
    if (userId === undefined) {
      userId = (await store.find(claims))?.user.id;
      if (userId === undefined) return undefined;
      const [oldest] = known.size < MAX_KNOWN_USERS ? [] : known.keys();
      if (oldest !== undefined) known.delete(oldest);
      known.set(claims.legacyId, userId);
    }
    return { ...claims, userId };
  }

  /**
   * Tells the state store of a token that it does not know. One that was revoked or spent stays unknown, unless another
   * request has spent it a moment ago: then the store knows of it now, and has the successor.
   * @throws token_revoked, session_ended when the account is gone; store_unavailable
   */
  async function adopt(claims: LegacyClaims, client?: Client): Promise<void> {
    const time = now();
    const token = {
      ...{ userId: claims.userId, sessionId: claims.sessionId, jti: claims.jti },
      issuedAtSeconds: claims.issuedAt,
      expiresAt: (claims.expiresAt + rules.leeway) * 1000,
      endsAtSeconds: toSeconds(time) + sessionMaxLifetime,
      authVersion: LEGACY_AUTH_VERSION,
      ip: client?.ip ?? '',
      userAgent: client?.userAgent ?? '',
      now: time,
    };
    let generation = await state.adoptToken(token);
    for (let turn = 0; turn < MAX_TURNS && generation !== undefined; turn++) {
      const found = await store.find(claims);
      if (found?.user.id !== claims.userId) {
        known.delete(claims.legacyId);
        throw refusal({ status: 'ended', reason: 'account_deleted' }, claims.tokenType);
      }
      if (found.isRevoked) return;
      generation = await state.adoptToken({ ...token, vouched: { user: found.user, generation } });
    }
    if (generation === undefined) return;
    throw new AuthError('store_unavailable', { retryAfter: 1, why: 'the state store keeps changing' });
  }

  /** In SQL, for as long as the token says of itself that it lives. */
  async function keepRefused({ legacyId, jti, payload }: LegacyClaims): Promise<void> {
    const expiresAt = (Number(payload.exp) + rules.leeway) * 1000;
    if (expiresAt > now()) await store.revoke([{ legacyId, jti, expiresAt }]);
  }

  /** Ends it, and the session that it was traded for. `true` when it was good until now. */
  async function end(claims: LegacyClaims, reason: EndReason): Promise<boolean> {
    await keepRefused(claims);
    const { userId, sessionId, expiresAt } = claims;
    const lifeMs = (expiresAt + rules.leeway) * 1000 - now();
    const buryForMs = lifeMs > 0 ? lifeMs : undefined;
    return state.endSession({ userId, sessionId, reason, buryForMs });
  }

  return { read, identify, adopt, spend: keepRefused, end };
}
