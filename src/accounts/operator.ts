import { AuthError, type FieldFault } from '../errors.js';
import { isAccountId, newAccountId } from '../lib/ids.js';
import type { LoginIdentifier } from './account-store.js';
import type { Standing } from './authority.js';
import { takenError } from './first-session.js';
import { normalizeEmail, normalizeUsername } from './identifiers.js';
import type { PasswordHasher } from './password-hasher.js';
import { checkPassword } from './password-policy.js';
import { createUserChanges, type UserChangesNeeds, type UserEdit } from './user-changes.js';
import { type ReadPhone, readSearch, type UserSearch } from './user-search.js';

export interface OperatorNeeds extends UserChangesNeeds {
  hasher: Pick<PasswordHasher, 'hash'>;
  policy: { defaultRole: string; passwordBlocklist: boolean };
  readPhone: ReadPhone;
}

export interface OperatorsUser {
  email: string;
  password: string;
  username?: string | undefined;
  /** The default role when left out. */
  role?: string | undefined;
  isStaff: boolean;
  isSuperuser: boolean;
}

export type Operator = ReturnType<typeof createOperator>;

/**
 * What those do who run the service, from its own machine: nobody's account asks, so only one rule holds, that an
 * active superuser must be left. Running servers believe it at once, as they do what staff change.
 */
export function createOperator(needs: OperatorNeeds) {
  const { store, accounts, events, countEvent, hasher, policy, now } = needs;
  const changes = createUserChanges(needs);

  /**
   * Makes an account whose address is verified. It is the only way to the first one of staff.
   * @throws invalid_request, weak_password, email_taken, username_taken, store_unavailable
   */
  async function create(input: OperatorsUser): Promise<Standing> {
    const { isStaff, isSuperuser, role = policy.defaultRole, password } = input;
    const { email, username } = readNames(input);
    const own = { email: email.display, username: username?.display };
    const fault = await checkPassword(password, own, { blocklist: policy.passwordBlocklist });
    if (fault) throw new AuthError('weak_password', { errors: [{ field: 'password', ...fault }] });

    const userId = newAccountId();
    const account = {
      id: userId,
      email,
      username: username ?? null,
      phone: null,
      passwordHash: await hasher.hash(password),
      firstName: '',
      lastName: '',
      userType: null,
      role,
      isStaff,
      isSuperuser,
      dateJoined: now(),
    };
    const happened = [
      events.prepare({ type: 'account_created', userId, detail: { role } }),
      ...(isStaff ? [events.prepare({ type: 'staff_granted', userId })] : []),
      ...(isSuperuser ? [events.prepare({ type: 'superuser_granted', userId })] : []),
    ];
    const made = await store.insert(account, happened);
    if ('taken' in made) throw takenError([made.taken]);
    for (const { type } of happened) countEvent(type);
    return made.standing;
  }

  /** @throws not_found, invalid_request, forbidden when no active superuser would be left, store_unavailable */
  async function change(userId: string, edit: UserEdit): Promise<Standing> {
    return (await changes.change(userId, edit, {}, () => undefined)).after;
  }

  /** The account that somebody means by an id, an e-mail address, a number or a username. @throws not_found */
  async function resolve(typed: string): Promise<Standing> {
    const who = typed.trim();
    const id = isAccountId(who.toLowerCase()) ? who.toLowerCase() : await findId(who);
    const found = id && (await store.find(id));
    if (!found) throw new AuthError('not_found');
    return found;
  }

  async function findId(who: string): Promise<string | undefined> {
    const identifier = readIdentifier(who, needs.readPhone);
    return identifier && (await accounts.findByIdentifier(identifier))?.user.id;
  }

  const search = (typed: UserSearch): Promise<Standing[]> => store.search(readSearch(typed, needs.readPhone));

  return { create, change, resolve, search };
}

function readNames({ email: typedEmail, username: typedUsername }: OperatorsUser) {
  const email = normalizeEmail(typedEmail);
  const username = typedUsername === undefined ? undefined : normalizeUsername(typedUsername);
  const faults: FieldFault[] = [];
  if (!email) faults.push({ field: 'email', code: 'invalid_format' });
  if (typedUsername !== undefined && !username) faults.push({ field: 'username', code: 'invalid_format' });
  if (faults.length > 0 || !email) throw new AuthError('invalid_request', { errors: faults });
  return { email, username };
}

/** Without doubt: a username has no `@` and never reads as a phone number. */
function readIdentifier(who: string, readPhone: ReadPhone): LoginIdentifier | undefined {
  const phone = readPhone(who);
  if (phone !== undefined) return { kind: 'phone', key: phone };
  const [kind, found] = who.includes('@')
    ? (['email', normalizeEmail(who)] as const)
    : (['username', normalizeUsername(who)] as const);
  return found && { kind, key: found.key };
}
