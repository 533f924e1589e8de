import type { EventRecorder, EventStore, StoredEvent } from '../audit/events.js';
import type { FieldCode } from '../contract/codes.js';
import { AuthError, type FieldFault } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { newAccountId, newTokenId } from '../lib/ids.js';
import type { TriedIdentifier } from '../security/login-limits.js';
import type { Client, Session, SessionService, TokenPair } from '../tokens/session-service.js';
import type { LimitState, StateStore } from '../tokens/state-store.js';
import type { AccountStore, LoginIdentifier, NewAccount, Profile, UniqueField } from './account-store.js';
import { type Identifier, normalizeEmail, normalizeName, normalizeUsername } from './identifiers.js';
import type { PasswordHasher } from './password-hasher.js';
import { checkPassword, normalizePassword } from './password-policy.js';
import type { EndReason, User } from './user.js';

export interface Registration {
  email: string;
  password: string;
  passwordAgain?: string | undefined;
  username?: string | undefined;
  firstName?: string | undefined;
  lastName?: string | undefined;
  userType?: string | undefined;
}

export interface ProfileChange {
  firstName?: string | undefined;
  lastName?: string | undefined;
  username?: string | undefined;
  userType?: string | undefined;
}

export interface AccountPolicy {
  registration: 'open' | 'closed';
  defaultRole: string;
  userTypes: readonly string[];
  passwordBlocklist: boolean;
}

export interface AccountServiceNeeds {
  accounts: AccountStore;
  eventStore: EventStore;
  events: EventRecorder;
  state: StateStore;
  sessions: SessionService;
  hasher: PasswordHasher;
  limits: { countTry(identifier: TriedIdentifier, ip: string): Promise<LimitState | undefined> };
  policy: AccountPolicy;
  now: Clock;
  /** Told when a change was committed but its snapshot could not be written; the fence covers for it. */
  onTrouble(error: unknown): void;
}

export interface SignedIn {
  user: User;
  permissions: readonly string[];
  pair: TokenPair;
  limit: LimitState | undefined;
}

export type AccountService = ReturnType<typeof createAccountService>;

