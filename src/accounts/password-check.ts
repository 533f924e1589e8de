import type { EventRecorder } from '../audit/events.js';
import { AuthError } from '../errors.js';
import type { LoginLimits } from '../security/login-limits.js';
import type { Client } from '../tokens/session-service.js';
import type { LimitState } from '../tokens/state-store.js';
import type { AccountStore } from './account-store.js';
import type { PasswordHasher } from './password-hasher.js';
import { checkPassword, type OwnData } from './password-policy.js';

export interface PasswordCheckNeeds {
  accounts: Pick<AccountStore, 'findPasswordHash'>;
  events: EventRecorder;
  hasher: PasswordHasher;
  limits: LoginLimits;
  blocklist: boolean;
}

export type PasswordCheck = ReturnType<typeof createPasswordCheck>;

/** Whether a password is good enough for an account, and whether somebody knows it. */
export function createPasswordCheck({ accounts, events, hasher, limits, blocklist }: PasswordCheckNeeds) {
  /** `field`: where it stood in the body. @throws weak_password */
  async function requireGood(password: string, own: OwnData, field = 'password'): Promise<void> {
    const fault = await checkPassword(password, own, { blocklist });
    if (fault) throw new AuthError('weak_password', { errors: [{ field, ...fault }] });
  }

  /** @throws overloaded */
  const hash = (password: string): Promise<string> => hasher.hash(password);

  /**
   * Proves again, by password, that the bearer of a token is the owner of the account; it counts as a login. Gives what
   * the caller's device is to be remembered as.
   * @throws rate_limited, account_delayed, invalid_credentials, overloaded, store_unavailable
   */
  async function prove(
    userId: string,
    password: string,
    client: Client,
  ): Promise<{ deviceId: string; limit: LimitState | undefined }> {
    const attempt = await limits.countTry({ kind: 'id', key: userId }, userId, client);
    const matches = await attempt.run(async () => {
      const stored = await accounts.findPasswordHash(userId);
      const matches = await hasher.verify(stored, password);
      await (matches ? attempt.endRow() : attempt.settle());
      return matches;
    });
    if (matches) return attempt;
    events.record({ type: 'login_failed', userId, client });
    throw new AuthError('invalid_credentials', { limit: attempt.limit });
  }

  return { requireGood, hash, prove };
}
