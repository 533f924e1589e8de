import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { noteLogin } from '../src/accounts/note-login.js';
import type { User } from '../src/accounts/user.js';
import { AuthError } from '../src/errors.js';
import type { TokenClaims } from '../src/tokens/claims.js';
import type { Authenticated, TokenPair } from '../src/tokens/session-service.js';
import { clientOf } from './request-context.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Latchkey for code: issue, check, refresh and revoke tokens. */
    latchkey: Library;
  }
}

/** An account, or its id. */
export type UserOrId = string | Pick<User, 'id'>;

/** Where a session is opened or refreshed from; its owner sees it in the list of sessions. */
export type Origin = Pick<FastifyRequest, 'ip' | 'headers'>;

/** Every method throws an AuthError, whose `code` is from the closed list; `store_unavailable` is always possible. */
export interface Library {
  /** The account as it is stored now. */
  findUser(id: string): Promise<User | undefined>;
  /**
   * Signs a person in without asking for a password: opens a session and gives its first pair.
   * @throws not_found, account_disabled
   */
  issueTokens(user: UserOrId, from?: Origin): Promise<TokenPair>;
  /**
   * Recognises the bearer of an access token, as `app.authenticate` does, and counts it against the user's limit.
   * @throws token_invalid, token_expired, token_revoked, rate_limited
   */
  verifyToken(access: string): Promise<Authenticated>;
  /**
   * Trades a refresh token for its successor, as `POST /api/auth/refresh` does.
   * @throws token_invalid, token_expired, token_revoked, token_reused, session_ended, rate_limited
   */
  refreshTokens(refresh: string, from?: Origin): Promise<TokenPair>;
  /** Refuses this one token from now on; its session goes on. Expired ones too. @throws token_invalid */
  revokeToken(token: string): Promise<TokenClaims>;
  /** Ends one session of the user. `false` when it was not live. */
  revokeSession(user: UserOrId, sessionId: string): Promise<boolean>;
  /** Ends every session of the user. @throws not_found */
  revokeUser(user: UserOrId): Promise<void>;
}

/** What routes do for callers over HTTP, for the code of the application around us. */
export default fp(
  async (app) => {
    const { sessions, stateStore, events, database, blacklist } = app;

    app.decorate('latchkey', {
      findUser: database.accounts.findById,

      async issueTokens(who, from = NOWHERE) {
        const owner = await requireUser(who);
        if (!owner.isActive) throw new AuthError('account_disabled');
        const client = clientOf(from);
        const at = app.clock();
        const user = await noteLogin({ accounts: database.accounts, events }, owner, at);
        const { pair, sessionId } = await sessions.open(user, client);
        events.record({ type: 'login', at, userId: user.id, sessionId, client });
        return pair;
      },

      verifyToken: (access) => app.withNewKeys(() => sessions.authenticate(access)),

      async refreshTokens(refresh, from = NOWHERE) {
        const { pair } = await app.withNewKeys(() => sessions.refresh(refresh, clientOf(from)));
        return pair;
      },

      revokeToken: (token) => app.withNewKeys(() => blacklist.revoke(token)),

      async revokeSession(who, sessionId) {
        const userId = idOf(who);
        const wasLive = await stateStore.endSession({ userId, sessionId, reason: 'admin' });
        if (wasLive) await events.store({ type: 'session_deleted', userId, sessionId, reason: 'admin' });
        return wasLive;
      },

      async revokeUser(who) {
        const { id: userId } = await requireUser(who);
        await sessions.endAll(userId, 'admin');
        await events.store({ type: 'logout_all', userId, reason: 'admin' });
      },
    });

    /** As SQL has it now: an object the caller kept, or put together, decides nothing. */
    async function requireUser(who: UserOrId): Promise<User> {
      const user = await database.accounts.findById(idOf(who));
      if (!user) throw new AuthError('not_found');
      return user;
    }
  },
  { name: 'library', dependencies: ['sessions', 'blacklist'] },
);

const NOWHERE: Origin = { ip: '', headers: {} };

const idOf = (who: UserOrId): string => (typeof who === 'string' ? who : who.id);
