import type { EndReason, User } from '../accounts/user.js';
import type { EventRecorder } from '../audit/events.js';
import { AuthError } from '../errors.js';
import { type Clock, toSeconds } from '../lib/clock.js';
import { describeDevice } from '../lib/device.js';
import { newTokenId } from '../lib/ids.js';
import {
  buildAccessClaims,
  buildRefreshClaims,
  type ClaimRules,
  type Issue,
  isExpired,
  readClaims,
  renewAccountClaims,
  type TokenClaims,
  type TokenCodec,
} from './claims.js';
import type { LegacyClaims } from './legacy-claims.js';
import type { LegacyTokens } from './legacy-tokens.js';
import type { TokenPolicy } from './policy.js';
import type { Limit, LimitState, Rotate, RotateResult, Stale, StateStore } from './state-store.js';
import { asToken, refusal } from './verdict.js';

/** Who is asking: where from and with what. */
export interface Client {
  ip: string;
  userAgent: string;
  /** What its device cookie says; nothing is believed of it unless its signature is good. */
  deviceCookie?: string | undefined;
}

/** What a login, a registration and a refresh hand out. Lifetimes are the seconds left. */
export interface TokenPair {
  access: string;
  refresh: string;
  expiresIn: number;
  refreshExpiresIn: number;
  /** When the access token expires, in seconds since the epoch. */
  accessExpiresAt: number;
}

/** A caller who has been recognised. */
export interface Authenticated {
  user: User;
  permissions: readonly string[];
  claims: TokenClaims;
  /** The user's request budget after this request. */
  limit: LimitState | undefined;
}

export interface Session {
  id: string;
  current: boolean;
  createdAt: number;
  lastUsedAt: number;
  expiresAt: number;
  ip: string;
  userAgent: string;
  device: string;
}

export interface SessionServiceNeeds {
  store: StateStore;
  codec: TokenCodec;
  rules: ClaimRules;
  policy: TokenPolicy;
  events: EventRecorder;
  now: Clock;
  /** Reads the account from SQL; asked only when its snapshot is fenced or missing. */
  findUser(id: string): Promise<User | undefined>;
  /** What the user's role allows; cached, so it costs no SQL. */
  permissionsOf(user: User): readonly string[] | Promise<readonly string[]>;
  /** Tokens that an old system signed, where they are taken. */
  legacy?: LegacyTokens | undefined;
  /**
   * Ends every session of a user by a change of the account, which reaches tokens that the state store knows nothing of.
   * Set where such tokens are taken.
   */
  endByAccount?: ((userId: string, reason: EndReason) => Promise<void>) | undefined;
  /** Adds claims to access tokens; cannot overwrite registered ones. */
  customClaims?: ((user: User) => Promise<Record<string, unknown>>) | undefined;
}

export type SessionService = ReturnType<typeof createSessionService>;

/** Of a time in seconds. */
const toDay = (seconds: number): number => Math.floor(seconds / 86_400);

/** How often a refresh may find the account changed under its hands before it gives up. */
const MAX_STALE_TURNS = 3;

/**
 * Sessions and their tokens: opening, checking, rotating, ending. All verdicts are the state store's; this
 * service signs, verifies and says in the contract's codes what the store found.
 */
