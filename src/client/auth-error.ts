import type { Code } from '../contract/codes.js';
import type { EndReason } from '../contract/end-reasons.js';
import type { ProblemDocument } from '../contract/problem.js';

/**
 * A code of the contract, or what happened before any answer came:
 * `network_error` (offline, no answer in time), `unexpected_answer` (not from Latchkey: a proxy, a captive portal),
 * `body_not_replayable` (the token was renewed, but the body was a stream and is spent: make it again and ask again).
 */
export type ErrorCode = Code | 'network_error' | 'unexpected_answer' | 'body_not_replayable';

export type FieldErrors = NonNullable<ProblemDocument['errors']>;

interface Details {
  status?: number;
  reason?: EndReason | undefined;
  errors?: FieldErrors | undefined;
  retryAfter?: number | undefined;
  requestId?: string | undefined;
  cause?: unknown;
}

/** Whatever goes wrong. Decide by `code`; `message` is for people, in the language of the answer. */
export class AuthError extends Error {
  readonly code: ErrorCode;
  /** Of the HTTP answer; 0 when there was none. */
  readonly status: number;
  /** With `session_ended` and `token_reused`: why. */
  readonly reason: EndReason | undefined;
  /** One entry for each refused field. */
  readonly errors: FieldErrors;
  /** Seconds to wait before asking again. */
  readonly retryAfter: number | undefined;
  /** Quote it when you ask the operator. */
  readonly requestId: string | undefined;

  constructor(code: ErrorCode, message: string, details: Details = {}) {
    super(message, { cause: details.cause });
    this.name = 'AuthError';
    this.code = code;
    this.status = details.status ?? 0;
    this.reason = details.reason;
    this.errors = details.errors ?? [];
    this.retryAfter = details.retryAfter;
    this.requestId = details.requestId;
  }

  /** Does it say that the session is over? Anything else leaves it as it was. */
  get endsSession(): boolean {
    return this.status === 401 && /^(token|session)_/.test(this.code);
  }
}

/** The problem document of an answer. A 401 of somebody else's making must never end a session. */
export async function readFailure(response: Response): Promise<AuthError> {
  const { status, headers } = response;
  const wait = Number.parseInt(headers.get('retry-after') ?? '', 10);
  const retryAfter = Number.isNaN(wait) ? undefined : wait;
  const problem = (await response.json().catch(() => undefined)) as Partial<ProblemDocument> | undefined;
  if (typeof problem?.code !== 'string') {
    return new AuthError('unexpected_answer', `Unexpected answer (${status})`, { status, retryAfter });
  }
  return new AuthError(problem.code as Code, problem.detail ?? problem.title ?? problem.code, {
    status,
    retryAfter,
    reason: problem.reason as EndReason | undefined,
    errors: problem.errors,
    requestId: problem.request_id,
  });
}

/** What `fetch` rejects with says little, and says it differently in every browser. */
export const networkError = (cause?: unknown): AuthError =>
  new AuthError('network_error', 'The server could not be reached', { cause });

/** The body of a success. */
export async function readJson<Body>(response: Response): Promise<Body> {
  const body: unknown = await response.json().catch((cause: unknown) => {
    // A captive portal says 200 to everything; a connection that breaks is something else.
    if (!(cause instanceof SyntaxError)) throw networkError(cause);
  });
  if (typeof body === 'object' && body) return body as Body;
  const { status } = response;
  throw new AuthError('unexpected_answer', `Unexpected answer (${status})`, { status });
}
