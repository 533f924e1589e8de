import type { Test } from 'tap';

export interface RequestOptions {
  /** Sent as `Authorization: Bearer`. */
  token?: string;
  headers?: Record<string, string>;
}

/** `body` is undefined at run time when the answer is not JSON; its type is the caller's expectation. */
export interface ApiResponse<Body = Record<string, unknown>> {
  status: number;
  headers: Headers;
  body: Body;
  text: string;
}

export type Api = ReturnType<typeof api>;

/**
 * A client for one server. Plain objects are sent as JSON; a string or URLSearchParams goes as it is.
 * Redirects are answers, not followed.
 */
export function api(base: string) {
  async function send<Body>(method: string, path: string, body: unknown, options: RequestOptions = {}) {
    const raw = typeof body === 'string' || body instanceof URLSearchParams;
    const headers = {
      ...(body !== undefined && !raw && { 'content-type': 'application/json' }),
      ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
      ...options.headers,
    };
    const payload = raw ? body : body === undefined ? undefined : JSON.stringify(body);
    const response = await fetch(new URL(path, base), { method, headers, body: payload, redirect: 'manual' });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parse(text) as Body, text };
  }
  return {
    get: <Body = Record<string, unknown>>(
      path: string,
      options?: RequestOptions,
    ): Promise<ApiResponse<Body>> => send('GET', path, undefined, options),
    post: <Body = Record<string, unknown>>(
      path: string,
      body?: unknown,
      options?: RequestOptions,
    ): Promise<ApiResponse<Body>> => send('POST', path, body, options),
    patch: <Body = Record<string, unknown>>(
      path: string,
      body?: unknown,
      options?: RequestOptions,
    ): Promise<ApiResponse<Body>> => send('PATCH', path, body, options),
    delete: <Body = Record<string, unknown>>(
      path: string,
      options?: RequestOptions & { body?: unknown },
    ): Promise<ApiResponse<Body>> => send('DELETE', path, options?.body, options),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Traces of the inside that no caller may see. */
const LEAKS = ['ECONN', 'ioredis', 'stack', 'node_modules', 'Error:', 'redis', 'postgres', 'SELECT '];

/** Asserts that the answer is a problem (RFC 9457) with this status and code, and that it gives nothing away. */
export function problem(t: Test, response: ApiResponse, status: number, code: string): void {
  const body: Record<string, unknown> = response.body ?? {};
  t.equal(response.status, status, `status ${status}`);
  t.match(response.headers.get('content-type'), /^application\/problem\+json\b/, 'is a problem document');
  t.equal(body.code, code, `code ${code}`);
  t.equal(body.status, status, 'repeats the status in the body');
  t.ok(typeof body.request_id === 'string' && body.request_id !== '', 'names the request');
  t.same(
    LEAKS.filter((leak) => response.text.includes(leak)),
    [],
    'gives nothing away',
  );
}
