import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { PASSWORD, TEST_KEY } from '../support/app.js';
import { type Api, type ApiResponse, api, problem } from '../support/http.js';
import { freshDatabase } from '../support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { type ServerOptions, withServer } from '../support/server-process.js';

/** What resilience tests give every process: one key, and no limit in the way. */
export const PLAIN = {
  JWT_SIGNING_KEY: TEST_KEY,
  LOG_LEVEL: 'error',
  RATE_LIMIT_LOGIN: 'off',
  RATE_LIMIT_REFRESH: 'off',
  RATE_LIMIT_ANON: 'off',
  RATE_LIMIT_USER: 'off',
} as const;

export interface Tokens {
  access: string;
  refresh: string;
}

export interface Pair extends Tokens {
  expires_in: number;
  refresh_expires_in: number;
}

export interface Person extends Pair {
  email: string;
  user: { id: string };
}

/** Names of the shared servers that are this test's own: a key prefix and a database. */
export const ownStores = async (t: Test): Promise<Record<string, string>> => ({
  REDIS_URL: sharedRedisUrl(),
  REDIS_PREFIX: freshPrefix(t),
  DATABASE_URL: await freshDatabase(t),
});

/** Processes that share their stores; they start side by side. */
export async function fleet(t: Test, size: number, env: ServerOptions['env']): Promise<Api[]> {
  const servers = await Promise.all(Array.from({ length: size }, () => withServer(t, { env })));
  return servers.map(({ url }) => api(url));
}

let people = 0;

export async function register(server: Api): Promise<Person> {
  people += 1;
  const email = `resident${people}.${process.pid}@example.com`;
  const { status, body, text } = await server.post<Person>('/api/auth/register', {
    email,
    password: PASSWORD,
  });
  if (status !== 201) throw new Error(`register answered ${status} ${text}`);
  return { ...body, email };
}

export async function login(server: Api, { email }: { email: string }): Promise<Person> {
  const answer = await server.post<Person>('/api/auth/login', { email, password: PASSWORD });
  if (answer.status !== 200) throw new Error(`login answered ${answer.status} ${answer.text}`);
  return { ...answer.body, email };
}

export const me = (server: Api, access: string) => server.get('/api/auth/me', { token: access });

export const refresh = <Body = Pair>(server: Api, token: string): Promise<ApiResponse<Body>> =>
  server.post<Body>('/api/auth/refresh', { refresh: token });

export const verify = (server: Api, token: string) => server.post('/api/auth/verify', { token });

export const logout = (server: Api, token: string) => server.post('/api/auth/logout', { refresh: token });

export const logoutAll = (server: Api, access: string) =>
  server.post('/api/auth/logout-all', {}, { token: access });

export interface Claims {
  jti: string;
  sid: string;
  sub: string;
  iat: number;
  exp: number;
}

export function claimsOf(token: string): Claims {
  const payload = token.split('.')[1] as string;
  return JSON.parse(Buffer.from(payload, 'base64url').toString());
}

/** One of a list, in turn. */
export const pick = <T>(list: readonly T[], n: number): T => list[n % list.length] as T;

/** Neither token opens anything, by any road, on any of the servers. */
export async function assertDead(
  t: Test,
  servers: readonly Api[],
  tokens: { access?: readonly string[]; refresh?: readonly string[] },
  reason: string,
): Promise<void> {
  const { access = [], refresh: spent = [] } = tokens;
  const seen = await Promise.all(
    servers.flatMap((server) => [
      ...access.flatMap((token) => [
        verdict(me(server, token), 'token_revoked'),
        verdict(verify(server, token), 'token_revoked'),
      ]),
      ...spent.flatMap((token) => [
        verdict(refresh<Record<string, unknown>>(server, token), 'session_ended', reason),
        verdict(verify(server, token), 'session_ended', reason),
      ]),
    ]),
  );
  t.same(new Set(seen), new Set(['refused']), `dead on ${servers.length} server(s): ${reason}`);
}

async function verdict(asked: Promise<ApiResponse>, code: string, reason?: string): Promise<string> {
  const { status, body } = await asked;
  if (status === 401 && body.code === code && (reason === undefined || body.reason === reason))
    return 'refused';
  return `${status} ${String(body.code)} ${String(body.reason)}, expected ${code} ${reason ?? ''}`;
}

/** The session answers to its access token and can be refreshed; gives the new pair. */
export async function assertAlive(t: Test, server: Api, { access, refresh: token }: Tokens): Promise<Pair> {
  t.equal((await me(server, access)).status, 200, 'the access token is good');
  const { status, body, text } = await refresh(server, token);
  t.equal(status, 200, `the refresh token is good ${status === 200 ? '' : text}`);
  return body;
}

/** Polls until it holds; fails after so many seconds, saying how long that was in the name. */
export async function eventually(
  t: Test,
  name: string,
  seconds: number,
  holds: () => Promise<boolean>,
): Promise<void> {
  const start = Date.now();
  let good = await holds();
  while (!good && Date.now() - start < seconds * 1000) {
    await delay(25);
    good = await holds();
  }
  t.ok(good, `${name}, ${((Date.now() - start) / 1000).toFixed(1)} s of ${seconds} s`);
}

export const isReady = async (server: Api): Promise<boolean> => (await server.get('/readyz')).status === 200;

/** Longer than the store's second by what a busy test machine may add. */
const SLOWEST_MS = 1500;

/** Asserts what every answer must be while a store is away: a prompt 503 that gives nothing away. */
export async function assertAway(t: Test, name: string, ask: () => Promise<ApiResponse>): Promise<number> {
  const start = performance.now();
  const response = await ask();
  const took = performance.now() - start;
  await t.test(name, async (t) => {
    problem(t, response, 503, 'store_unavailable');
    t.match(response.headers.get('retry-after'), /^[1-9]\d*$/, 'says when to come back');
    t.equal(response.headers.get('set-cookie'), null, 'leaves cookies alone');
    t.ok(took < SLOWEST_MS, `within ${SLOWEST_MS} ms: ${Math.round(took)} ms`);
  });
  return took;
}
