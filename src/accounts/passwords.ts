import type { Locale } from '../contract/messages.js';
import { AuthError } from '../errors.js';
import type { OtpService, Proof } from '../otp/otp-service.js';
import type { DeviceCookies } from '../security/device-cookies.js';
import type { LoginStore } from '../security/login-store.js';
import type { MailLimits } from '../security/mail-limits.js';
import type { Client, SessionService } from '../tokens/session-service.js';
import type { LimitState } from '../tokens/state-store.js';
import { type AccountChangesNeeds, createAccountChanges } from './account-changes.js';
import type { AccountMail } from './account-mail.js';
import type { SignedIn } from './account-service.js';
import type { CredentialStore } from './credential-store.js';
import { normalizeEmail } from './identifiers.js';
import type { PasswordCheck } from './password-check.js';
import { normalizePassword } from './password-policy.js';
import type { Tickets } from './tickets.js';
import type { User } from './user.js';

export interface PasswordsNeeds extends AccountChangesNeeds {
  credentials: CredentialStore;
  check: PasswordCheck;
  sessions: SessionService;
  devices: DeviceCookies;
  logins: Pick<LoginStore, 'endRow'>;
  otp: Pick<OtpService, 'prove' | 'send'>;
  tickets: Tickets;
  mail: AccountMail;
  limits: MailLimits;
  /** From a number as it was typed to E.164. */
  readPhone(raw: string): string | undefined;
}

export type Passwords = ReturnType<typeof createPasswords>;

