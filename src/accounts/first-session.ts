import type { EventRecorder } from '../audit/events.js';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import type { Client, SessionService, TokenPair } from '../tokens/session-service.js';
import type { StateStore } from '../tokens/state-store.js';
import type { AccountStore, NewAccount, UniqueField } from './account-store.js';
import type { User } from './user.js';

export interface FirstSessionNeeds {
  accounts: AccountStore;
  events: EventRecorder;
  state: StateStore;
  sessions: SessionService;
  now: Clock;
  /** Told when the snapshot of the new account could not be written: the first request asks SQL instead. */
  onTrouble(error: unknown): void;
}

/**
 * Makes an account and signs its owner in. The session is opened first and the account committed last, so
 * that a store which fails in between leaves a session nobody holds instead of half an account.
 * @throws email_taken, username_taken, phone_taken, store_unavailable
 */
export async function openFirstSession(
  { accounts, events, state, sessions, now, onTrouble }: FirstSessionNeeds,
  account: NewAccount,
  client: Client,
  deviceId: string,
): Promise<{ pair: TokenPair; user: User }> {
  const { sign, sessionId, generation } = await sessions.prepare(
    { id: account.id, authVersion: 1 },
    client,
    deviceId,
  );
  const event = events.prepare({ type: 'registered', userId: account.id, sessionId, client });
  const result = await accounts.insert(account, event);
  if ('taken' in result) {
    await sessions.discard(account.id, sessionId);
    throw takenError([result.taken]);
  }
  const { user } = result;
  // So that the first request costs no more than any other; without it that request asks SQL.
  await state.cacheUser({ user, generation, now: now() }).catch(onTrouble);
  return { user, pair: await sign(user) };
}

export function takenError(taken: readonly UniqueField[]): AuthError {
  const code = ({ email: 'email_taken', username: 'username_taken', phone: 'phone_taken' } as const)[
    taken[0] as UniqueField
  ];
  return new AuthError(code, { errors: taken.map((field) => ({ field, code: 'taken' })) });
}
