import type { AuthClient } from './auth-client.js';
import { AuthError } from './auth-error.js';
import { runtime } from './runtime.js';
import { refusesToken } from './token-refusal.js';

/** What is used of an instance of Axios 1, or of Axios itself. */
export interface AxiosLike {
  interceptors: { request: Interceptors; response: Interceptors };
  getUri(config: never): string;
  request(config: never): Promise<unknown>;
}

interface Interceptors {
  use(done?: Interceptor | null, failed?: Interceptor | null): number;
  eject(id: number): void;
}

/** Fits whatever Axios's own types ask of one. */
type Interceptor = (value: unknown) => never;

interface Config {
  headers: {
    has(name: string): boolean;
    set(name: string, value: string): unknown;
    delete(name: string): unknown;
  };
  data?: { pipe?: unknown; getReader?: unknown } | string | null;
  /** The token that we sent along, and whether it is the second one. */
  latchkey?: { token: string; isReplay: boolean };
}

interface Failure {
  config?: Config;
  response?: { status: number; headers: Record<string, string | undefined> };
}

/**
 * Gives the requests of an Axios instance the token, renews it ahead of time and when it is refused, once for all
 * requests at once, and sends a refused request again, once. Requests that bring an `Authorization` of their own, and
 * those to other origins than the client's, are left alone. What `client.fetch` rejects with these reject with too.
 * @returns a function that takes it all back
 */
export function attach(axios: AxiosLike, client: AuthClient): () => void {
  const { request, response } = axios.interceptors;
  /** A token that was new and refused all the same, by somebody who does not say why: another one would not help. */
  let hopeless: string | undefined;

  const authorize = request.use((async (config: Config) => {
    const url = new URL(axios.getUri(config as never), runtime.location?.href ?? 'http://localhost');
    if (config.headers.has('Authorization') || !client.covers(url)) return config;
    const token = await client.accessToken();
    if (token === null) return config;
    config.headers.set('Authorization', `Bearer ${token}`);
    return Object.assign(config, { latchkey: { isReplay: false, ...config.latchkey, token } });
  }) as unknown as Interceptor);

  const replay = response.use(null, (async (failure: Failure) => {
    const { config, response: answer } = failure;
    const sent = config?.latchkey;
    const verdict = answer?.headers['x-auth-status'];
    if (!config || !answer || !sent || !refusesToken(answer.status, verdict)) throw failure;
    if (sent.isReplay) hopeless = sent.token;
    if (sent.isReplay || (!verdict && sent.token === hopeless)) throw failure;
    await client.renew(sent.token);
    const { data } = config;
    if (typeof data === 'object' && data && (data.pipe || data.getReader)) {
      throw new AuthError(
        'body_not_replayable',
        'The body was a stream, and is spent: send the request again',
      );
    }
    config.headers.delete('Authorization');
    return axios.request({ ...config, latchkey: { ...sent, isReplay: true } } as never);
  }) as unknown as Interceptor);

  return () => {
    request.eject(authorize);
    response.eject(replay);
  };
}
