/** Why a session ended. Callers see it as `reason`. */
export const END_REASONS = [
  'logout',
  'logout_all',
  'session_deleted',
  'reuse',
  'expired',
  'password_change',
  'password_reset',
  'account_disabled',
  'account_deleted',
  'identity_verified',
  'admin',
  'unknown',
] as const;

export type EndReason = (typeof END_REASONS)[number];
