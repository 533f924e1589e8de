import type { Locale } from '../contract/messages.js';
import { AuthError } from '../errors.js';
import type { MailLimits } from '../security/mail-limits.js';
import type { AccountMail } from './account-mail.js';
import { normalizeEmail } from './identifiers.js';
import type { Tickets } from './tickets.js';
import type { User } from './user.js';

/**
 * Whether new addresses are to be confirmed: nobody is asked, everybody is, or nobody signs in before. Links can be
 * asked for in any case.
 */
export type VerificationMode = 'off' | 'optional' | 'required';

export interface EmailVerificationNeeds {
  mode: VerificationMode;
  tickets: Tickets;
  mail: AccountMail;
  limits: MailLimits;
  /** Of those who state no preference. */
  defaultLocale: Locale;
  /** Told when a link could not be sent that nobody waits for. */
  onTrouble(error: unknown): void;
}

export type EmailVerification = ReturnType<typeof createEmailVerification>;

/** Asking people to confirm that their address is theirs. */
export function createEmailVerification(needs: EmailVerificationNeeds) {
  const { mode, tickets, mail, limits, defaultLocale } = needs;

  /** Who is reached by a number that was proved needs no address besides. */
  const isMissing = ({ email, emailVerified, phoneVerified }: User): boolean =>
    mode === 'required' && email !== null && !emailVerified && !phoneVerified;

  /** Sends the link for an address of this account. @throws rate_limited, delivery_unavailable, store_unavailable */
  async function ask(user: User, locale: Locale = defaultLocale): Promise<void> {
    mail.requireOpen();
    await limits.countConfirm(`user:${user.id}`);
    await sendLink(user, locale);
  }

  /** The same where it is a courtesy: whatever goes wrong with it is no reason to refuse what was asked for. */
  const askQuietly = (user: User, locale?: Locale): Promise<void> =>
    ask(user, locale).catch((error: unknown) => {
      if (!(error instanceof AuthError && error.code === 'rate_limited')) needs.onTrouble(error);
    });

  async function sendLink(user: User, locale: Locale): Promise<void> {
    const { id: userId, email, authVersion } = user;
    const emailKey = normalizeEmail(email ?? '')?.key ?? '';
    const token = await tickets.open({ kind: 'verify', userId, emailKey, authVersion });
    await mail.sendLink('verify', { to: email ?? undefined, token, locale });
  }

  /**
   * Answers a registration that must not tell whether the address had an account before: one of two messages goes out,
   * at the same cost. `owner`: who had it.
   */
  async function answerRegistration(
    account: User | undefined,
    owner: User | undefined,
    locale: Locale = defaultLocale,
  ): Promise<void> {
    if (account) return sendLink(account, locale);
    await tickets.open({ kind: 'verify', userId: '', emailKey: '', authVersion: 0 });
    await mail.notify('already_registered', owner?.email, locale);
  }

  return { mode, isMissing, ask, askQuietly, answerRegistration, requireOpen: mail.requireOpen, limits };
}
