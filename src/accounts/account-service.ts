import type { EventFilter, EventRecorder, EventStore, StoredEvent } from '../audit/events.js';
import type { Locale } from '../contract/messages.js';
import { AuthError, type FieldFault } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { newAccountId, newDeviceId } from '../lib/ids.js';
import type { DeviceCookies } from '../security/device-cookies.js';
import type { LoginLimits, PasswordTry } from '../security/login-limits.js';
import type { LoginStore } from '../security/login-store.js';
import type { LegacyTokenStore, RevokedToken } from '../tokens/legacy-store.js';
import type { Client, Session, SessionService, TokenPair } from '../tokens/session-service.js';
import type { LimitState, StateStore } from '../tokens/state-store.js';
import { createAccountChanges } from './account-changes.js';
import type { AccountStore, LoginIdentifier, NewAccount } from './account-store.js';
import type { DrfTokenStore, StoredDrfToken } from './drf-tokens.js';
import type { EmailVerification } from './email-verification.js';
import { openFirstSession, takenError } from './first-session.js';
import { normalizeEmail, normalizeUsername } from './identifiers.js';
import { noteLogin } from './note-login.js';
import type { PasswordCheck } from './password-check.js';
import type { PasswordHasher } from './password-hasher.js';
import { normalizePassword } from './password-policy.js';
import { type ProfileChange, readProfile } from './profile.js';
import type { User } from './user.js';

export interface Registration {
  email: string;
  password: string;
  passwordAgain?: string | undefined;
  username?: string | undefined;
  firstName?: string | undefined;
  lastName?: string | undefined;
  userType?: string | undefined;
}

/** One of them, as it was typed. */
export interface LoginNames {
  email?: string | undefined;
  username?: string | undefined;
  phone?: string | undefined;
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
  legacyTokens: Pick<LegacyTokenStore, 'listRevoked'>;
  drfTokens: Pick<DrfTokenStore, 'list'>;
  events: EventRecorder;
  state: StateStore;
  sessions: SessionService;
  hasher: PasswordHasher;
  check: PasswordCheck;
  verification: EmailVerification;
  limits: LoginLimits;
  logins: Pick<LoginStore, 'listDevices'>;
  devices: DeviceCookies;
  policy: AccountPolicy;
  /** From a number as it was typed to E.164. */
  readPhone(raw: string): string | undefined;
  now: Clock;
  /** Told when a change was committed but its snapshot could not be written; the fence covers for it. */
  onTrouble(error: unknown): void;
}

export interface SignedIn {
  user: User;
  permissions: readonly string[];
  pair: TokenPair;
  /** For the browser to be known by at the next login. */
  deviceCookie: string;
  limit: LimitState | undefined;
}

export interface AccountExport {
  sessions: Session[];
  revokedTokens: RevokedToken[];
  keys: StoredDrfToken[];
  /** When each known device last logged in (ms). */
  deviceLogins: number[];
  eventPages: AsyncIterable<StoredEvent[]>;
  /** What the user did to others, as one of staff. */
  actPages: AsyncIterable<StoredEvent[]>;
}

export type AccountService = ReturnType<typeof createAccountService>;

/** So many events of an export are in memory at once. */
const EXPORT_PAGE = 500;

