import type { EventStore, StoredEvent } from '../audit/events.js';
import { AuthError } from '../errors.js';
import { isAccountId } from '../lib/ids.js';
import type { Client, Session, SessionService } from '../tokens/session-service.js';
import { requireAbove, requireMayChange, type Standing } from './authority.js';
import { createUserChanges, fieldsOf, type UserChangesNeeds, type UserEdit } from './user-changes.js';
import { type ReadPhone, readSearch, type UserSearch } from './user-search.js';

export interface UserAdminNeeds extends UserChangesNeeds {
  eventStore: EventStore;
  sessions: Pick<SessionService, 'list' | 'endAll'>;
  readPhone: ReadPhone;
  /** Tells whoever reads mail at an address that an account does not have it any more. */
  tellMoved(oldEmail: string): Promise<void>;
}

/** Somebody of staff who asks. */
export interface Asking {
  actorId: string;
  client: Client;
}

export type UserAdmin = ReturnType<typeof createUserAdmin>;

/**
 * What staff do with other people's accounts. What a caller may do at all is the routes' business; here is what nobody
 * may do to somebody who may do more. Both are judged by SQL, at the moment of the change.
 */
export function createUserAdmin(needs: UserAdminNeeds) {
  const { store, eventStore, events, state, sessions } = needs;
  const { change: changeUser } = createUserChanges(needs);

  /** So that those of this process show. A database that takes no writes can be read all the same. */
  const storeLogins = (): Promise<void> => events.flush().catch(() => undefined);

  /** A page, and where the next one begins. @throws store_unavailable */
  async function search(typed: UserSearch): Promise<{ users: Standing[]; next: number | undefined }> {
    const { limit } = typed;
    await storeLogins();
    const found = await store.search(readSearch({ ...typed, limit: limit + 1 }, needs.readPhone));
    const users = found.slice(0, limit);
    return { users, next: found.length > limit ? users.at(-1)?.user.legacyId : undefined };
  }

  /** The account, with all that this process knows of its last login. @throws not_found, store_unavailable */
  async function read(userId: string): Promise<Standing> {
    await storeLogins();
    return find(userId);
  }

  /** @throws not_found, store_unavailable */
  async function find(userId: string): Promise<Standing> {
    const found = isAccountId(userId) ? await store.find(userId) : undefined;
    if (!found) throw new AuthError('not_found');
    return found;
  }

  /** @throws as `createUserChanges`' `change` does; forbidden where the caller's own authority ends */
  async function change(userId: string, edit: UserEdit, { actorId, client }: Asking): Promise<Standing> {
    // A fence is not set for whoever is not there.
    await find(userId);
    const fields = fieldsOf(edit);
    const { before, after } = await changeUser(userId, edit, { actorId, client }, (moment) =>
      requireMayChange(moment.actor, moment.target, { fields, newPermissions: moment.newPermissions }),
    );
    const oldEmail = before.user.email;
    if (oldEmail !== null && oldEmail !== after.user.email) await needs.tellMoved(oldEmail);
    return after;
  }

  async function requireTarget(userId: string, actorId: string): Promise<void> {
    const [target, actor] = await Promise.all([find(userId), store.find(actorId)]);
    requireAbove(actor, target);
  }

  /** Ends every session of somebody. @throws not_found, forbidden, store_unavailable */
  async function endSessions(userId: string, { actorId, client }: Asking): Promise<void> {
    await requireTarget(userId, actorId);
    await sessions.endAll(userId, 'admin');
    await events.store({ type: 'sessions_ended_by_staff', userId, actorId, reason: 'admin', client });
  }

  /** Ends one session of somebody. @throws not_found, forbidden, store_unavailable */
  async function endSession(userId: string, sessionId: string, { actorId, client }: Asking): Promise<void> {
    await requireTarget(userId, actorId);
    const wasLive = await state.endSession({ userId, sessionId, reason: 'admin' });
    if (!wasLive) throw new AuthError('not_found');
    const reason = 'admin';
    await events.store({ type: 'sessions_ended_by_staff', userId, actorId, sessionId, reason, client });
  }

  /** @throws not_found, store_unavailable */
  async function sessionsOf(userId: string, currentSessionId: string): Promise<Session[]> {
    const { user } = await find(userId);
    return sessions.list(user.id, currentSessionId);
  }

  /** The account's events, newest first. @throws not_found, store_unavailable */
  async function activity(
    userId: string,
    page: { before?: number | undefined; limit: number },
  ): Promise<StoredEvent[]> {
    const { user } = await find(userId);
    await events.flush();
    return eventStore.list({ userId: user.id }, page);
  }

  return { search, read, change, endSessions, endSession, sessionsOf, activity };
}