/** Changing a password, and getting a new one without the old. */
export function createPasswords(needs: PasswordsNeeds) {
  const { accounts, credentials, check, events, sessions, devices, otp, tickets, mail, limits } = needs;
  const { changeUser } = createAccountChanges(needs);

  /**
   * Changes the password of somebody signed in: every session ends, and the caller gets a new one.
   * @throws weak_password, token_revoked when the account changed meanwhile, and as `prove` does
   */
  async function change(
    user: User,
    { current, next }: { current: string; next: string },
    client: Client,
    locale: Locale,
  ): Promise<SignedIn> {
    await check.requireGood(next, user, 'new_password');
    requireAnother(current, next);
    const userId = user.id;
    const { deviceId, limit } = await check.prove(userId, current, client);
    const passwordHash = await check.hash(next);

    const reason = 'password_change';
    const result = await changeUser(
      userId,
      async () => {
        const event = events.prepare({ type: 'password_changed', userId, reason, client });
        const { authVersion } = user;
        const changed = await credentials.changePassword({ userId, authVersion, passwordHash }, event);
        return changed && { user: changed };
      },
      reason,
    );
    // Somebody reset it, or the account was disabled, while this was under way: that stands.
    if (!result) throw new AuthError('token_revoked', { why: 'the account has changed' });
    const [{ pair }] = await Promise.all([
      sessions.open(result.user, client, deviceId),
      mail.notify('password_changed', user.email, locale),
    ]);
    return {
      user: result.user,
      permissions: await sessions.permissionsOf(result.user),
      pair,
      deviceCookie: devices.write(deviceId, userId),
      limit,
    };
  }

  /**
   * Sends a link by which a new password may be chosen. Whether or not there is such an account, the same statements
   * and commands run; only the message is or is not handed on.
   * @throws invalid_request, delivery_unavailable, rate_limited, store_unavailable
   */
  async function forgotByEmail(
    typed: string,
    client: Client,
    locale: Locale,
  ): Promise<LimitState | undefined> {
    const email = normalizeEmail(typed);
    if (!email) {
      throw new AuthError('invalid_request', { errors: [{ field: 'email', code: 'invalid_format' }] });
    }
    mail.requireOpen();
    const { key } = email;
    const { limit } = await limits.countReset(client.ip, `email:${key}`);
    const found = (await accounts.findByIdentifier({ kind: 'email', key }))?.user;
    const user = found?.isActive ? found : undefined;
    const token = await tickets.open({
      kind: 'reset',
      userId: user?.id ?? '',
      emailKey: key,
      authVersion: user?.authVersion ?? 0,
    });
    events.record({
      type: user ? 'password_reset_requested' : 'password_reset_withheld',
      userId: found?.id,
      client,
    });
    await mail.sendLink('reset', { to: user?.email ?? undefined, token, locale });
    return limit;
  }

  /**
   * Sends a code by which a new password may be chosen. Where none is sent (it is too soon after another, or nothing
   * can be delivered) it does not count.
   * @throws rate_limited, and as `send` does
   */
  async function forgotByPhone(
    phone: string,
    client: Client,
    locale: Locale,
  ): Promise<LimitState | undefined> {
    const number = needs.readPhone(phone);
    // What is no number costs nobody anything: `send` says what is wrong with it.
    const counted = number === undefined ? undefined : await limits.countReset(client.ip, `phone:${number}`);
    try {
      await otp.send({ phone, purpose: 'reset', locale }, client);
    } catch (error) {
      await counted?.takeBack();
      throw error;
    }
    return counted?.limit;
  }

  /**
   * Sets a new password by the link of an e-mail. A password that is refused does not spend the link.
   * @throws ticket_invalid, weak_password, overloaded, store_unavailable
   */
  async function resetByTicket(
    { token, password }: { token: string; password: string },
    client: Client,
    locale: Locale,
  ): Promise<void> {
    const { userId, authVersion, emailKey } = await tickets.find(token, 'reset');
    const user = await accounts.findById(userId);
    if (!user?.isActive || user.authVersion !== authVersion) throw new AuthError('ticket_invalid');
    if (normalizeEmail(user.email ?? '')?.key !== emailKey) throw new AuthError('ticket_invalid');
    await check.requireGood(password, user, 'new_password');
    const passwordHash = await check.hash(password);

    const isDone = await reset(user, client, locale, (event) =>
      tickets.spend(token, () =>
        credentials.resetByEmail({ userId, authVersion, emailKey, passwordHash }, event),
      ),
    );
    if (!isDone) throw new AuthError('ticket_invalid');
  }

  /**
   * Sets a new password by a code. Of what a password may not be, its owner's data is compared only once the code has
   * shown who asks: anybody could find it out here otherwise. For a password refused then, the code is given back.
   * @throws weak_password, account_disabled, overloaded, and as `prove` does
   */
  async function resetByCode(
    { phone, otp: code, password }: { phone: string; otp: string; password: string },
    client: Client,
    locale: Locale,
  ): Promise<void> {
    await check.requireGood(password, { phone: needs.readPhone(phone) ?? phone }, 'new_password');
    const proof = await otp.prove({ phone, purpose: 'reset', code }, client);
    proof.settle();
    const { owner } = proof;
    // It was deleted, or its number changed, while the code was on its way.
    if (!owner) throw new AuthError('otp_invalid');
    if (!owner.isActive) throw new AuthError('account_disabled');

    const isDone = await unlessRefused(proof, async () => {
      await check.requireGood(password, owner, 'new_password');
      const passwordHash = await check.hash(password);
      const { id: userId, authVersion } = owner;
      return reset(owner, client, locale, (event) =>
        credentials.resetByPhone({ userId, authVersion, phone: proof.phone, passwordHash }, event),
      );
    });
    if (!isDone) throw new AuthError('otp_invalid');
  }

  async function reset(
    { id: userId }: User,
    client: Client,
    locale: Locale,
    change: (event: ReturnType<typeof events.prepare>) => Promise<User | undefined>,
  ): Promise<boolean> {
    const reason = 'password_reset';
    const result = await changeUser(
      userId,
      async () => {
        const user = await change(events.prepare({ type: 'password_reset', userId, reason, client }));
        return user && { user };
      },
      reason,
    );
    if (!result) return false;
    // Whoever is kept waiting by it has a password now that nobody has tried.
    await needs.logins
      .endRow({ account: userId, deviceId: undefined, now: needs.now() })
      .catch(needs.onTrouble);
    await mail.notify('password_changed', result.user.email, locale);
    return true;
  }

  return { change, forgotByEmail, forgotByPhone, resetByTicket, resetByCode };
}

/** Whoever changes it because somebody else may know it would be none the safer. */
function requireAnother(current: string, next: string): void {
  if (normalizePassword(current) !== normalizePassword(next)) return;
  throw new AuthError('weak_password', { errors: [{ field: 'new_password', code: 'unchanged' }] });
}

/** What a code was for did not come about, and not because of the code. */
async function unlessRefused<T>(proof: Proof, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await proof.giveBack().catch(() => undefined);
    throw error;
  }
}
