import type { EventRecorder } from '../audit/events.js';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { newTokenId } from '../lib/ids.js';
import type { StateStore } from '../tokens/state-store.js';
import type { AccountStore, UniqueField } from './account-store.js';
import type { EndReason, User } from './user.js';

export interface AccountChangesNeeds {
  accounts: AccountStore;
  events: EventRecorder;
  state: StateStore;
  now: Clock;
  /** Told when a change was committed but its snapshot could not be written; the fence covers for it. */
  onTrouble(error: unknown): void;
}

/** What became of an account: `null`, it is gone. */
interface Changed {
  user: User | null;
  endSessions?: EndReason | undefined;
}

export type AccountChanges = ReturnType<typeof createAccountChanges>;

/** Changes that every process must believe in from the moment they are answered. */
export function createAccountChanges({ accounts, events, state, now, onTrouble }: AccountChangesNeeds) {
  /**
   * Changes an account in SQL so that no process goes on believing in what it was: first the fence (if that
   * fails nothing has changed), then SQL, then the new snapshot. If the last step fails the change stands, and
   * the fence, or the missing snapshot after it, makes everybody ask SQL. Sessions end for the reason given here, or
   * for one that the change itself comes with. A login that SQL has yet to hear of is not forgotten over it.
   */
  async function changeUser<T extends Changed | { taken: UniqueField } | undefined>(
    userId: string,
    change: () => Promise<T>,
    endSessions?: EndReason,
  ): Promise<T> {
    const fenceId = newTokenId();
    const lastLogin = await state.fenceUser({ userId, fenceId, now: now() });
    let result: T;
    try {
      result = await change();
      if (result && 'user' in result) result = { ...result, user: withLogin(result.user, lastLogin) };
    } catch (error) {
      // Refused, so nothing has changed. After any other failure nobody knows, and the fence stays.
      if (error instanceof AuthError && error.code !== 'store_unavailable') await publish(undefined);
      throw error;
    }
    await publish(result);
    return result;

    async function publish(outcome: T | undefined): Promise<void> {
      try {
        const changed = outcome !== undefined && 'user' in outcome;
        const user = changed ? outcome.user : withLogin((await accounts.findById(userId)) ?? null, lastLogin);
        await state.publishUser({
          userId,
          fenceId,
          user,
          endSessions: changed ? (outcome.endSessions ?? endSessions) : undefined,
          now: now(),
        });
      } catch (error) {
        onTrouble(error);
      }
    }
  }

  /**
   * Deletes the account with its personal data and ends its sessions. Whoever asks has proved to be its owner.
   * @throws forbidden when no active superuser would be left
   */
  async function erase(userId: string): Promise<void> {
    // Events still waiting would come back after the account's own were made anonymous.
    await events.flush();
    await changeUser(
      userId,
      async () => {
        await accounts.erase(userId, now());
        return { user: null };
      },
      'account_deleted',
    );
    await forgetSessions(userId);
  }

  /** Ends every session of a user, and every token that has none. */
  async function endSessions(userId: string, reason: EndReason): Promise<void> {
    await changeUser(
      userId,
      async () => {
        const user = await accounts.endSessions(userId, reason);
        return user && { user };
      },
      reason,
    );
  }

  /** The epoch has ended them; this removes the addresses and devices they were opened from. */
  async function forgetSessions(userId: string): Promise<void> {
    try {
      await state.forgetSessions({ userId });
    } catch (error) {
      onTrouble(error);
    }
  }

  return { changeUser, erase, endSessions };
}

const withLogin = <U extends User | null>(user: U, lastLogin = 0): U =>
  user && lastLogin > (user.lastLogin ?? 0) ? { ...user, lastLogin } : user;
