import type { Static } from 'typebox';
import type * as accounts from '../contract/accounts.js';
import type { OtpPurpose, OtpSent } from '../contract/otp.js';
import type { PairDocument } from '../contract/tokens.js';
import type { UserDocument } from '../contract/user.js';
import { AuthError, readFailure, readJson } from './auth-error.js';
import { type AuthStorage, browserStorage, memoryStorage } from './auth-storage.js';
import { createAuthorizedFetch, type FetchInput, type FetchLike, patientFetch } from './authorized-fetch.js';
import { runtime } from './runtime.js';
import {
  type AuthEvents,
  type AuthState,
  createSessionKeeper,
  identify,
  type NewTokens,
} from './session-keeper.js';

export type { Code } from '../contract/codes.js';
export type { EndReason } from '../contract/end-reasons.js';
export type { ErrorCode, FieldErrors } from './auth-error.js';
export type { AuthStorage } from './auth-storage.js';
export type { AuthEvents, AuthState, SessionEnd } from './session-keeper.js';
export { AuthError };

export type User = UserDocument;
export type Session = Static<typeof accounts.Session>;
export type ActivityEvent = Static<typeof accounts.Event>;
export type Registration = Static<typeof accounts.RegisterBody>;
export type Credentials = Static<typeof accounts.LoginBody>;
export type Profile = Static<typeof accounts.ProfileBody>;

export interface AuthClientOptions {
  /** Where Latchkey is, with the prefix of the plugin if it has one; by default the origin of the page. */
  baseUrl?: string | URL;
  /**
   * What outlives the page. `memory` (default) nothing; `localStorage` the tokens, shared by all tabs, or with the
   * cookie transport only that there is a session; or a place of your own, such as a keychain.
   */
  storage?: 'memory' | 'localStorage' | AuthStorage;
  /** Whether the refresh token comes in the body (default) or in a cookie that scripts cannot read. */
  transport?: 'body' | 'cookie';
  /** Origins besides `baseUrl`'s whose requests get the token: your own APIs. */
  origins?: readonly string[];
  /** Tells several clients of one origin apart: `latchkey` by default. */
  name?: string;
  /** Language of messages (`Accept-Language`), where the browser's is not right. */
  locale?: string;
  /** Milliseconds to wait for Latchkey: 15,000 by default. Your own requests have no limit. */
  timeout?: number;
  /** Instead of the global one. */
  fetch?: FetchLike;
}

export interface Registered {
  /** `null` while the address has to be confirmed first (`EMAIL_VERIFICATION=required`): nobody is signed in yet. */
  user: User | null;
  message?: string;
}

export interface Message {
  message: string;
}

export interface AuthClient {
  /** Who is signed in, as far as this tab knows; always the same object until that changes. */
  readonly state: AuthState;
  /** When `state` has been read from a storage that takes its time; for the other ones at once. */
  readonly ready: Promise<void>;
  /** Calls the listener until the function that it returns is called. */
  on<K extends keyof AuthEvents>(event: K, listener: (event: AuthEvents[K]) => void): () => void;

  register(registration: Registration): Promise<Registered>;
  /** By password, or by phone and code. */
  login(credentials: Credentials): Promise<{ user: User }>;
  sendOtp(to: { phone: string; purpose: OtpPurpose }): Promise<Static<typeof OtpSent>>;
  /**
   * Ends the session, in all tabs. When the server cannot be told it rejects, and the session is as it was; with
   * `local: true` the tokens are forgotten in any case, and what was not told lives on at the server.
   */
  logout(options?: { local?: boolean }): Promise<void>;
  /** Ends every session of the user. */
  logoutAll(): Promise<void>;

  /** Who was signed in when the page was left? Asks the server; `null` for nobody. For the start of a page. */
  restore(): Promise<User | null>;
  me(): Promise<User>;
  updateProfile(profile: Profile): Promise<User>;
  deleteAccount(proof: Static<typeof accounts.DeleteAccountBody>): Promise<void>;
  /** Everything that is stored about the user. */
  exportAccount(): Promise<Static<typeof accounts.Export>>;
  sessions(): Promise<Session[]>;
  endSession(id: string): Promise<void>;
  activity(page?: { cursor?: string | null; limit?: number }): Promise<Static<typeof accounts.Activity>>;

