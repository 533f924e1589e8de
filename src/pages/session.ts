import { type AuthError, createAuthClient, type SessionEnd, type User } from '../client/auth-client.js';
import { getLocale } from './locale.js';
import { settings } from './page-settings.js';
import { PATHS } from './paths.js';
import { getPlace, navigate } from './router.js';
import { createStore, useStore } from './store.js';

/** The refresh token stays in a cookie that no script reads, the access token in memory. */
export const client = createAuthClient({
  baseUrl: location.origin + settings.base,
  transport: 'cookie',
  storage: 'localStorage',
  // Messages come in the language that was chosen here, whatever the browser prefers.
  fetch: (input, init) => {
    const headers = new Headers(init?.headers);
    headers.set('accept-language', getLocale());
    return fetch(input, { ...init, headers });
  },
});

/** Who is signed in; `undefined` until that is known. */
const user = createStore<User | null | undefined>(client.state.authenticated ? undefined : null);
/** Why the session that was here is over, if nobody here signed out. */
export const lastEnd = createStore<Pick<SessionEnd, 'reason'> | undefined>(undefined);
/** What kept the pages from learning who is signed in, or from signing out. */
export const sessionTrouble = createStore<AuthError | undefined>(undefined);

export const useUser = (): User | null | undefined => useStore(user);

client.on('change', (state) => {
  if (!state.authenticated) user.set(null);
  else if (state.user) user.set(state.user);
  else void restore();
  if (state.authenticated) lastEnd.set(undefined);
});
client.on('ended', (end) => {
  lastEnd.set(end);
});

/** Asks who was signed in when the page was left. */
export async function restore(): Promise<void> {
  sessionTrouble.set(undefined);
  await ask();
}

/** What is said of an earlier try stays until there is an answer. */
async function ask(): Promise<void> {
  try {
    user.set(await client.restore());
    sessionTrouble.set(undefined);
  } catch (error) {
    sessionTrouble.set(error as AuthError);
    const { retryAfter } = error as AuthError;
    if (retryAfter) setTimeout(restoreIfUnknown, retryAfter * 1000);
  }
}

function restoreIfUnknown(): void {
  if (user.get() === undefined) void ask();
}

const TOLD_MS = 15_000;

export async function signOut(): Promise<void> {
  sessionTrouble.set(undefined);
  try {
    await client.logout();
    navigate(PATHS.signIn);
  } catch (error) {
    sessionTrouble.set(error as AuthError);
    // Nobody is told for ever of what is over.
    setTimeout(() => sessionTrouble.get() === error && sessionTrouble.set(undefined), TOLD_MS);
  }
}

/** Where to sign in, and come back from. */
export function signInPath(): string {
  const { path, query } = getPlace();
  const search = query.size > 0 ? `?${query}` : '';
  return `${PATHS.signIn}?next=${encodeURIComponent(settings.base + path + search)}`;
}

restoreIfUnknown();
addEventListener('online', () => {
  sessionTrouble.set(undefined);
  restoreIfUnknown();
});
