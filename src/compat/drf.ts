import type { Code } from '../contract/codes.js';
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
  const faults = error.errors ?? OWN_FIELD[error.code];
  if (faults && (asked.status === 400 || asked.status === 409)) {
    return { status: 400, body: describeFaults(faults) };
  }
  return { status: asked.status, body: { detail: detailOf(error, asked) } };
}

/** What an error is about where it does not say so. */
const OWN_FIELD: Partial<Record<Code, FieldFault[]>> = {
  otp_invalid: [{ field: 'otp', code: 'invalid_value' }],
  otp_expired: [{ field: 'otp', code: 'invalid_value' }],
};

function detailOf(error: AuthError, { mediaType }: Asked): string {
  switch (error.code) {
    case 'token_missing':
      return 'Authentication credentials were not provided.';
    case 'invalid_credentials':
      return 'No active account found with the given credentials';
    case 'account_disabled':
      return 'User account is disabled.';
    case 'forbidden':
    case 'csrf_failed':
      return 'You do not have permission to perform this action.';
    case 'registration_closed':
      return 'New accounts cannot be created at the moment.';
    case 'not_found':
      return 'Not found.';
    case 'body_too_large':
      return 'Request body is too large.';
    case 'unsupported_media_type':
      return `Unsupported media type "${mediaType}" in request.`;
    case 'rate_limited':
    case 'account_delayed':
    case 'otp_cooldown':
    case 'otp_attempts_exceeded':
      return describeThrottle(error.retryAfter ?? 1);
    case 'store_unavailable':
    case 'overloaded':
    case 'delivery_unavailable':
      return 'Service temporarily unavailable, try again later.';
    case 'internal_error':
      return 'A server error occurred.';
    case 'invalid_request':
      return mediaType === 'application/json'
        ? 'JSON parse error - the body is not valid JSON'
        : 'Malformed request.';
    default:
      return 'Token is invalid or expired';
  }
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
    case 'required':
      return 'This field is required.';
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
    case 'invalid_type':
      return 'Not a valid string.';
    case 'invalid_format':
      return INVALID_FORMAT[field] ?? 'Enter a valid value.';
    case 'invalid_value':
      return field === 'otp' ? 'Invalid or expired code.' : 'This value is not allowed.';
    default:
      return 'Enter a valid value.';
  }
}

const INVALID_FORMAT: Record<string, string> = {
  email: 'Enter a valid email address.',
  username: 'Enter a valid username.',
  phone: 'Enter a valid phone number.',
  otp: 'Enter a valid code.',
};
