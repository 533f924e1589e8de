import type { AccountStore } from '../src/accounts/account-store.js';
import type { CredentialStore } from '../src/accounts/credential-store.js';
import type { SecurityEvent } from '../src/audit/events.js';
import type { Metrics } from '../src/audit/metrics.js';
import { AuthError } from '../src/errors.js';
import type { OtpStore } from '../src/otp/otp-store.js';

/** The same store, and the stores in it, each call timed as one of SQL. */
export function timed<Store extends object>(store: Store, metrics: Metrics): Store {
  const parts = Object.entries(store).map(([name, part]) => {
    if (typeof part === 'function') return [name, timedCall(part.bind(store), metrics)];
    return [name, timed(part, metrics)];
  });
  return Object.fromEntries(parts) as Store;
}

type Call = (...args: unknown[]) => Promise<unknown>;

function timedCall(call: Call, metrics: Metrics): Call {
  return async (...args) => {
    const startedAt = performance.now();
    let hasFailed = false;
    try {
      return await call(...args);
    } catch (error) {
      hasFailed = error instanceof AuthError && error.code === 'store_unavailable';
      throw error;
    } finally {
      metrics.countStoreCall('sql', performance.now() - startedAt, hasFailed);
    }
  };
}

/** Counts the events that a transaction stores by itself, once it has: no recorder ever sees them. */
export const countingEvents = (accounts: AccountStore, { countEvent }: Metrics): AccountStore => ({
  ...accounts,
  async insert(account, event) {
    const result = await accounts.insert(account, event);
    if ('user' in result) countEvent(event.type);
    return result;
  },
  async claimByPhone(claim, event) {
    const user = await accounts.claimByPhone(claim, event);
    if (user) countEvent(event.type);
    return user;
  },
  async erase(id, at) {
    const wasThere = await accounts.erase(id, at);
    if (wasThere) countEvent('account_deleted');
    return wasThere;
  },
});

/** The same of changes of passwords and addresses. */
export function countingChanges(credentials: CredentialStore, { countEvent }: Metrics): CredentialStore {
  const counted =
    <Change, Result>(change: (input: Change, event: SecurityEvent) => Promise<Result>) =>
    async (input: Change, event: SecurityEvent): Promise<Result> => {
      const result = await change(input, event);
      if (result && !(typeof result === 'object' && 'taken' in result)) countEvent(event.type);
      return result;
    };
  return {
    changePassword: counted(credentials.changePassword),
    resetByEmail: counted(credentials.resetByEmail),
    resetByPhone: counted(credentials.resetByPhone),
    verifyEmail: counted(credentials.verifyEmail),
    changeEmail: counted(credentials.changeEmail),
    changePhone: counted(credentials.changePhone),
  };
}

/** Counts what typed codes were, and what the spend guard thought of the sends. */
export const countingCodes = (otp: OtpStore, metrics: Metrics): OtpStore => ({
  ...otp,
  async countSend(send) {
    const verdict = await otp.countSend(send);
    if (verdict.status === 'counted' || verdict.status === 'denied') {
      const mode = verdict.status === 'denied' ? 'deny' : 'record';
      for (const kind of verdict.suspicions) metrics.countSuspicion(kind, mode);
    }
    return verdict;
  },
  async answerChallenge(answer) {
    const verdict = await otp.answerChallenge(answer);
    metrics.countTypedCode(verdict.status);
    return verdict;
  },
});
