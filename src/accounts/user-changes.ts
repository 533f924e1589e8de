import type { EventType, Happening } from '../audit/events.js';
import { AuthError, type FieldFault } from '../errors.js';
import type { Client } from '../tokens/session-service.js';
import { type AccountChangesNeeds, createAccountChanges } from './account-changes.js';
import type { UserField } from './authority.js';
import { takenError } from './first-session.js';
import { normalizeEmail } from './identifiers.js';
import { readProfile } from './profile.js';
import type { EndReason } from './user.js';
import type { ChangeMoment, UserAdminStore, UserChange, UserChanged } from './user-admin-store.js';

/** What is to become of an account, as it was typed. */
export interface UserEdit {
  firstName?: string | undefined;
  lastName?: string | undefined;
  username?: string | undefined;
  email?: string | undefined;
  isActive?: boolean | undefined;
  role?: string | undefined;
  isStaff?: boolean | undefined;
  isSuperuser?: boolean | undefined;
}

/** Whose change it is: somebody's of staff, or an operator's at the terminal. */
export interface Author {
  actorId?: string | undefined;
  client?: Client | undefined;
}

export interface UserChangesNeeds extends AccountChangesNeeds {
  store: UserAdminStore;
  /** Told of what a transaction has stored: no recorder sees it. */
  countEvent(type: EventType): void;
}

/** Changes of accounts by others than their owners. */
export function createUserChanges(needs: UserChangesNeeds) {
  const { store, events, countEvent } = needs;
  const { changeUser } = createAccountChanges(needs);

  /**
   * Changes the account everywhere at once, and stores who did it. Disabling ends its sessions, and so does another
   * address: whoever had the account may have asked for links. Any other change keeps them, and they show it.
   * @throws not_found, invalid_request, email_taken, username_taken, store_unavailable; forbidden when no active
   *   superuser would be left; and what `judge` throws
   */
  async function change(
    userId: string,
    edit: UserEdit,
    { actorId, client }: Author,
    judge: (moment: ChangeMoment) => void,
  ): Promise<UserChanged> {
    const wanted = readEdit(edit);
    const tell = (changed: UserChanged) =>
      whatHappened(changed).map((happening) => events.prepare({ ...happening, userId, actorId, client }));
    const outcome = await changeUser(userId, async () => {
      const made = await store.change({ userId, actorId, change: wanted }, judge, tell);
      return made && 'after' in made
        ? { ...made, user: made.after.user, endSessions: whySessionsEnd(made) }
        : made;
    });
    if (!outcome) throw new AuthError('not_found');
    if ('taken' in outcome) throw takenError([outcome.taken]);
    for (const { type } of whatHappened(outcome)) countEvent(type);
    // As it was published: SQL may have yet to hear of the last login.
    const { before, after, user } = outcome;
    return { before, after: { ...after, user } };
  }

  return { change };
}

/** The fields that an edit names. */
export const fieldsOf = (edit: UserEdit): UserField[] =>
  (Object.keys(FIELDS) as (keyof UserEdit)[])
    .filter((name) => edit[name] !== undefined)
    .map((name) => FIELDS[name]);

const FIELDS: Record<keyof UserEdit, UserField> = {
  firstName: 'first_name',
  lastName: 'last_name',
  username: 'username',
  email: 'email',
  isActive: 'is_active',
  role: 'role',
  isStaff: 'is_staff',
  isSuperuser: 'is_superuser',
};

function readEdit({ email: typed, isActive, role, isStaff, isSuperuser, ...names }: UserEdit): UserChange {
  const faults: FieldFault[] = [];
  const { firstName, lastName, username } = readProfile(names, { userTypes: [] }, faults);
  const email = typed === undefined ? undefined : normalizeEmail(typed);
  if (typed !== undefined && !email) faults.push({ field: 'email', code: 'invalid_format' });
  if (faults.length > 0) throw new AuthError('invalid_request', { errors: faults });
  return { firstName, lastName, username, email, isActive, role, isStaff, isSuperuser };
}

const whySessionsEnd = ({ before, after }: UserChanged): EndReason | undefined =>
  before.user.authVersion === after.user.authVersion ? undefined : (after.user.authReason ?? undefined);

/** What was asked for and was so already has not happened. */
function whatHappened({ before: { user: before }, after: { user: after } }: UserChanged): Happening[] {
  const isChanged = (...fields: (keyof typeof before)[]) =>
    fields.some((name) => before[name] !== after[name]);
  const happened: Happening[] = [];
  if (isChanged('firstName', 'lastName', 'username')) happened.push({ type: 'profile_changed' });
  if (isChanged('email')) happened.push({ type: 'email_changed' });
  if (isChanged('role'))
    happened.push({ type: 'role_changed', detail: { role: after.role, former_role: before.role } });
  if (isChanged('isStaff')) happened.push({ type: after.isStaff ? 'staff_granted' : 'staff_withdrawn' });
  if (isChanged('isSuperuser'))
    happened.push({ type: after.isSuperuser ? 'superuser_granted' : 'superuser_withdrawn' });
  if (isChanged('isActive'))
    happened.push(
      after.isActive ? { type: 'account_enabled' } : { type: 'account_disabled', reason: 'account_disabled' },
    );
  return happened;
}
