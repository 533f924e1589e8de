import type { AuthError, FieldFault } from '../errors.js';
import { type Answer, type Asked, InvalidFields, MethodNotAllowed } from './wording.js';

/** `WWW-Authenticate` of every 401, as SimpleJWT has it. */
export const CHALLENGE = 'Bearer realm="api"';

/**
 * A failure as Django REST Framework tells it: `{detail}`, or the fields at fault with what is wrong with each. What
 * is taken already is a field at fault there, so no conflict.
 */
export function describeInDrf(error: AuthError, asked: Asked): Answer {
  if (error instanceof InvalidFields) return { status: 400, body: error.fields };
  if (error instanceof MethodNotAllowed) {
    return { status: 405, body: { detail: `Method "${asked.method}" not allowed.` } };
  }
  if (error.errors && (asked.status === 400 || asked.status === 409)) {
    return { status: 400, body: describeFaults(error.errors) };
  }
  return { status: asked.status, body: { detail: detailOf(error, asked) } };
}

function detailOf(error: AuthError, { status, contentType }: Asked): string {
  switch (status) {
    case 400:
      return /^application\/json\s*(;|$)/i.test(contentType)
        ? 'JSON parse error - the body is not valid JSON'
        : 'Malformed request.';
    case 401:
      return error.code === 'token_missing'
        ? 'Authentication credentials were not provided.'
        : 'Incorrect authentication credentials.';
    case 403:
      return describeForbidden(error);
    case 404:
      return 'Not found.';
    case 413:
      return 'Request body is too large.';
    case 415:
      return `Unsupported media type "${contentType}" in request.`;
    case 429:
      return describeThrottle(error.retryAfter ?? 1);
    case 503:
      return 'Service temporarily unavailable, try again later.';
    default:
      return 'A server error occurred.';
  }
}

function describeForbidden({ code, errors = [] }: AuthError): string {
  if (errors.some((fault) => fault.code === 'unverified')) return 'The email address is not verified.';
  if (code === 'account_disabled') return 'User account is disabled.';
  if (code === 'registration_closed') return 'New accounts cannot be created at the moment.';
  return 'You do not have permission to perform this action.';
}

const describeThrottle = (seconds: number): string =>
  `Request was throttled. Expected available in ${seconds} second${seconds === 1 ? '' : 's'}.`;

function describeFaults(faults: readonly FieldFault[]): Record<string, string[]> {
  const fields: Record<string, string[]> = {};
  for (const fault of faults) {
    fields[fault.field] = [...(fields[fault.field] ?? []), describeFault(fault)];
  }
  return fields;
}

/** In the words of DRF's fields and of Django's validators of passwords. */
function describeFault({ field, code, limit }: FieldFault): string {
  switch (code) {
    case 'taken':
      return field === 'username'
        ? 'A user with that username already exists.'
        : `user with this ${field} already exists.`;
    case 'mismatch':
      return "Password fields didn't match.";
    case 'too_common':
      return 'This password is too common.';
    case 'own_data':
      return 'The password is too similar to your personal information.';
    case 'too_short':
      return `This password is too short. It must contain at least ${limit} characters.`;
    case 'too_long':
      return `Ensure this field has no more than ${limit} characters.`;
    case 'invalid_value':
      return 'This value is not allowed.';
    default:
      return INVALID_FORMAT[field] ?? 'Enter a valid value.';
  }
}

const INVALID_FORMAT: Record<string, string> = {
  email: 'Enter a valid email address.',
  username: 'Enter a valid username.',
};