  /** Every session ends, and this one begins anew. */
  changePassword(passwords: Static<typeof accounts.PasswordChangeBody>): Promise<void>;
  forgotPassword(to: Static<typeof accounts.PasswordForgotBody>): Promise<Message>;
  resetPassword(reset: Static<typeof accounts.PasswordResetBody>): Promise<Message>;
  /** The token of the link in the e-mail. */
  verifyEmail(token: string): Promise<Message>;
  resendEmail(): Promise<Message>;
  changeEmail(change: Static<typeof accounts.EmailChangeBody>): Promise<Message>;
  verifyPhone(proof: Static<typeof accounts.PhoneVerifyBody>): Promise<Message>;
  changePhone(change: Static<typeof accounts.PhoneChangeBody>): Promise<Message>;

  /**
   * Like the global `fetch`, with the token for Latchkey and the `origins`. A token that is about to expire or was
   * refused is renewed, once for all requests, and the request sent again, once; its answer is the answer. When the
   * session turns out to be over it rejects with the reason, and when nobody can tell now (offline, 503, 429) with
   * that. Bodies that are streams cannot be sent again: then it rejects with `body_not_replayable`.
   * @throws AuthError, and whatever the global one throws
   */
  fetch(input: FetchInput, init?: RequestInit): Promise<Response>;
  /** JSON to and from a route of Latchkey, such as `/api/admin/users`. @throws AuthError */
  request<Body>(method: string, path: string, body?: unknown): Promise<Body>;
  /** A token that will do for now, `null` when nobody is signed in; for what is not `fetch`, such as a WebSocket. */
  accessToken(): Promise<string | null>;
  /** A token other than the one that was refused. @throws AuthError */
  renew(refused: string): Promise<string>;
  /** Whether requests to this URL get the token. */
  covers(url: string | URL): boolean;
  /** Hears and tells nothing more of other tabs. */
  close(): void;
}

