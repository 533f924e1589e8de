import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Code } from '../src/contract/codes.js';
import { fieldMessage, type Locale, MESSAGES, pickLocale } from '../src/contract/messages.js';
import type { ProblemDocument } from '../src/contract/problem.js';
import { AuthError, type FieldFault } from '../src/errors.js';
import { describeError } from '../src/lib/describe-error.js';
import { setLimitHeaders } from './limit-headers.js';
import type { AuthStatus } from './request-context.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Answers with the problem document of whatever was thrown; the cause goes to the log, never to the caller. */
    sendProblem(
      request: FastifyRequest,
      reply: FastifyReply,
      thrown: unknown,
      dialect?: Dialect,
    ): FastifyReply;
    /** The same in words of somebody else's; what is no matter of words (log, metrics, headers) stays as it is. */
    sendFailure(
      request: FastifyRequest,
      reply: FastifyReply,
      thrown: unknown,
      describe: (error: AuthError, status: number) => Failure,
    ): FastifyReply;
  }
}

/** A failure as its caller will read it. */
export interface Failure {
  status: number;
  body: object;
  contentType: string;
  /** `WWW-Authenticate` of a 401. */
  challenge: string;
  locale: Locale;
}

export interface ErrorsOptions {
  /** For callers who have no preference. */
  defaultLocale: Locale;
}

/** The one place where a code becomes an HTTP status. */
export const STATUS = {
  invalid_request: 400,
  weak_password: 400,
  password_mismatch: 400,
  invalid_phone: 400,
  otp_invalid: 400,
  otp_expired: 400,
  ticket_invalid: 400,
  invalid_credentials: 401,
  token_missing: 401,
  token_invalid: 401,
  token_expired: 401,
  token_revoked: 401,
  token_reused: 401,
  session_ended: 401,
  account_disabled: 403,
  forbidden: 403,
  csrf_failed: 403,
  registration_closed: 403,
  not_found: 404,
  email_taken: 409,
  username_taken: 409,
  phone_taken: 409,
  body_too_large: 413,
  unsupported_media_type: 415,
  rate_limited: 429,
  otp_cooldown: 429,
  otp_attempts_exceeded: 429,
  account_delayed: 429,
  internal_error: 500,
  store_unavailable: 503,
  overloaded: 503,
  delivery_unavailable: 503,
} as const satisfies Record<Code, number>;

/** What a refused token makes of the caller. */
const AUTH_STATUS: Partial<Record<Code, AuthStatus>> = {
  token_invalid: 'invalid',
  token_expired: 'expired',
  token_revoked: 'revoked',
  token_reused: 'revoked',
  session_ended: 'revoked',
};

/** Turns whatever is thrown into a problem document (RFC 9457). */
export default fp<ErrorsOptions>(
  async (app, { defaultLocale }) => {
    app.decorate('sendFailure', (request, reply, thrown, describe) => {
      const error = toAuthError(thrown);
      app.meter.countFailure(error.code);
      const status = STATUS[error.code];
      log(request, error, status);
      return sendFailure(reply, error, describe(error, status));
    });
    app.decorate('sendProblem', (request, reply, thrown, dialect = OWN_DIALECT) => {
      const locale = pickLocale(request.headers['accept-language'], defaultLocale);
      return app.sendFailure(request, reply, thrown, (error, status) => ({
        status,
        body: { error: dialect.error(error.code), ...describeProblem(request.id, error, status, locale) },
        contentType: 'application/problem+json; charset=utf-8',
        challenge: dialect.challenge(error.code),
        locale,
      }));
    });
    app.setErrorHandler((error, request, reply) => app.sendProblem(request, reply, error));
  },
  { name: 'errors', dependencies: ['metrics'] },
);

/** How the routes of another protocol speak of a failure. */
export interface Dialect {
  /** `WWW-Authenticate` of a 401. */
  challenge(code: Code): string;
  /** The member `error` of the document, where that protocol has a word for it. */
  error(code: Code): string | undefined;
}

const OWN_DIALECT: Dialect = { challenge, error: () => undefined };