/** Registering, logging in, and what people do with their own account. */
export function createAccountService(needs: AccountServiceNeeds) {
  const { accounts, eventStore, events, state, sessions, hasher, limits, policy, now } = needs;

  /**
   * Makes an account and signs its owner in. The session is opened first and the account committed last, so
   * that a store which fails in between leaves a session nobody holds instead of half an account.
   * @throws registration_closed, invalid_request, weak_password, password_mismatch, email_taken, username_taken,
   *   overloaded, store_unavailable
   */
  async function register(input: Registration, client: Client): Promise<SignedIn> {
    if (policy.registration === 'closed') throw new AuthError('registration_closed');
    const { email, username, firstName, lastName, userType } = readRegistration(input);
    await requireGoodPassword(input.password, {
      email: email.display,
      username: username?.display,
      firstName,
      lastName,
    });
    await requireFree({ email, username, phone: null });

    const account: NewAccount = {
      id: newAccountId(),
      email,
      username,
      phone: null,
      passwordHash: await hasher.hash(normalizePassword(input.password)),
      firstName,
      lastName,
      userType,
      role: policy.defaultRole,
      dateJoined: now(),
    };
    const { pair, user } = await openFirstSession(account, client);
    return { user, permissions: await sessions.permissionsOf(user), pair, limit: undefined };
  }

  function readRegistration(input: Registration) {
    const faults: FieldFault[] = [];
    const email = normalizeEmail(input.email);
    if (!email) faults.push({ field: 'email', code: 'invalid_format' });
    const profile = readProfile(input, faults);
    if (faults.length > 0 || !email) throw new AuthError('invalid_request', { errors: faults });
    const { password, passwordAgain = password } = input;
    if (normalizePassword(passwordAgain) !== normalizePassword(password)) {
      throw new AuthError('password_mismatch', { errors: [{ field: 'password2', code: 'mismatch' }] });
    }
    return {
      email,
      username: profile.username ?? null,
      firstName: profile.firstName ?? '',
      lastName: profile.lastName ?? '',
      userType: profile.userType ?? null,
    };
  }

  function readProfile(input: ProfileChange, faults: FieldFault[]): Profile {
    const profile: Profile = {};
    const read = <T>(
      field: string,
      raw: string | undefined,
      parse: (raw: string) => T | undefined,
      code: FieldCode,
    ) => {
      if (raw === undefined) return undefined;
      const value = parse(raw);
      if (value === undefined) faults.push({ field, code });
      return value;
    };
    const username = read<Identifier>('username', input.username, normalizeUsername, 'invalid_format');
    const firstName = read('first_name', input.firstName, normalizeName, 'invalid_format');
    const lastName = read('last_name', input.lastName, normalizeName, 'invalid_format');
    const known = (type: string) => (policy.userTypes.includes(type) ? type : undefined);
    const userType = read('user_type', input.userType, known, 'invalid_value');
    if (username) profile.username = username;
    if (firstName !== undefined) profile.firstName = firstName;
    if (lastName !== undefined) profile.lastName = lastName;
    if (userType !== undefined) profile.userType = userType;
    return profile;
  }

  async function requireGoodPassword(
    password: string,
    own: { email?: string; username?: string | undefined; firstName?: string; lastName?: string },
  ): Promise<void> {
    const fault = await checkPassword(password, own, { blocklist: policy.passwordBlocklist });
    if (fault) throw new AuthError('weak_password', { errors: [{ field: 'password', ...fault }] });
  }

  async function requireFree(account: Pick<NewAccount, 'email' | 'username' | 'phone'>): Promise<void> {
    const taken = await accounts.findTaken(account);
    if (taken.length > 0) throw takenError(taken);
  }

  async function openFirstSession(
    account: NewAccount,
    client: Client,
  ): Promise<{ pair: TokenPair; user: User }> {
    const { sign, sessionId, generation } = await sessions.prepare(
      { id: account.id, authVersion: 1 },
      client,
    );
    const event = events.prepare({ type: 'registered', userId: account.id, sessionId, client });
    const result = await accounts.insert(account, event);
    if ('taken' in result) {
      await sessions.discard(account.id, sessionId);
      throw takenError([result.taken]);
    }
    await cacheSnapshot(result.user, generation);
    return { user: result.user, pair: await sign(result.user) };
  }

  /** So that the first request costs no more than any other; without it that request asks SQL. */
  async function cacheSnapshot(user: User, generation: string): Promise<void> {
    try {
      await state.cacheUser({ user, generation, now: now() });
    } catch (error) {
      needs.onTrouble(error);
    }
  }

  /**
   * Signs in by password. Whatever is wrong, the answer and the work are the same.
   * @throws rate_limited, invalid_credentials, account_disabled, overloaded, store_unavailable
   */
  async function login(
    names: { email?: string; username?: string },
    password: string,
    client: Client,
  ): Promise<SignedIn> {
    // What cannot be anybody's identifier is treated like one nobody has.
    const tried = readLoginIdentifier(names) ?? { kind: 'username', key: '' };
    const limit = await limits.countTry(tried, client.ip);
    const account = await accounts.findByIdentifier(tried);
    const matches = await hasher.verify(account?.passwordHash, normalizePassword(password));
    if (!account || !matches) {
      events.record({ type: 'login_failed', userId: account?.user.id, client });
      throw new AuthError('invalid_credentials', { limit });
    }
    if (!account.user.isActive) throw new AuthError('account_disabled');

    const user = { ...account.user, lastLogin: now() };
    await accounts.recordLogin(user.id, user.lastLogin, await rehash(account.passwordHash, password));
    const { pair, sessionId } = await sessions.open(user, client);
    events.record({ type: 'login', userId: user.id, sessionId, client });
    return { user, permissions: await sessions.permissionsOf(user), pair, limit };
  }

  async function rehash(
    stored: string | null,
    password: string,
  ): Promise<{ from: string; to: string } | undefined> {
    if (!stored || !hasher.isOutdated(stored)) return undefined;
    return { from: stored, to: await hasher.hash(normalizePassword(password)) };
  }

  /** @throws invalid_request, username_taken, store_unavailable */
  async function updateProfile(userId: string, input: ProfileChange, client: Client): Promise<User> {
    const faults: FieldFault[] = [];
    const profile = readProfile(input, faults);
    if (faults.length > 0) throw new AuthError('invalid_request', { errors: faults });
    const result = await changeUser(userId, () => accounts.updateProfile(userId, profile));
    if (!result) throw new AuthError('token_revoked', { why: 'the account is gone' });
    if ('taken' in result) throw takenError([result.taken]);
    events.record({ type: 'profile_changed', userId, client });
    return result.user;
  }

  /**
   * Proves again, by password, that the bearer of a token is the owner of the account; it counts as a login.
   * @throws rate_limited, invalid_credentials, overloaded, store_unavailable
   */
  async function requirePassword(userId: string, password: string, client: Client): Promise<void> {
    const limit = await limits.countTry({ kind: 'id', key: userId }, client.ip);
    const stored = await accounts.findPasswordHash(userId);
    if (!(await hasher.verify(stored, normalizePassword(password)))) {
      events.record({ type: 'login_failed', userId, client });
      throw new AuthError('invalid_credentials', { limit });
    }
  }

  /** Deletes the account with its personal data and ends its sessions. @throws as requirePassword */
  async function remove(userId: string, password: string, client: Client): Promise<void> {
    await requirePassword(userId, password, client);
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

  /** The epoch has ended them; this removes the addresses and devices they were opened from. */
  async function forgetSessions(userId: string): Promise<void> {
    try {
      await state.forgetSessions({ userId });
    } catch (error) {
      needs.onTrouble(error);
    }
  }

  /** Lets an account in again or shuts it out, ending its sessions at once. `false`: no such account. */
  async function setActive(userId: string, active: boolean): Promise<boolean> {
    const reason = 'account_disabled';
    const result = await changeUser(
      userId,
      async () => {
        const user = await accounts.setActive(userId, active, reason);
        return user && { user };
      },
      active ? undefined : reason,
    );
    if (result) await events.store({ type: active ? 'account_enabled' : 'account_disabled', userId });
    return result !== undefined;
  }

  /**
   * Changes an account in SQL so that no process goes on believing in what it was: first the fence (if that
   * fails nothing has changed), then SQL, then the new snapshot. If the last step fails the change stands, and
   * the fence, or the missing snapshot after it, makes everybody ask SQL.
   */
  async function changeUser<T extends { user: User | null } | { taken: UniqueField } | undefined>(
    userId: string,
    change: () => Promise<T>,
    endSessions?: EndReason,
  ): Promise<T> {
    const fenceId = newTokenId();
    await state.fenceUser({ userId, fenceId, now: now() });
    const result = await change();
    try {
      const changed = result !== undefined && 'user' in result;
      const user = changed ? result.user : ((await accounts.findById(userId)) ?? null);
      await state.publishUser({
        userId,
        fenceId,
        user,
        endSessions: changed ? endSessions : undefined,
        now: now(),
      });
    } catch (error) {
      needs.onTrouble(error);
    }
    return result;
  }

  /** Everything that is stored about the user. */
  async function exportAll(
    user: User,
    currentSessionId: string,
  ): Promise<{ sessions: Session[]; events: StoredEvent[] }> {
    await events.flush();
    const [open, happened] = await Promise.all([
      sessions.list(user.id, currentSessionId),
      allEvents(user.id),
    ]);
    return { sessions: open, events: happened };
  }

  async function allEvents(userId: string): Promise<StoredEvent[]> {
    const all: StoredEvent[] = [];
    for (let before: number | undefined; ; before = all.at(-1)?.id) {
      const page = await eventStore.listOfUser(userId, { before, limit: 500 });
      all.push(...page);
      if (page.length < 500) return all;
    }
  }

  /** The user's own events, newest first, with all that this process knows; `before` is the cursor. */
  async function activity(
    userId: string,
    page: { before?: number | undefined; limit: number },
  ): Promise<StoredEvent[]> {
    await events.flush();
    return eventStore.listOfUser(userId, page);
  }

  return { register, login, updateProfile, remove, setActive, exportAll, activity };
}

/** Which account is meant; `undefined` when the text can be nobody's. */
function readLoginIdentifier(input: { email?: string; username?: string }): LoginIdentifier | undefined {
  const [kind, found] =
    input.email === undefined
      ? (['username', normalizeUsername(input.username ?? '')] as const)
      : (['email', normalizeEmail(input.email)] as const);
  return found && { kind, key: found.key };
}

function takenError(taken: UniqueField[]): AuthError {
  const code = ({ email: 'email_taken', username: 'username_taken', phone: 'phone_taken' } as const)[
    taken[0] as UniqueField
  ];
  return new AuthError(code, { errors: taken.map((field) => ({ field, code: 'taken' })) });
}
