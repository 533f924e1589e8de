import type { Locale } from '../contract/messages.js';
import { AuthError } from '../errors.js';
import type { OtpService } from '../otp/otp-service.js';
import type { DeviceCookies } from '../security/device-cookies.js';
import type { MailLimits } from '../security/mail-limits.js';
import type { Client } from '../tokens/session-service.js';
import { type AccountChangesNeeds, createAccountChanges } from './account-changes.js';
import type { AccountMail } from './account-mail.js';
import type { CredentialStore } from './credential-store.js';
import type { EmailVerification } from './email-verification.js';
import { takenError } from './first-session.js';
import { normalizeEmail } from './identifiers.js';
import type { PasswordCheck } from './password-check.js';
import type { PhoneCode } from './phone-sign-in.js';
import type { Ticket } from './ticket-store.js';
import type { Tickets } from './tickets.js';
import type { User } from './user.js';

export interface ContactsNeeds extends AccountChangesNeeds {
  credentials: CredentialStore;
  check: PasswordCheck;
  devices: DeviceCookies;
  otp: Pick<OtpService, 'prove'>;
  tickets: Tickets;
  mail: AccountMail;
  limits: MailLimits;
  verification: EmailVerification;
}

export type Contacts = ReturnType<typeof createContacts>;

type TicketOf<Kind> = Extract<Ticket, { kind: Kind }>;