function sendFailure(reply: FastifyReply, error: AuthError, failure: Failure): FastifyReply {
  const { status, body, contentType, locale } = failure;
  const authStatus = AUTH_STATUS[error.code];
  if (authStatus) reply.header('x-auth-status', authStatus);
  if (status === 401) reply.header('www-authenticate', failure.challenge);
  if (error.limit) setLimitHeaders(reply, error.limit);
  if (status === 429 || status === 503) reply.header('retry-after', error.retryAfter ?? 1);
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .header('content-language', locale)
    .type(contentType)
    .serializer((document: unknown) => JSON.stringify(document))
    .send(body);
}

function describeProblem(
  requestId: string,
  error: AuthError,
  status: number,
  locale: Locale,
): ProblemDocument {
  const { title, detail } = MESSAGES[locale][error.code];
  return {
    type: `urn:latchkey:problem:${error.code}`,
    title,
    status,
    detail,
    code: error.code,
    request_id: requestId,
    ...(error.reason === undefined ? {} : { reason: error.reason }),
    ...(error.errors === undefined
      ? {}
      : {
          errors: error.errors.map(({ field, code, limit }) => ({
            field,
            code,
            message: fieldMessage(locale, code, { limit }),
          })),
        }),
  };
}

/** RFC 6750 §3: no error code for a caller who sent no token. */
export function challenge(code: Code): string {
  const realm = 'Bearer realm="latchkey"';
  return code.startsWith('token_') && code !== 'token_missing' ? `${realm}, error="invalid_token"` : realm;
}

function log(request: FastifyRequest, error: AuthError, status: number): void {
  if (status >= 500) {
    request.log.error({ code: error.code, err: describeError(error.cause ?? error) }, 'request failed');
  } else {
    request.log.debug({ code: error.code, why: error.why, reason: error.reason }, 'request refused');
  }
}

function toAuthError(thrown: unknown): AuthError {
  if (thrown instanceof AuthError) return thrown;
  const error = thrown as Partial<FastifyError>;
  if (Array.isArray(error.validation)) {
    return new AuthError('invalid_request', { errors: fieldFaults(error.validation as Finding[]) });
  }
  switch (error.statusCode) {
    case 413:
      return new AuthError('body_too_large');
    case 415:
      return new AuthError('unsupported_media_type');
    case 404:
      return new AuthError('not_found');
    default:
      break;
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new AuthError('invalid_request', { why: error.code, cause: thrown });
  }
  return new AuthError('internal_error', { cause: thrown });
}

/** What the validator reports: typebox speaks the vocabulary of Ajv. */
interface Finding {
  keyword: string;
  instancePath: string;
  params: Record<string, unknown>;
}

function fieldFaults(findings: Finding[]): FieldFault[] {
  return findings.flatMap(({ keyword, instancePath, params }): FieldFault[] => {
    const path = readPath(instancePath);
    const below = (name: string) => (path ? `${path}.${name}` : name);
    switch (keyword) {
      case 'required':
        return names(params.requiredProperties).map((name) => ({ field: below(name), code: 'required' }));
      // A closed object reports the schema `false` of each unknown field; the validator stops at eight findings.
      case 'boolean':
        return [{ field: path, code: 'unknown' }];
      // Afterwards it names them all once more.
      case 'additionalProperties':
        return [];
      case 'type':
        return [{ field: path, code: 'invalid_type' }];
      case 'minLength':
        return [{ field: path, code: 'too_short', limit: Number(params.limit) }];
      case 'maxLength':
        return [{ field: path, code: 'too_long', limit: Number(params.limit) }];
      case 'minimum':
        return [{ field: path, code: 'too_small', limit: Number(params.limit) }];
      case 'maximum':
        return [{ field: path, code: 'too_large', limit: Number(params.limit) }];
      case 'pattern':
      case 'format':
        return [{ field: path, code: 'invalid_format' }];
      default:
        return [{ field: path, code: 'invalid_value' }];
    }
  });
}

const names = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/** From a JSON pointer (RFC 6901) to a dotted path. Unknown fields are the caller's own words, so it is cut. */
const readPath = (pointer: string): string =>
  pointer.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~').slice(0, 64);