/** Registering, logging in, and what people do with their own account. */
export function createAccountService(needs: AccountServiceNeeds) {
  const {
    accounts,
    eventStore,
    events,
    sessions,
    hasher,
    check,
    verification,
    limits,
    devices,
    policy,
    now,
  } = needs;
  const { changeUser, erase } = createAccountChanges(needs);

  /**
   * Makes an account and signs its owner in. The session is opened first and the account committed last, so
   * that a store which fails in between leaves a session nobody holds instead of half an account.
   *
   * Where addresses must be confirmed first nobody is signed in (`undefined`): see `registerUnconfirmed`.
   * @throws registration_closed, invalid_request, weak_password, password_mismatch, email_taken, username_taken,
   *   overloaded, store_unavailable; delivery_unavailable where addresses must be confirmed
   */
  async function register(
    input: Registration,
    client: Client,
    locale?: Locale,
  ): Promise<SignedIn | undefined> {
    const isUnconfirmed = verification.mode === 'required';
    if (policy.registration === 'closed') throw new AuthError('registration_closed');
    const { email, username, firstName, lastName, userType } = readRegistration(input);
    await check.requireGood(input.password, {
      email: email.display,
      username: username?.display,
      firstName,
      lastName,
    });
    if (isUnconfirmed) verification.requireOpen();
    // The address is no answer where it must not be told.
    await requireFree({ email: isUnconfirmed ? null : email, username, phone: null });

    const account: NewAccount = {
      id: newAccountId(),
      email,
      username,
      phone: null,
      passwordHash: await check.hash(input.password),
      firstName,
      lastName,
      userType,
      role: policy.defaultRole,
      dateJoined: now(),
    };
    if (isUnconfirmed) {
      await registerUnconfirmed({ ...account, isSignedIn: false }, email.key, client, locale);
      return undefined;
    }
    const deviceId = newDeviceId();
    const { pair, user } = await openFirstSession(needs, account, client, deviceId);
    if (verification.mode === 'optional') await verification.askQuietly(user, locale);
    return {
      user,
      permissions: await sessions.permissionsOf(user),
      pair,
      deviceCookie: devices.write(deviceId, user.id),
      limit: undefined,
    };
  }

  /**
   * Whether the address is new or has an account is told in its mail and nowhere else. Either way the same is done: the
   * account is inserted, an event is stored, a ticket is made and a message is handed on. An account that has the
   * address but never confirmed it is told of too: its owner resets the password, which proves the address.
   */
  async function registerUnconfirmed(
    account: NewAccount,
    emailKey: string,
    client: Client,
    locale: Locale | undefined,
  ): Promise<void> {
    await verification.limits.countConfirm(`email:${emailKey}`);
    const findOwner = async () => (await accounts.findByIdentifier({ kind: 'email', key: emailKey }))?.user;
    let owner = await findOwner();
    const event = events.prepare({ type: 'registered', userId: account.id, client });
    const result = await accounts.insert(account, event);
    if ('user' in result) return verification.answerRegistration(result.user, undefined, locale);
    if (result.taken !== 'email') throw takenError([result.taken]);
    // Somebody may have taken it between the two.
    owner ??= await findOwner();
    await events.store({ type: 'registration_repeated', userId: owner?.id, client });
    await verification.answerRegistration(undefined, owner, locale);
  }

  function readRegistration(input: Registration) {
    const faults: FieldFault[] = [];
    const email = normalizeEmail(input.email);
    if (!email) faults.push({ field: 'email', code: 'invalid_format' });
    const profile = readProfile(input, policy, faults);
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

  async function requireFree(account: Pick<NewAccount, 'email' | 'username' | 'phone'>): Promise<void> {
    const taken = await accounts.findTaken(account);
    if (taken.length > 0) throw takenError(taken);
  }

  /**
   * Signs in by password. Whatever is wrong, the answer and the work are the same.
   * @throws rate_limited, account_delayed, invalid_credentials, account_disabled, overloaded, store_unavailable;
   *   forbidden while the address has not been confirmed
   */
  async function login(
    names: LoginNames,
    password: string,
    client: Client,
    locale?: Locale,
  ): Promise<SignedIn> {
    // What cannot be anybody's identifier is treated like one nobody has.
    const tried = readLoginIdentifier(names, needs.readPhone) ?? { kind: 'username', key: '' };
    const account = await accounts.findByIdentifier(tried);
    const attempt = await limits.countTry(tried, account?.user.id, client);
    const signedIn = await attempt.run(async () => {
      const matches = await hasher.verify(account?.passwordHash, password);
      if (account && matches) return signIn(account, password, client, attempt, locale);
      await attempt.settle();
      return undefined;
    });
    if (signedIn) return signedIn;
    events.record({ type: 'login_failed', userId: account?.user.id, client });
    throw new AuthError('invalid_credentials', { limit: attempt.limit });
  }

  /** After the right password. */
  async function signIn(
    { user: found, passwordHash }: { user: User; passwordHash: string | null },
    password: string,
    client: Client,
    attempt: PasswordTry,
    locale: Locale | undefined,
  ): Promise<SignedIn> {
    if (!found.isActive) throw new AuthError('account_disabled');
    if (verification.isMissing(found)) {
      // Whoever cannot sign in cannot ask for the link again.
      await verification.askQuietly(found, locale);
      throw new AuthError('forbidden', { errors: [{ field: 'email', code: 'unverified' }] });
    }
    const rehashed = await rehash(passwordHash, password);
    const at = now();
    const user = await noteLogin(needs, found, at, rehashed);
    const { limit, deviceId } = attempt;
    const [{ pair, sessionId }] = await Promise.all([
      sessions.open(user, client, deviceId),
      attempt.settle(),
    ]);
    events.record({ type: 'login', at, userId: user.id, sessionId, client });
    const permissions = await sessions.permissionsOf(user);
    return { user, permissions, pair, deviceCookie: devices.write(deviceId, user.id), limit };
  }

  async function rehash(
    stored: string | null,
    password: string,
  ): Promise<{ from: string; to: string } | undefined> {
    if (!stored || !hasher.isOutdated(stored)) return undefined;
    try {
      return { from: stored, to: await hasher.hash(password) };
    } catch (error) {
      // The next login will do: nobody with the right password is refused because others wait for their hashes.
      if (error instanceof AuthError && error.code === 'overloaded') return undefined;
      throw error;
    }
  }

  /** @throws invalid_request, username_taken, store_unavailable */
  async function updateProfile(userId: string, input: ProfileChange, client: Client): Promise<User> {
    const faults: FieldFault[] = [];
    const profile = readProfile(input, policy, faults);
    if (faults.length > 0) throw new AuthError('invalid_request', { errors: faults });
    const result = await changeUser(userId, () => accounts.updateProfile(userId, profile));
    if (!result) throw new AuthError('token_revoked', { why: 'the account is gone' });
    if ('taken' in result) throw takenError([result.taken]);
    events.record({ type: 'profile_changed', userId, client });
    return result.user;
  }

  /** Deletes the account with its personal data and ends its sessions. @throws as `prove` does */
  async function remove(userId: string, password: string, client: Client): Promise<void> {
    await check.prove(userId, password, client);
    await erase(userId);
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
    if (result) {
      await events.store({
        type: active ? 'account_enabled' : 'account_disabled',
        userId,
        reason: active ? undefined : reason,
      });
    }
    return result !== undefined;
  }

  /** Everything that is stored about the user; of the events, years of them, a page at a time. */
  async function exportAll(user: User, currentSessionId: string): Promise<AccountExport> {
    await events.flush();
    const about: EventFilter = { userId: user.id };
    const by: EventFilter = { actorId: user.id };
    const [open, revokedTokens, keys, deviceLogins, firstEvents, firstActs] = await Promise.all([
      sessions.list(user.id, currentSessionId),
      needs.legacyTokens.listRevoked(user.legacyId),
      needs.drfTokens.list(user.legacyId),
      needs.logins.listDevices({ account: user.id, now: now() }),
      pageOfEvents(about, undefined),
      pageOfEvents(by, undefined),
    ]);
    return {
      sessions: open,
      revokedTokens,
      keys,
      deviceLogins,
      eventPages: pagesFrom(about, firstEvents),
      actPages: pagesFrom(by, firstActs),
    };
  }

  const pageOfEvents = (filter: EventFilter, before: number | undefined): Promise<StoredEvent[]> =>
    eventStore.list(filter, { before, limit: EXPORT_PAGE });

  async function* pagesFrom(filter: EventFilter, first: StoredEvent[]): AsyncIterable<StoredEvent[]> {
    for (let page = first; ; page = await pageOfEvents(filter, page.at(-1)?.id)) {
      yield page;
      if (page.length < EXPORT_PAGE) return;
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
function readLoginIdentifier(
  { email, phone, username = '' }: LoginNames,
  readPhone: AccountServiceNeeds['readPhone'],
): LoginIdentifier | undefined {
  if (phone !== undefined) {
    const number = readPhone(phone);
    return number === undefined ? undefined : { kind: 'phone', key: number };
  }
  const [kind, found] =
    email === undefined
      ? (['username', normalizeUsername(username)] as const)
      : (['email', normalizeEmail(email)] as const);
  return found && { kind, key: found.key };
}