export function createSessionService(needs: SessionServiceNeeds) {
  const { store, codec, rules, policy, events, legacy, now } = needs;

  /** Opens a session and signs its first pair. The device is known to the account from now on. */
  async function open(
    user: User,
    client: Client,
    deviceId?: string,
  ): Promise<{ pair: TokenPair; sessionId: string }> {
    const { sign, sessionId } = await prepare(user, client, deviceId, user);
    return { pair: await sign(user), sessionId };
  }

  /**
   * Opens a session whose pair is signed later: for an account that is not committed yet, and of which the
   * store therefore gets no snapshot.
   */
  async function prepare(
    { id: userId, authVersion }: Pick<User, 'id' | 'authVersion'>,
    client: Client,
    deviceId?: string,
    snapshot?: User,
  ): Promise<{ sessionId: string; generation: string; sign(user: User): Promise<TokenPair> }> {
    const time = now();
    const issuedAt = toSeconds(time);
    const endsAt = issuedAt + policy.sessionMaxLifetime;
    const sessionId = newTokenId();
    const jti = newTokenId();
    const expiresAt = Math.min(issuedAt + policy.refreshLifetime, endsAt);
    const { generation } = await store.openSession({
      userId,
      authVersion,
      sessionId,
      jti,
      issuedAtSeconds: issuedAt,
      expiresAtSeconds: expiresAt,
      endsAtSeconds: endsAt,
      ip: client.ip,
      userAgent: client.userAgent,
      deviceId,
      user: snapshot,
      now: time,
    });
    return {
      sessionId,
      generation,
      sign: (user) => signPair({ user, sessionId, jti, issuedAt, expiresAt }, issuedAt),
    };
  }

  /**
   * Signs the refresh token of `issue`, and a fresh access token that shares the first digits of its jti: by
   * them the store knows, when it is used, that this very pair arrived.
   */
  async function signPair(issue: Issue, nowSeconds: number): Promise<TokenPair> {
    const permissions = await needs.permissionsOf(issue.user);
    const custom = await needs.customClaims?.(issue.user);
    const accessExpiresAt = Math.min(nowSeconds + policy.accessLifetime, issue.expiresAt);
    const access: Issue = {
      user: issue.user,
      sessionId: issue.sessionId,
      jti: issue.jti.slice(0, 12) + newTokenId().slice(12),
      issuedAt: nowSeconds,
      expiresAt: accessExpiresAt,
    };
    return {
      access: codec.sign('access', buildAccessClaims(access, rules, permissions, custom)),
      refresh: codec.sign('refresh', buildRefreshClaims(issue, rules)),
      expiresIn: accessExpiresAt - nowSeconds,
      refreshExpiresIn: issue.expiresAt - nowSeconds,
      accessExpiresAt,
    };
  }

  /** Signature and claims; expiry unless `allowExpired`. Throws `token_invalid` or `token_expired`. */
  function readToken(token: string, { allowExpired = false } = {}): TokenClaims {
    const nowSeconds = toSeconds(now());
    const signed = codec.verifySignature(token);
    const claims = signed.isLegacy && legacy ? legacy.read(signed) : readClaims(signed, rules, nowSeconds);
    if (!allowExpired && isExpired(claims, rules, nowSeconds)) throw new AuthError('token_expired');
    return claims;
  }

  function readTokenOf(
    type: 'access' | 'refresh',
    token: string,
    options?: { allowExpired?: boolean },
  ): TokenClaims {
    const claims = readToken(token, options);
    if (claims.tokenType !== type) throw new AuthError('token_invalid', { finding: 'wrong_type' });
    return claims;
  }

  /** @throws token_revoked, session_ended when it is an old token of nobody's, store_unavailable */
  function identify(claims: TokenClaims): TokenClaims | Promise<TokenClaims> {
    return isLegacy(claims) ? identifyLegacy(claims) : claims;
  }

  async function identifyLegacy(claims: LegacyClaims): Promise<TokenClaims> {
    const identified = await legacy?.identify(claims);
    if (!identified) throw refusal({ status: 'ended', reason: 'account_deleted' }, claims.tokenType);
    return identified;
  }

  /** Asks the state store about a token; of an old one that it does not know yet it is told first. */
  function ask<Found extends { status: string }>(
    claims: TokenClaims,
    question: () => Promise<Found>,
    client?: Client,
  ): Promise<Found> {
    return isLegacy(claims) ? askOfLegacy(claims, question, client) : question();
  }

  async function askOfLegacy<Found extends { status: string }>(
    claims: LegacyClaims,
    question: () => Promise<Found>,
    client: Client | undefined,
  ): Promise<Found> {
    const found = await question();
    if (found.status !== 'gone') return found;
    await legacy?.adopt(claims, client);
    return question();
  }

  /**
   * Recognises the bearer of an access token: one round trip, and no SQL unless the account just changed.
   * @throws token_invalid, token_expired, token_revoked, rate_limited, store_unavailable
   */
  async function authenticate(token: string): Promise<Authenticated> {
    const claims = await identify(readTokenOf('access', token));
    const { user, limit } = await check(claims, policy.userLimit);
    return { user, permissions: await needs.permissionsOf(user), claims, limit };
  }

  async function check(
    claims: TokenClaims,
    limit: Limit | undefined,
  ): Promise<{ user: User; limit: LimitState | undefined }> {
    const found = await ask(claims, () => store.checkToken(asToken(claims, now(), limit)));
    const type = claims.tokenType;
    if (found.status === 'ok') return { user: requireActive(found.user, type), limit: found.limit };
    if (found.status !== 'stale') throw refusal(found, type);
    return { user: await vouch(found, claims), limit: found.limit };
  }

  /** Decides by SQL what a fenced or missing snapshot could not, and puts the snapshot back if it may. */
  async function vouch(stale: Stale, claims: TokenClaims): Promise<User> {
    const user = await needs.findUser(claims.userId);
    if (!user) throw refusal({ status: 'ended', reason: 'account_deleted' }, claims.tokenType);
    if (user.authVersion !== stale.authVersion) {
      throw refusal({ status: 'ended', reason: user.authReason ?? 'unknown' }, claims.tokenType);
    }
    requireActive(user, claims.tokenType);
    await store.cacheUser({ user, generation: stale.generation, now: now() });
    return user;
  }

  function requireActive(user: User, type: 'access' | 'refresh'): User {
    if (!user.isActive) throw refusal({ status: 'ended', reason: 'account_disabled' }, type);
    return user;
  }

  /**
   * Trades a refresh token for its successor. However many ask with one token, one successor exists.
   * @throws token_invalid, token_expired, token_revoked, token_reused, session_ended, rate_limited, store_unavailable
   */
  async function refresh(
    token: string,
    client: Client,
  ): Promise<{ pair: TokenPair; limit: LimitState | undefined }> {
    const claims = await identify(readTokenOf('refresh', token));
    const time = now();
    const nowSeconds = toSeconds(time);
    const rotation: Rotate = {
      userId: claims.userId,
      sessionId: claims.sessionId,
      jti: claims.jti,
      issuedAtSeconds: claims.issuedAt,
      next: {
        jti: newTokenId(),
        issuedAtSeconds: nowSeconds,
        expiresAtSeconds: nowSeconds + policy.refreshLifetime,
      },
      ip: client.ip,
      limit: policy.refreshLimit,
      now: time,
    };
    const result = await ask(claims, () => rotate(rotation), client);

    if (result.status === 'reused') {
      await events.store({
        type: 'token_reused',
        userId: claims.userId,
        sessionId: claims.sessionId,
        reason: 'reuse',
        client,
      });
      throw new AuthError('token_reused', { reason: 'reuse' });
    }
    if (!('jti' in result)) throw refusal(result, 'refresh');
    requireActive(result.user, 'refresh');
    // Before the answer: nobody holds a successor of what an emptied store would take once more.
    if (isLegacy(claims)) await legacy?.spend(claims);

    report(result, claims, client, nowSeconds);
    const issue: Issue = {
      user: result.user,
      sessionId: claims.sessionId,
      jti: result.jti,
      issuedAt: result.issuedAtSeconds,
      expiresAt: result.expiresAtSeconds,
    };
    return { pair: await signPair(issue, nowSeconds), limit: result.limit };
  }

  /** A session is refreshed a hundred times a day: only what tells its owner something new is stored. */
  function report(
    { status, lastIp }: { status: 'rotated' | 'repeated'; lastIp: string },
    { userId, sessionId, issuedAt, legacyId }: TokenClaims,
    client: Client,
    nowSeconds: number,
  ): void {
    const isElsewhere = lastIp !== client.ip;
    if (isElsewhere && status === 'repeated') {
      events.record({ type: 'token_replayed', userId, sessionId, client });
    } else if (isElsewhere || legacyId !== undefined || toDay(issuedAt) !== toDay(nowSeconds)) {
      events.record({ type: 'token_refreshed', userId, sessionId, client });
    } else {
      events.count('token_refreshed');
    }
  }

  async function rotate(input: Rotate): Promise<Exclude<RotateResult, Stale>> {
    let asked = input;
    for (let turn = 0; turn <= MAX_STALE_TURNS; turn++) {
      const result = await store.rotate(asked);
      if (result.status !== 'stale') return result;
      const user = await needs.findUser(input.userId);
      if (!user) return { status: 'ended', reason: 'account_deleted' };
      asked = { ...input, vouched: { user, generation: result.generation } };
    }
    throw new AuthError('store_unavailable', { retryAfter: 1, why: 'the account keeps changing' });
  }

  /**
   * Gives a new access token for a refresh token that stays in force, for clients that would forget a successor. It is
   * the pair's refresh token again. Whoever stole it cannot be told from its owner.
   * @throws token_invalid, token_expired, token_revoked, session_ended, rate_limited, store_unavailable
   */
  async function renewAccess(token: string): Promise<{ pair: TokenPair; limit: LimitState | undefined }> {
    const claims = await identify(readTokenOf('refresh', token));
    const { sessionId, jti, issuedAt, expiresAt } = claims;
    const time = now();
    // Started in one turn, so one trip: both are of the user's slot.
    const [limit, { user }] = await Promise.all([countRenewal(claims, time), check(claims, undefined)]);
    // From here on it stands and falls with its session, like one of ours: a store that forgot it takes it no more.
    if (isLegacy(claims)) await legacy?.spend(claims);
    events.count('token_refreshed');
    const issue: Issue = { user, sessionId, jti, issuedAt, expiresAt };
    return { pair: { ...(await signPair(issue, toSeconds(time))), refresh: token }, limit };
  }

  async function countRenewal(
    { userId, sessionId }: TokenClaims,
    time: number,
  ): Promise<LimitState | undefined> {
    const rule = policy.refreshLimit;
    if (!rule) return undefined;
    const rules = [{ ...rule, name: `refresh:${sessionId}` }];
    const { allowed, limit } = await store.hitLimits({ slot: userId, rules, now: time });
    if (!allowed) throw new AuthError('rate_limited', { limit });
    return limit;
  }

  /**
   * Says whether a token of either kind is good now, as introspection does; it is not counted against its user.
   * @throws token_invalid, token_expired, token_revoked, session_ended, store_unavailable
   */
  async function verify(token: string): Promise<TokenClaims> {
    const claims = await identify(readToken(token));
    await check(claims, undefined);
    return claims;
  }

  /**
   * The same with what is known of the token: its user as of now, and an access token's claims brought up to date.
   * @throws token_invalid, token_expired, token_revoked, session_ended, store_unavailable
   */
  async function introspect(token: string): Promise<{ claims: TokenClaims; user: User }> {
    const claims = await identify(readToken(token));
    const { user } = await check(claims, undefined);
    if (claims.tokenType === 'refresh') return { claims, user };
    const payload = renewAccountClaims(claims.payload, user, await needs.permissionsOf(user));
    return { claims: { ...claims, payload }, user };
  }

  /**
   * Ends the sessions that the tokens name, expired ones too. All tokens are read before anything happens.
   * @returns whether any of them was still open.
   * @throws token_missing, token_invalid, store_unavailable
   */
  async function logout(
    tokens: { access?: string | undefined; refresh?: string | undefined },
    client: Client,
  ): Promise<boolean> {
    const named: TokenClaims[] = [];
    if (tokens.access !== undefined) named.push(readTokenOf('access', tokens.access, { allowExpired: true }));
    if (tokens.refresh !== undefined)
      named.push(readTokenOf('refresh', tokens.refresh, { allowExpired: true }));
    if (named.length === 0) throw new AuthError('token_missing');

    const sessions = new Map(named.map((claims) => [claims.sessionId, claims]));
    const ended = await Promise.all(Array.from(sessions.values(), (claims) => endSessionOf(claims, client)));
    return ended.includes(true);
  }

  async function endSessionOf(claims: TokenClaims, client: Client): Promise<boolean> {
    const reason = 'logout';
    const ended = isLegacy(claims) ? await endLegacy(claims, reason) : await endOwn(claims, reason);
    if (ended) events.record({ type: 'logout', ...ended, reason, client });
    return ended !== undefined;
  }

  type Ended = Pick<TokenClaims, 'userId' | 'sessionId'> | undefined;

  async function endOwn({ userId, sessionId }: TokenClaims, reason: EndReason): Promise<Ended> {
    return (await store.endSession({ userId, sessionId, reason })) ? { userId, sessionId } : undefined;
  }

  /** One of nobody's is refused as it is. */
  async function endLegacy(claims: LegacyClaims, reason: EndReason): Promise<Ended> {
    const identified = await legacy?.identify(claims);
    const wasGood = identified && (await legacy?.end(identified, reason));
    return wasGood ? { userId: identified.userId, sessionId: identified.sessionId } : undefined;
  }

  /**
   * Refuses one token from now on, on every process; its session goes on, but for an old token, which is a session of
   * its own. Expired ones too.
   * @throws token_invalid, store_unavailable
   */
  async function revoke(token: string): Promise<TokenClaims> {
    const claims = readToken(token, { allowExpired: true });
    if (isLegacy(claims)) {
      await endLegacy(claims, 'logout');
      return claims;
    }
    await store.revokeToken({
      userId: claims.userId,
      jti: claims.jti,
      expiresAt: (claims.expiresAt + rules.leeway) * 1000,
      now: now(),
    });
    return claims;
  }

  /** Ends every session of a user, and every token besides. @throws store_unavailable */
  async function endAll(userId: string, reason: EndReason): Promise<void> {
    if (needs.endByAccount) await needs.endByAccount(userId, reason);
    else await store.endAllSessions({ userId, reason, now: now() });
  }

  /**
   * Ends every session of the bearer, this one included: in one trip, unless tokens without a session are taken.
   * @throws token_invalid, token_expired, token_revoked, store_unavailable
   */
  async function logoutAll(token: string, client: Client): Promise<TokenClaims> {
    const claims = await identify(readTokenOf('access', token));
    const { userId, sessionId } = claims;
    const reason: EndReason = 'logout_all';
    // Not counted: a thief who spends the budget must not keep the owner from ending everything.
    if (needs.endByAccount) {
      await check(claims, undefined);
      await needs.endByAccount(userId, reason);
    } else {
      await endAllAs(claims, reason);
    }
    events.record({ type: 'logout_all', userId, sessionId, reason, client });
    return claims;
  }

  async function endAllAs(claims: TokenClaims, reason: EndReason): Promise<void> {
    const { userId } = claims;
    const time = now();
    const caller = asToken(claims, time);
    const found = await store.endAllSessions({ userId, reason, caller, now: time });
    if (found.status === 'stale') {
      await vouch(found, claims);
      await store.endAllSessions({ userId, reason, now: time });
    } else if (found.status !== 'done') {
      throw refusal(found, 'access');
    }
  }

  async function list(userId: string, currentSessionId: string | undefined): Promise<Session[]> {
    const records = await store.listSessions({ userId, now: now() });
    return records.map((record) => ({
      ...record,
      current: record.id === currentSessionId,
      device: describeDevice(record.userAgent),
    }));
  }

  /** Ends one of the user's own sessions. @throws not_found */
  async function endOne(userId: string, sessionId: string, client: Client): Promise<void> {
    const wasLive = await store.endSession({ userId, sessionId, reason: 'session_deleted' });
    if (!wasLive) throw new AuthError('not_found');
    events.record({ type: 'session_deleted', userId, sessionId, reason: 'session_deleted', client });
  }

  /** Takes back a session that was opened for an account which then could not be made. */
  async function discard(userId: string, sessionId: string): Promise<void> {
    await store.endSession({ userId, sessionId, reason: 'unknown' });
  }

  return {
    open,
    prepare,
    discard,
    readToken,
    authenticate,
    refresh,
    renewAccess,
    verify,
    introspect,
    logout,
    logoutAll,
    revoke,
    endAll,
    list,
    endOne,
    permissionsOf: needs.permissionsOf,
  };
}

const isLegacy = (claims: TokenClaims): claims is LegacyClaims => claims.legacyId !== undefined;
