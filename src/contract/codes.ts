/** The closed list of failures a caller can meet; `code` of every problem document. */
export const CODES = [
  'invalid_request',
  'weak_password',
  'password_mismatch',
  'invalid_phone',
  'otp_invalid',
  'otp_expired',
  'ticket_invalid',
  'invalid_credentials',
  'token_missing',
  'token_invalid',
  'token_expired',
  'token_revoked',
  'token_reused',
  'session_ended',
  'account_disabled',
  'forbidden',
  'csrf_failed',
  'registration_closed',
  'not_found',
  'email_taken',
  'username_taken',
  'phone_taken',
  'body_too_large',
  'unsupported_media_type',
  'rate_limited',
  'otp_cooldown',
  'otp_attempts_exceeded',
  'account_delayed',
  'internal_error',
  'store_unavailable',
  'overloaded',
  'delivery_unavailable',
] as const;

export type Code = (typeof CODES)[number];

/** What is wrong with a single field; `errors[].code`. */
export type FieldCode =
  | 'required'
  | 'unknown'
  | 'invalid_type'
  | 'invalid_format'
  | 'invalid_value'
  | 'too_short'
  | 'too_long'
  | 'too_small'
  | 'too_large'
  | 'too_common'
  | 'own_data'
  | 'taken'
  | 'mismatch'
  | 'unchanged'
  | 'unverified';