/** The addresses and numbers that people are reached by: proving them, and changing them. */
export function createContacts(needs: ContactsNeeds) {
  const { accounts, credentials, check, devices, events, otp, tickets, mail, limits, verification } = needs;
  const { changeUser } = createAccountChanges(needs);

  /**
   * Confirms an address by the link that was sent there. `caller`: who was signed in when it was opened.
   * @throws ticket_invalid, email_taken, store_unavailable
   */
  async function verifyEmail(
    token: string,
    caller: User | undefined,
    client: Client,
    locale: Locale,
  ): Promise<{ isClaimed: boolean }> {
    const ticket = await tickets.find(token, 'verify', 'email_change');
    const user = await accounts.findById(ticket.userId);
    if (!user?.isActive) throw new AuthError('ticket_invalid');
    if (ticket.kind === 'verify') return confirmEmail(token, ticket, user, caller, client);
    await replaceEmail(token, ticket, user, client, locale);
    return { isClaimed: false };
  }

  /**
   * The link proves who reads the mail, not who made the account: that may have been anybody who knew the address. So
   * it stays as it was only for somebody who is tied to it by more: who is signed in to it, or opens the link on a
   * device that was, or whose registration it still is, to which nobody has ever been signed in. For anybody else it
   * begins anew: without its password, its sessions, and a number that was never proved.
   */
  async function confirmEmail(
    token: string,
    { emailKey, authVersion }: TicketOf<'verify'>,
    user: User,
    caller: User | undefined,
    client: Client,
  ): Promise<{ isClaimed: boolean }> {
    if (normalizeEmail(user.email ?? '')?.key !== emailKey) throw new AuthError('ticket_invalid');
    const userId = user.id;
    const isHolder =
      caller?.id === userId ||
      devices.read(client.deviceCookie, userId) !== undefined ||
      (user.lastLogin === null && user.authVersion === authVersion);
    const claim = !isHolder && !user.emailVerified;
    const reason = claim ? 'identity_verified' : undefined;
    const result = await changeUser(
      userId,
      () =>
        tickets.spend(token, async () => {
          if (user.emailVerified) return { user };
          const event = events.prepare({ type: 'email_verified', userId, reason, client });
          const known = { userId, authVersion: user.authVersion };
          const verified = await credentials.verifyEmail({ ...known, emailKey, claim }, event);
          return verified && { user: verified };
        }),
      reason,
    );
    if (!result) throw new AuthError('ticket_invalid');
    return { isClaimed: claim };
  }

  async function replaceEmail(
    token: string,
    { email, authVersion }: TicketOf<'email_change'>,
    user: User,
    client: Client,
    locale: Locale,
  ): Promise<void> {
    const userId = user.id;
    const result = await changeUser(userId, () =>
      tickets.spend(token, () =>
        credentials.changeEmail(
          { userId, authVersion, email },
          events.prepare({ type: 'email_changed', userId, client }),
        ),
      ),
    );
    // The password was changed or reset since: whoever asked for this may be who was thrown out by that.
    if (!result) throw new AuthError('ticket_invalid');
    if ('taken' in result) throw takenError([result.taken]);
    await mail.notify('email_changed', user.email, locale);
  }

  /**
   * Sends the link again. There is nothing to do for an address that is confirmed.
   * @throws invalid_request, delivery_unavailable, rate_limited, store_unavailable
   */
  async function resendEmail(user: User, locale: Locale): Promise<void> {
    if (user.email === null) {
      throw new AuthError('invalid_request', { errors: [{ field: 'email', code: 'required' }] });
    }
    if (!user.emailVerified) await verification.ask(user, locale);
  }

  /**
   * Sends a link to the new address, which the account uses from when it is opened. Where another account has the
   * address nothing is sent, and the answer does not tell.
   * @throws invalid_request, delivery_unavailable, rate_limited, and as the password's `prove` does
   */
  async function changeEmail(
    { id: userId, authVersion }: User,
    { password, email: typed }: { password: string; email: string },
    client: Client,
    locale: Locale,
  ): Promise<void> {
    const email = normalizeEmail(typed);
    if (!email) {
      throw new AuthError('invalid_request', { errors: [{ field: 'email', code: 'invalid_format' }] });
    }
    mail.requireOpen();
    await check.prove(userId, password, client);
    await limits.countConfirm(`user:${userId}`, `email:${email.key}`);
    const owner = (await accounts.findByIdentifier({ kind: 'email', key: email.key }))?.user;
    const isFree = !owner || owner.id === userId;
    const token = await tickets.open({ kind: 'email_change', userId, email, authVersion });
    await mail.sendLink('email_change', { to: isFree ? email.display : undefined, token, locale });
  }

  /**
   * Confirms the number of the account by a code. Whoever is signed in holds the account already: nobody is thrown out.
   * @throws as the code's `prove` does
   */
  async function verifyPhone(user: User, { phone, otp: code }: PhoneCode, client: Client): Promise<void> {
    const proof = await otp.prove({ phone, purpose: 'verify', code, ofNumber: user.phone }, client);
    proof.settle();
    if (!user.phoneVerified) await setPhone(user, proof.phone, 'phone_verified', client);
  }

  /**
   * Changes the number of the account, or gives it one.
   * @throws phone_taken, which is told to those alone who hold the number, and as both `prove`s do
   */
  async function changePhone(
    user: User,
    { password, phone, otp: code }: PhoneCode & { password: string },
    client: Client,
    locale: Locale,
  ): Promise<void> {
    await check.prove(user.id, password, client);
    const proof = await otp.prove({ phone, purpose: 'verify', code }, client);
    proof.settle();
    if (proof.owner && proof.owner.id !== user.id) throw takenError(['phone']);
    if (user.phone === proof.phone && user.phoneVerified) return;
    await setPhone(user, proof.phone, 'phone_changed', client);
    await mail.notify('phone_changed', user.email, locale);
  }

  async function setPhone(
    { id: userId, authVersion }: User,
    phone: string,
    type: 'phone_verified' | 'phone_changed',
    client: Client,
  ): Promise<void> {
    const result = await changeUser(userId, () =>
      credentials.changePhone({ userId, authVersion, phone }, events.prepare({ type, userId, client })),
    );
    if (!result) throw new AuthError('token_revoked', { why: 'the account has changed' });
    if ('taken' in result) throw takenError([result.taken]);
  }

  return { verifyEmail, resendEmail, changeEmail, verifyPhone, changePhone };
}
