import type { Standing } from '../accounts/authority.js';
import type { Operator } from '../accounts/operator.js';
import type { UserEdit } from '../accounts/user-changes.js';
import { fieldMessage } from '../contract/messages.js';
import type { UserDocument } from '../contract/user.js';
import { AuthError } from '../errors.js';
import { UsageError } from './keys.js';

/** What was asked for could not be done; shown without a stack. */
export class Refusal extends Error {
  override name = 'Refusal';
}

export interface UserCommandNeeds {
  operator: Operator;
  /** An account as it is printed with `--json`. */
  describe(standing: Standing): UserDocument;
}

export interface UserOptions {
  email?: string | undefined;
  username?: string | undefined;
  role?: string | undefined;
  staff?: boolean | undefined;
  superuser?: boolean | undefined;
  query?: string | undefined;
  limit?: string | undefined;
  json?: boolean | undefined;
}

/** Makes an account with a verified address; a superuser is also staff unless `--no-staff` says otherwise. */
export async function createUser(
  { operator, describe }: UserCommandNeeds,
  { email, username, role, superuser = false, staff = superuser, json = false }: UserOptions,
  readPassword: () => Promise<string>,
): Promise<string> {
  if (!email) throw new UsageError('Say whose account it is: --email ADDRESS');
  const password = await readPassword();
  const account = { email, password, username, role, isStaff: staff, isSuperuser: superuser };
  const made = await orRefusal(() => operator.create(account));
  if (json) return JSON.stringify(describe(made));
  return `Made the account ${nameOf(made)}: ${standingOf(made)}.\n\n  id  ${made.user.id}`;
}

const PAGE = 100;
const DEFAULT_LIMIT = 50;

/** The newest accounts, or the newest of those found. */
export async function listUsers(
  { operator, describe }: UserCommandNeeds,
  { query: text, role, staff: isStaff, superuser: isSuperuser, limit, json = false }: UserOptions,
): Promise<string> {
  const wanted = limit === undefined ? DEFAULT_LIMIT : readLimit(limit);
  const users: Standing[] = [];
  for (let before: number | undefined; users.length < wanted; before = users.at(-1)?.user.legacyId) {
    const size = Math.min(PAGE, wanted - users.length);
    const search = { text, role, isStaff, isSuperuser, before, limit: size };
    const page = await orRefusal(() => operator.search(search));
    users.push(...page);
    if (page.length < size) break;
  }
  if (json) return JSON.stringify(users.map(describe));
  if (users.length === 0) return 'There are no such accounts.';
  return users.map((one) => `${one.user.id}  ${nameOf(one)}  ${standingOf(one)}`).join('\n');
}

/** Shuts an account out, or lets it in again. */
export async function setUserActive(
  needs: UserCommandNeeds,
  who: string | undefined,
  isActive: boolean,
  { json = false }: UserOptions,
): Promise<string> {
  const { before, after } = await changeUser(needs, who, { isActive });
  if (json) return JSON.stringify(needs.describe(after));
  const state = isActive ? 'enabled' : 'disabled';
  if (before.user.isActive === isActive) return `The account ${nameOf(after)} was ${state} already.`;
  return isActive
    ? `Enabled the account ${nameOf(after)}.`
    : `Disabled the account ${nameOf(after)}. Its sessions have ended, on every server.`;
}

/** Gives or takes away a role, the standing of staff, that of a superuser. */
export async function grantUser(
  needs: UserCommandNeeds,
  who: string | undefined,
  { role, staff: isStaff, superuser: isSuperuser, json = false }: UserOptions,
): Promise<string> {
  if (role === undefined && isStaff === undefined && isSuperuser === undefined)
    throw new UsageError(
      'Say what to grant: --role ROLE, --staff or --no-staff, --superuser or --no-superuser',
    );
  const { after } = await changeUser(needs, who, { role, isStaff, isSuperuser });
  if (json) return JSON.stringify(needs.describe(after));
  return `The account ${nameOf(after)} is now ${standingOf(after)}. Its tokens show it at once.`;
}

async function changeUser({ operator }: UserCommandNeeds, who: string | undefined, edit: UserEdit) {
  if (!who) throw new UsageError('Say which account: its id, e-mail address, username or phone number');
  return orRefusal(async () => {
    const before = await operator.resolve(who);
    return { before, after: await operator.change(before.user.id, edit) };
  });
}

function readLimit(raw: string): number {
  if (!/^[1-9]\d{0,5}$/.test(raw)) throw new UsageError('--limit must be a whole number from 1 to 999999.');
  return Number(raw);
}

/** What a service refuses in codes, in words for whoever sits at the terminal. */
async function orRefusal<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof AuthError ? explain(error) : error;
  }
}

function explain({ code, errors = [], why, cause }: AuthError): Error {
  switch (code) {
    case 'not_found':
      return new Refusal('There is no such account. See: latchkey user list --query TEXT');
    case 'forbidden':
      return new Refusal(`Refused: ${why}.`);
    case 'store_unavailable': {
      const { code: reason = 'no answer' } = (cause ?? {}) as NodeJS.ErrnoException;
      return new Refusal(
        `A store cannot be used (${reason}), so nothing was done: see DATABASE_URL and REDIS_URL.`,
      );
    }
    default:
      break;
  }
  const faults = errors.map(({ field, code: fault, limit }) =>
    field === 'role'
      ? 'There is no such role: name another one by --role, or as DEFAULT_ROLE.'
      : `${field}: ${fieldMessage('en', fault, limit === undefined ? {} : { limit })}`,
  );
  return new (code === 'invalid_request' ? UsageError : Refusal)(faults.join('\n'));
}

/** Of the names that an account has, the first. They may come from an import, and must not drive the terminal. */
const nameOf = ({ user }: Standing): string =>
  (user.email ?? user.username ?? user.phone ?? user.id).replace(/\p{C}/gu, '?');

function standingOf({ user }: Standing): string {
  const parts = [
    ...(user.isSuperuser ? ['superuser'] : []),
    ...(user.isStaff ? ['staff'] : []),
    `role ${user.role.replace(/\p{C}/gu, '?')}`,
    ...(user.isActive ? [] : ['disabled']),
  ];
  return parts.join(', ');
}
