import type { EndReason } from '../contract/end-reasons.js';
import type { UserDocument } from '../contract/user.js';
import { AuthError } from './auth-error.js';
import type { AuthStorage } from './auth-storage.js';
import { type Message, NO_TABS, openTabs, type Tabs } from './tabs.js';

/** A session as a client holds it. */
export interface StoredSession {
  /** The claims `sid` and `sub`: which session, and whose. */
  sid: string;
  sub: string;
  /** Missing while only a cookie knows it. */
  access?: string | undefined;
  /** Missing while a cookie holds it. */
  refresh?: string | undefined;
  /** When the access token came, by this device's clock (ms), and how long it was good for then (s). */
  receivedAt: number;
  expiresIn: number;
  user: UserDocument | null;
}

/** What a login or a refresh brought. */
export interface NewTokens {
  access: string;
  refresh?: string | undefined;
  /** Seconds. */
  expiresIn: number;
}

/** Who is signed in. The object changes when that does, and only then. */
export interface AuthState {
  readonly authenticated: boolean;
  /** Not known yet after a page was loaded with the cookie transport: ask `me()` or `restore()`. */
  readonly user: UserDocument | null;
  readonly sessionId: string | null;
}

/** A session that is over without this client having asked for it. */
export interface SessionEnd {
  readonly reason: EndReason;
  readonly sessionId: string;
  /** What the server answered; missing when another tab signed out. */
  readonly error?: AuthError;
}

export interface AuthEvents {
  /** Somebody signed in or out, in whichever tab, or their profile changed. */
  change: AuthState;
  ended: SessionEnd;
}

export interface KeeperNeeds {
  storage: AuthStorage;
  /** Names the lock and the channel of the tabs; `undefined` when nobody else holds the session. */
  channel: string | undefined;
  /** Stores no tokens, only that there is a session: the cookie has the rest. */
  byCookie?: boolean;
  /** Asks the server for the successor. @throws AuthError */
  trade(refresh: string | undefined): Promise<NewTokens>;
  /** Milliseconds after which a refresh counts as lost. */
  timeout: number;
}

export type SessionKeeper = ReturnType<typeof createSessionKeeper>;

/** Refresh this long (ms) before the access token expires, or for short lives in their last tenth. */
const AHEAD_MS = 30_000;

