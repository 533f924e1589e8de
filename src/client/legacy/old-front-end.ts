import type { PairDocument } from '../../contract/tokens.js';
import type { UserDocument } from '../../contract/user.js';
import { type AuthError, readFailure, readJson } from '../auth-error.js';
import { type AuthStorage, browserStorage } from '../auth-storage.js';
import { createAuthorizedFetch, type FetchLike, patientFetch } from '../authorized-fetch.js';
import { runtime } from '../runtime.js';
import { createSessionKeeper, identify, readPayload, type StoredSession } from '../session-keeper.js';

/** What an old front end calls a user: some fields, and an integer for an id. */
export type OldUser = Record<string, unknown>;

/** Milliseconds. */
const TIMEOUT = 15_000;

export type OldFrontEnd = ReturnType<typeof createOldFrontEnd>;

/** What both old globals stand on: one session in localStorage, for all tabs and for both. */
export function createOldFrontEnd() {
  const base = new URL('/', runtime.location?.href);
  const root = mountPoint(base);
  const plainFetch: FetchLike = (input, init) => fetch(input, init);
  const patiently = patientFetch(plainFetch, TIMEOUT);
  const keeper = createSessionKeeper({
    storage: separateKeys(),
    channel: 'latchkey old front end',
    timeout: TIMEOUT,
    // The canonical route serves the same tokens, and says why a session ended.
    trade: async (refresh) => {
      const response = await post('/api/auth/refresh', { refresh });
      if (!response.ok) throw await readFailure(response);
      const pair = await readJson<PairDocument>(response);
      return { access: pair.access, refresh: pair.refresh, expiresIn: pair.expires_in };
    },
  });

  /** JSON to a route, with a token if one is given. */
  function post(path: string, body: unknown, token?: string): Promise<Response> {
    const headers = {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    return patiently(new URL(root + path, base), { method: 'POST', headers, body: JSON.stringify(body) });
  }

  /** What both globals offer under one name. */
  const shared = {
    isAuthenticated: (): boolean => keeper.state.authenticated,
    getAccessToken: (): string | null => keeper.session?.access ?? null,
    getRefreshToken: (): string | null => keeper.session?.refresh ?? null,
    /** Whether there is a session with another access token now. */
    refreshToken: (): Promise<boolean> =>
      keeper.renew(keeper.session?.access).then(
        () => true,
        (error: AuthError) => {
          if (error.endsSession) return false;
          throw error;
        },
      ),
  };

  return {
    keeper,
    root,
    post,
    shared,
    fetch: createAuthorizedFetch({ keeper, fetch: plainFetch, base, origins: new Set([base.origin]) }),
    begin(tokens: { access: string; refresh: string }, user: OldUser | null): void {
      keeper.begin({ ...tokens, expiresIn: lifetimeOf(tokens.access) }, user as UserDocument | null);
    },
    get user(): OldUser | null {
      return keeper.state.user;
    },
    /** Signs out here whatever the server says, as these front ends always did. */
    async end(tell: (session: StoredSession) => Promise<Response>): Promise<Response | undefined> {
      const { session } = keeper;
      if (!session) return undefined;
      try {
        return await tell(session);
      } finally {
        keeper.drop(session.sid, { reason: 'logout' }, true);
      }
    },
  };
}

/** The prefix of Latchkey in an application around it: what stands before the path of this very script. */
function mountPoint({ origin }: URL): string {
  const { currentScript } = (globalThis as unknown as { document: { currentScript: { src: string } | null } })
    .document;
  const [, before = ''] = /^(.*)\/static\/js\//.exec(currentScript?.src ?? '') ?? [];
  return before.startsWith(`${origin}/`) ? before.slice(origin.length) : '';
}

/** Under the names that such front ends used: whoever was signed in before the move still is. */
function separateKeys(): AuthStorage {
  const [access, refresh, user, saved] = ['access_token', 'refresh_token', 'user_data', 'token_saved_at'].map(
    browserStorage,
  ) as [AuthStorage, AuthStorage, AuthStorage, AuthStorage];
  const read = (storage: AuthStorage) => storage.get() as string | null;
  return {
    shared: true,
    get() {
      const token = read(access);
      if (token === null) return null;
      try {
        const session: StoredSession = {
          ...identify(token),
          access: token,
          refresh: read(refresh) ?? undefined,
          receivedAt: Number(read(saved)),
          expiresIn: lifetimeOf(token),
          user: JSON.parse(read(user) ?? 'null'),
        };
        return JSON.stringify(session);
      } catch {
        return null;
      }
    },
    set(text) {
      const session: StoredSession | null = text === null ? null : JSON.parse(text);
      access.set(session?.access ?? null);
      refresh.set(session?.refresh ?? null);
      user.set(session?.user ? JSON.stringify(session.user) : null);
      saved.set(session ? String(session.receivedAt) : null);
    },
  };
}

/** Seconds. The routes of the old systems do not say it. */
function lifetimeOf(token: string): number {
  const { exp, iat } = readPayload(token);
  return Number(exp) - Number(iat) || 0;
}