/** A client of one Latchkey, for browsers, web views and Node.js. */
export function createAuthClient(options: AuthClientOptions = {}): AuthClient {
  const { transport = 'body', storage = 'memory', name = 'latchkey', timeout = 15_000, locale } = options;
  const base = new URL(options.baseUrl ?? '/', runtime.location?.href);
  // A path that begins with two slashes would name a host.
  const root = base.pathname.replace(/^\/+(?=\/)|\/+$/g, '');
  const byCookie = transport === 'cookie';
  const plainFetch: FetchLike = options.fetch ?? ((input, init) => fetch(input, init));
  const origins = new Set([base.origin, ...(options.origins ?? []).map((url) => new URL(url).origin)]);

  const keptIn =
    typeof storage === 'object' ? storage : storage === 'memory' ? memoryStorage() : browserStorage(name);
  const keeper = createSessionKeeper({
    storage: keptIn,
    channel: byCookie || keptIn.shared ? `${name} ${base.href}` : undefined,
    byCookie,
    timeout,
    trade: async (refresh) => toTokens(await send('POST', '/api/auth/refresh', byCookie ? {} : { refresh })),
  });
  /** After a reload nothing but the cookie remembers a session that no storage noted. */
  const cookieMayKnow = byCookie && !keptIn.shared;
  const authorizedFetch = createAuthorizedFetch({ keeper, fetch: plainFetch, base, origins });

  /** A request to Latchkey without a token. */
  const send = call(patientFetch(plainFetch, timeout));
  /** And with one. */
  const ask = call(patientFetch(authorizedFetch, timeout));

  function call(fetch: FetchLike) {
    return async <Body>(method: string, path: string, body?: unknown, token?: string): Promise<Body> => {
      const response = await fetch(new URL(root + path, base), {
        method,
        // The cookie by which a device is known goes along with logins.
        credentials: 'include',
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(byCookie && { 'x-auth-transport': 'cookie' }),
          ...(locale !== undefined && { 'accept-language': locale }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      if (!response.ok) throw await readFailure(response);
      return response.status === 204 ? (undefined as Body) : readJson<Body>(response);
    };
  }

  /** For what only somebody signed in can ask: without a session the answer is known. */
  async function askAsUser<Body>(method: string, path: string, body?: unknown): Promise<Body> {
    await requireSession();
    return ask(method, path, body);
  }

  async function requireSession(): Promise<string> {
    await keeper.sync();
    const { session } = keeper;
    if (!session) throw new AuthError('token_missing', 'Nobody is signed in', { status: 401 });
    return session.sid;
  }

  async function askUser(method: string, body?: unknown): Promise<User> {
    await requireSession();
    const user = await ask<User>(method, '/api/auth/me', body);
    await keeper.setUser(user, user.id);
    return user;
  }

  const client: AuthClient = {
    get state() {
      return keeper.state;
    },
    ready: keeper.ready,
    on: keeper.on,

    async register(registration) {
      const answer = await send<Partial<SignedIn> & Partial<Message>>(
        'POST',
        '/api/auth/register',
        registration,
      );
      if (!answer.access) return { user: null, ...(answer.message && { message: answer.message }) };
      const user = answer.user as User;
      keeper.begin(toTokens(answer as SignedIn), user);
      return { user };
    },
    async login(credentials) {
      const { user, ...pair } = await send<SignedIn>('POST', '/api/auth/login', credentials);
      keeper.begin(toTokens(pair), user);
      return { user };
    },
    sendOtp: (to) => send('POST', '/api/auth/otp/send', to),
    async logout({ local = false } = {}) {
      await keeper.sync();
      const { session } = keeper;
      if (!session && !cookieMayKnow) return;
      const { access, refresh } = session ?? {};
      try {
        await send('POST', '/api/auth/logout', refresh === undefined ? {} : { refresh }, access);
      } catch (error) {
        // A session that has ended already, or that the server does not know, needs no other end.
        if (!local && !(error as AuthError).endsSession) throw error;
      }
      if (session) keeper.drop(session.sid, { reason: 'logout' }, true);
    },
    async logoutAll() {
      const sid = await requireSession();
      await ask('POST', '/api/auth/logout-all', {});
      keeper.drop(sid, { reason: 'logout_all' }, true);
    },

    async restore() {
      await keeper.sync();
      try {
        if (!keeper.session) {
          if (!cookieMayKnow) return null;
          await keeper.beginByCookie();
        }
        return await client.me();
      } catch (error) {
        if ((error as AuthError).endsSession) return null;
        throw error;
      }
    },
    me: () => askUser('GET'),
    updateProfile: (profile) => askUser('PATCH', profile),
    async deleteAccount(proof) {
      const sid = await requireSession();
      await ask('DELETE', '/api/auth/me', proof);
      keeper.drop(sid, { reason: 'account_deleted' }, true);
    },
    exportAccount: () => askAsUser('GET', '/api/auth/me/export'),
    async sessions() {
      return (await askAsUser<{ sessions: Session[] }>('GET', '/api/auth/sessions')).sessions;
    },
    async endSession(id) {
      await askAsUser('DELETE', `/api/auth/sessions/${encodeURIComponent(id)}`);
      keeper.drop(id, { reason: 'session_deleted' }, true);
    },
    activity({ cursor, limit } = {}) {
      const query = new URLSearchParams();
      if (cursor) query.set('cursor', cursor);
      if (limit) query.set('limit', String(limit));
      return askAsUser('GET', `/api/auth/activity?${query}`);
    },

    async changePassword(passwords) {
      const pair = await askAsUser<PairDocument>('POST', '/api/auth/password/change', passwords);
      keeper.begin(toTokens(pair));
    },
    forgotPassword: (to) => send('POST', '/api/auth/password/forgot', to),
    resetPassword: (reset) => send('POST', '/api/auth/password/reset', reset),
    async verifyEmail(token) {
      // It matters who is signed in; somebody who no longer is must not keep the link from working.
      await keeper.current().catch(() => {});
      return ask('POST', '/api/auth/email/verify', { token });
    },
    resendEmail: () => askAsUser('POST', '/api/auth/email/resend', {}),
    changeEmail: (change) => askAsUser('POST', '/api/auth/email/change', change),
    verifyPhone: (proof) => askAsUser('POST', '/api/auth/phone/verify', proof),
    changePhone: (change) => askAsUser('POST', '/api/auth/phone/change', change),

    fetch: authorizedFetch,
    request: ask,
    accessToken: async () => (await keeper.current())?.access ?? null,
    async renew(refused) {
      const whose = identify(refused).sub;
      const { access, sub } = await keeper.renew(refused);
      if (sub !== whose) {
        throw new AuthError('session_ended', 'Somebody else has signed in', {
          status: 401,
          reason: 'logout',
        });
      }
      return access as string;
    },
    covers: (url) => origins.has(new URL(url, base).origin),
    close: keeper.close,
  };
  return client;
}

type SignedIn = PairDocument & { user: User };

const toTokens = ({ access, refresh, expires_in }: PairDocument): NewTokens => ({
  access,
  refresh,
  expiresIn: expires_in,
});