/** Holds the session of this tab and keeps it the same as in the other tabs; renews it one refresh at a time. */
export function createSessionKeeper({ storage, channel, byCookie, trade, timeout }: KeeperNeeds) {
  const listeners: { [K in keyof AuthEvents]: Set<(event: AuthEvents[K]) => void> } = {
    change: new Set(),
    ended: new Set(),
  };
  let session: StoredSession | null = null;
  let state: AuthState = describe(null);
  /** Rises with each change: what was read before it is old. */
  let version = 0;
  /** The storage as it was last read or written. */
  let seen: string | null = null;
  let writing: Promise<unknown> = Promise.resolve();
  /** Sessions that are over never come back, whatever a late answer or message says. */
  const over = new Set<string>();
  let underWay: { sid: string; result: Promise<StoredSession> } | undefined;
  /** The server asked to be left alone for a while. */
  let rest: { until: number; error: AuthError } | undefined;
  const tabs: Tabs = channel === undefined ? NO_TABS : openTabs(channel, timeout, hear);

  const first = storage.get();
  const ready =
    first === null || typeof first === 'string' ? Promise.resolve(load(first)) : first.then(load, () => {});

  function load(text: string | null): void {
    seen = text;
    const stored = parse(text);
    if (stored && !over.has(stored.sid) && version === 0) become(stored);
  }

  /** The storage knows what other tabs did, also where nobody can tell us. */
  async function sync(): Promise<void> {
    await ready;
    await writing;
    if (!storage.shared) return;
    const before = version;
    const text = await look();
    if (text === seen || before !== version) return;
    seen = text;
    const stored = parse(text);
    if (!stored) become(null, { reason: 'logout' });
    else if (!over.has(stored.sid) && !(byCookie && stored.sid === session?.sid)) become(stored);
  }

  /** What the storage holds; one that is broken has no news. */
  async function look(): Promise<string | null> {
    try {
      return await storage.get();
    } catch {
      return seen;
    }
  }

  function hear(message: Message): void {
    if (message.type === 'end') {
      over.add(message.sid);
      if (message.sid === session?.sid) become(null, message);
    } else if (message.type === 'session') {
      const told = message.session;
      if (over.has(told.sid) || (session && told.receivedAt < session.receivedAt)) return;
      // A tab that was just opened does not know yet whose session it is.
      become(session?.sub === told.sub ? { ...told, user: told.user ?? session.user } : told);
    }
  }

  function become(next: StoredSession | null, end?: { reason: EndReason; error?: AuthError }): void {
    const before = session;
    version++;
    session = next;
    rest = undefined;
    if (before && !next) over.add(before.sid);
    const after = describe(next);
    if (JSON.stringify(after) !== JSON.stringify(state)) {
      state = after;
      emit('change', state);
    }
    if (before && !next && end) {
      emit('ended', { reason: end.reason, sessionId: before.sid, ...(end.error && { error: end.error }) });
    }
  }

  /** Becomes it here, in the storage and in the other tabs. */
  function put(next: StoredSession): void {
    become(next);
    store(next);
    tabs.tell({ type: 'session', session: next });
  }

  /** `user` is missing where the answer does not say who it is. */
  function begin(tokens: NewTokens, user?: UserDocument | null): void {
    const whose = identify(tokens.access);
    // A cookie may hold another session by now, or another user's: whoever signed in last in this browser.
    const isSameUser = !session?.sub || session.sub === whose.sub;
    const known = isSameUser ? (session?.user ?? null) : null;
    put({ ...whose, ...tokens, receivedAt: Date.now(), user: user === undefined ? known : user });
  }

  function store(next: StoredSession | null): void {
    const { sid, sub } = next ?? {};
    seen = next && JSON.stringify(byCookie ? { sid, sub } : next);
    const text = seen;
    writing = writing
      .then(() => storage.set(text))
      .catch(async () => {
        // A storage that is full or broken: the session lives as long as the page, and what is still there is no news.
        seen = await look();
      });
  }

  /** Ends that session in all tabs, if it still is the one. Here it is no news when `asked` for. */
  function drop(sid: string, end: { reason: EndReason; error?: AuthError }, asked = false): void {
    if (session?.sid !== sid) return;
    become(null, asked ? undefined : end);
    store(null);
    tabs.tell({ type: 'end', sid, reason: end.reason });
  }

  /**
   * The session with another access token than `used`, by one refresh however many ask.
   * @throws AuthError; the session is over if it `endsSession`, else it is as it was
   */
  async function renew(used: string | undefined): Promise<StoredSession> {
    await sync();
    for (let turn = 0; session && turn < 3; turn++) {
      if (session.access && session.access !== used) return session;
      const { sid } = session;
      if (underWay && underWay.sid !== sid) {
        await underWay.result.catch(() => {});
        continue;
      }
      underWay ??= {
        sid,
        result: tabs.oneAtATime(() => exchange(used)).finally(() => (underWay = undefined)),
      };
      await underWay.result;
    }
    if (!session?.access) throw ended('logout');
    return session;
  }

  async function exchange(used: string | undefined): Promise<StoredSession> {
    await sync();
    const old = session;
    if (!old) throw ended('logout');
    if (old.access && old.access !== used) return old;
    if (rest && Date.now() < rest.until) throw rest.error;
    let tokens: NewTokens;
    try {
      tokens = await trade(old.refresh);
    } catch (thrown) {
      await sync();
      const error = thrown as AuthError;
      if (error.endsSession) {
        // Whoever loses a race must not clear what the winner holds.
        if (session && session !== old && session.access !== old.access) return session;
        drop(old.sid, { reason: reasonOf(error), error });
      } else if (error.retryAfter) {
        rest = { until: Date.now() + error.retryAfter * 1000, error };
      }
      throw error;
    }
    await sync();
    // Signed out meanwhile, here or in another tab: the server has ended what this would bring back.
    if (session?.sid !== old.sid) throw ended('logout');
    // Another tab is further on than this answer; its token would be spent.
    if (session.refresh !== old.refresh && session.refresh !== tokens.refresh) return session;
    begin(tokens);
    return session;
  }

  /** The session with an access token that will do for a request made now; `null` when nobody is signed in. */
  async function current(): Promise<StoredSession | null> {
    await sync();
    if (!session) return null;
    const { access, receivedAt, expiresIn } = session;
    // A duration by this device's clock, never a moment: its clock may be wrong, and may have been set meanwhile.
    const age = Date.now() - receivedAt;
    const left = age < 0 ? 0 : expiresIn * 1000 - age;
    if (access && left > Math.min(AHEAD_MS, expiresIn * 100)) return session;
    try {
      return await renew(access);
    } catch (error) {
      const stillGood = access && (left > 0 || age < 0) && session?.access === access;
      if (stillGood && !(error as AuthError).endsSession) return session;
      throw error;
    }
  }

  function emit<K extends keyof AuthEvents>(name: K, event: AuthEvents[K]): void {
    for (const listener of listeners[name]) {
      // A listener's fault is its own, and must not look like one of the session's.
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  return {
    ready,
    sync,
    get state(): AuthState {
      return state;
    },
    get session(): StoredSession | null {
      return session;
    },
    current,
    renew,
    drop,
    /** After a login, a registration or a changed password. */
    begin,
    /** Asks by the cookie alone, which may hold a session that no storage knows of. */
    beginByCookie: (): Promise<void> =>
      tabs.oneAtATime(async () => {
        if (session) return;
        const tokens = await trade(undefined);
        // Somebody signed in meanwhile, which is newer.
        if (!session) begin(tokens);
      }),
    /** What the server says of the account `sub` now, if it still is the one that is signed in. */
    async setUser(user: UserDocument, sub: string): Promise<void> {
      // Another tab may have renewed the tokens meanwhile: spent ones must not take their place.
      await sync();
      if (session?.sub === sub && JSON.stringify(session.user) !== JSON.stringify(user))
        put({ ...session, user });
    },
    on<K extends keyof AuthEvents>(name: K, listener: (event: AuthEvents[K]) => void): () => void {
      listeners[name].add(listener);
      return () => listeners[name].delete(listener);
    },
    close: tabs.close,
  };
}

const ended = (reason: EndReason): AuthError =>
  new AuthError('session_ended', 'The session has ended', { status: 401, reason });

/** A cookie that is not there any more has expired. */
const reasonOf = ({ reason, code }: AuthError): EndReason =>
  reason ?? (code === 'token_expired' || code === 'token_missing' ? 'expired' : 'unknown');

function describe(session: StoredSession | null): AuthState {
  return Object.freeze({
    authenticated: session !== null,
    user: session?.user ?? null,
    sessionId: session?.sid ?? null,
  });
}

function parse(text: string | null): StoredSession | null {
  try {
    const stored: Partial<StoredSession> | null = text && JSON.parse(text);
    if (typeof stored?.sid !== 'string') return null;
    return { receivedAt: 0, expiresIn: 0, user: null, ...stored } as StoredSession;
  } catch {
    return null;
  }
}

/**
 * Which session an access token is of. Nothing is verified: that is the server's business. Tokens of a system that
 * Latchkey took over from have neither claim.
 */
export function identify(access: string): { sid: string; sub: string } {
  const { sid = '', sub = '' } = readPayload(access);
  return { sid: String(sid), sub: String(sub) };
}

/** RFC 7519: the middle part, base64url of JSON. @throws AuthError when it is no token: somebody else has answered */
export function readPayload(token: string): Record<string, unknown> {
  try {
    const part = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(part), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new AuthError('unexpected_answer', 'Unexpected answer', { cause });
  }
}
