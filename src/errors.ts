import type { Code, FieldCode } from './contract/codes.js';

/** One field that was refused. `code` picks the message in the caller's language; `limit` fills it. */
export interface FieldFault {
  field: string;
  code: FieldCode;
  limit?: number;
}

export interface AuthErrorDetails {
  /** Fields at fault, for 400 and 409. */
  errors?: FieldFault[];
  /** Why a session ended; the caller sees it as `reason`. */
  reason?: string;
  /** Seconds until another try makes sense: the `Retry-After` of 429 and 503. */
  retryAfter?: number | undefined;
  /** The limit that refused, for the `RateLimit-*` headers. `retryAfter` follows from it. */
  limit?: SpentLimit | undefined;
  /** What really happened. Goes to the log, never to the caller. */
  cause?: unknown;
  /** Why, in a few words, for the log at `debug`. Never contains a secret, never reaches the caller. */
  why?: string;
  /** What exactly is wrong with a token, in a stable word, for the old systems that told their callers more. */
  finding?: string;
}

export interface SpentLimit {
  max: number;
  remaining: number;
  /** Milliseconds until the window ends. */
  resetMs: number;
}

/**
 * A failure with a code of the closed list. What HTTP makes of it (status, headers, text) is decided in
 * `plugins/errors.ts`: nothing here knows about HTTP, and the message is the code itself.
 */
export class AuthError extends Error {
  readonly code: Code;
  readonly errors: FieldFault[] | undefined;
  readonly reason: string | undefined;
  readonly retryAfter: number | undefined;
  readonly limit: SpentLimit | undefined;
  readonly why: string | undefined;
  readonly finding: string | undefined;

  constructor(code: Code, details: AuthErrorDetails = {}) {
    super(code, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'AuthError';
    this.code = code;
    this.errors = details.errors;
    this.reason = details.reason;
    this.limit = details.limit;
    this.retryAfter =
      details.retryAfter ?? (details.limit && Math.max(1, Math.ceil(details.limit.resetMs / 1000)));
    this.why = details.why ?? details.finding;
    this.finding = details.finding;
  }
}

/** A store that did not answer in time, or answered with a fault of its own: never a verdict on a token. */
export function storeUnavailable(cause: unknown): AuthError {
  return new AuthError('store_unavailable', { retryAfter: 1, cause });
}
