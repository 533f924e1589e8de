import { createHmac } from 'node:crypto';
import type { LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import { type SignedUp, TEST_KEY } from '../support/app.js';

export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  request_id: string;
  reason?: string;
  errors?: { field: string; message: string; code: string }[];
}

export interface Expected {
  reason?: string;
  /** `field:code` of each refused field, in any order. */
  fields?: string[];
}

/** What `X-Auth-Status` says when a token is refused. */
const AUTH_STATUS: Record<string, string> = {
  token_invalid: 'invalid',
  token_expired: 'expired',
  token_revoked: 'revoked',
  token_reused: 'revoked',
  session_ended: 'revoked',
};

const BEARER = 'Bearer realm="latchkey"';
const LEAKS =
  /ECONN|ioredis|libsql|argon2|node_modules|Error:|redis|postgres|sqlite|SELECT |\bat .+:\d+:\d+/i;

/** Asserts a problem document (RFC 9457) to its last key, with the headers that belong to its status. */
export function expectProblem(
  t: Test,
  response: LightMyRequestResponse,
  status: number,
  code: string,
  { reason, fields }: Expected = {},
): ProblemBody {
  const { headers } = response;
  const body: ProblemBody = response.json();
  const named = fields ?? body.errors?.map((error) => `${error.field}:${error.code}`);
  t.strictSame(
    {
      status: response.statusCode,
      code: body.code,
      inBody: body.status,
      type: body.type,
      reason: body.reason,
      fields: body.errors?.map((error) => `${error.field}:${error.code}`).sort(),
      requestId: body.request_id,
      contentType: headers['content-type'],
      cacheControl: headers['cache-control'],
      authStatus: AUTH_STATUS[code] ? headers['x-auth-status'] : undefined,
      challenge: headers['www-authenticate'],
      retryAfter: /^[1-9]\d*$/.test(String(headers['retry-after'])),
      keys: Object.keys(body).filter((key) => !KEYS.has(key)),
      leaks: LEAKS.exec(response.body)?.[0],
    },
    {
      status,
      code,
      inBody: status,
      type: `urn:latchkey:problem:${code}`,
      reason,
      fields: named && [...named].sort(),
      requestId: headers['x-request-id'],
      contentType: 'application/problem+json; charset=utf-8',
      cacheControl: 'no-store',
      authStatus: AUTH_STATUS[code],
      challenge: challengeOf(status, code),
      retryAfter: status === 429 || status === 503,
      keys: [],
      leaks: undefined,
    },
    `${status} ${code}`,
  );
  return body;
}

const KEYS = new Set(['type', 'title', 'status', 'detail', 'code', 'request_id', 'reason', 'errors']);

function challengeOf(status: number, code: string): string | undefined {
  if (status !== 401) return undefined;
  const refused = code.startsWith('token_') && code !== 'token_missing';
  return refused ? `${BEARER}, error="invalid_token"` : BEARER;
}

export type Claims = Record<string, unknown> & { iat: number; exp: number; jti: string; sid: string };

export interface Decoded {
  header: Record<string, unknown>;
  claims: Claims;
}

export function decode(token: string): Decoded {
  const [header, claims] = token.split('.', 2).map((part) => Buffer.from(part, 'base64url').toString());
  return { header: JSON.parse(header!), claims: JSON.parse(claims!) };
}

/** A signed token of whatever is given; objects become JSON, strings are taken as they are. */
export function forge(
  header: unknown,
  payload: unknown,
  { key = TEST_KEY, hash = 'sha256' }: { key?: string; hash?: string } = {},
): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`;
}

export const encode = (part: unknown): string =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url');

export const refreshWith = (refresh: unknown) =>
  ({ method: 'POST', url: '/api/auth/refresh', payload: { refresh } }) as const;

export const verifyOf = (token: unknown) =>
  ({ method: 'POST', url: '/api/auth/verify', payload: { token } }) as const;

export const meOf = (token: string) =>
  ({ url: '/api/auth/me', headers: { authorization: `Bearer ${token}` } }) as const;

export type Pair = Pick<SignedUp, 'access' | 'refresh'> & {
  expires_in: number;
  refresh_expires_in: number;
};
