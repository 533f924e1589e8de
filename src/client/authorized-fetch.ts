import { AuthError, networkError } from './auth-error.js';
import type { SessionKeeper, StoredSession } from './session-keeper.js';
import { refusesToken } from './token-refusal.js';

/** What a request may be made of, as for the global `fetch`. */
export type FetchInput = string | URL | Request;
export type FetchLike = (input: FetchInput, init?: RequestInit) => Promise<Response>;

export interface AuthorizedFetchNeeds {
  keeper: SessionKeeper;
  fetch: FetchLike;
  base: URL;
  /** Who is shown tokens. */
  origins: ReadonlySet<string>;
}

/** `fetch` with the token of the session, which is renewed once and the request repeated once. */
export function createAuthorizedFetch({ keeper, fetch, base, origins }: AuthorizedFetchNeeds): FetchLike {
  /** A token that was new and refused all the same, by somebody who does not say why: another one would not help. */
  let hopeless: string | undefined;

  return async (input, init = {}) => {
    const request = typeof Request === 'function' && input instanceof Request ? input : undefined;
    const url = new URL(request?.url ?? String(input), base);
    const headers = new Headers(init.headers ?? request?.headers);
    const send = (session: StoredSession | null): Promise<Response> => {
      if (session) headers.set('authorization', `Bearer ${session.access}`);
      return fetch(request ? request.clone() : url, { ...init, headers });
    };
    if (!origins.has(url.origin) || headers.has('authorization')) return send(null);

    const signal = init.signal === undefined ? request?.signal : init.signal;
    const session = await whileWanted(keeper.current(), signal);
    const response = await send(session);
    const verdict = response.headers.get('x-auth-status');
    if (!session || !refusesToken(response.status, verdict)) return response;
    if (!verdict && session.access === hopeless) return response;

    const renewed = await whileWanted(keeper.renew(session.access), signal);
    // Somebody else has signed in meanwhile: the request was not theirs.
    if (renewed.sub !== session.sub) return response;
    response.body?.cancel().catch(() => {});
    if (isStream(init.body)) {
      throw new AuthError(
        'body_not_replayable',
        'The body was a stream, and is spent: send the request again',
      );
    }
    const again = await send(renewed);
    if (again.status === 401) hopeless = renewed.access;
    return again;
  };
}

/** Whoever gives up waits no longer; what was begun goes on for the others. */
function whileWanted<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

const isStream = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && ('getReader' in body || Symbol.asyncIterator in body);

/** A `fetch` whose failures are AuthErrors, and which gives up after `timeout` milliseconds. */
export const patientFetch =
  (fetch: FetchLike, timeout: number): FetchLike =>
  (input, init) =>
    fetch(input, { signal: AbortSignal.timeout(timeout), ...init }).catch((cause: unknown) => {
      throw cause instanceof AuthError ? cause : networkError(cause);
    });
