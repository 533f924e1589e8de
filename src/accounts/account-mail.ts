import type { Locale } from '../contract/messages.js';
import type { EmailMessage, EmailOutbox } from '../delivery/email.js';
import type { EmailContent } from '../delivery/write-email.js';
import { AuthError } from '../errors.js';
import { TICKET_LIFETIME } from './tickets.js';

export interface AccountMailNeeds {
  /** `undefined` where nothing brings e-mails to people. */
  outbox: EmailOutbox | undefined;
  write(content: EmailContent): Pick<EmailMessage, 'purpose' | 'subject' | 'text' | 'html'>;
  publicUrl: URL;
}

export type LinkPurpose = 'reset' | 'verify' | 'email_change';
export type NoticePurpose = 'password_changed' | 'email_changed' | 'phone_changed' | 'already_registered';

export type AccountMail = ReturnType<typeof createAccountMail>;

/** The pages that links lead to, below `PUBLIC_URL`. */
const PAGES: Record<LinkPurpose, string> = {
  reset: 'reset',
  verify: 'verify-email',
  email_change: 'verify-email',
};

/** E-mails about accounts. */
export function createAccountMail({ outbox, write, publicUrl }: AccountMailNeeds) {
  /** Asked first, whoever it would be for. @throws delivery_unavailable */
  function requireOpen(): void {
    if (!outbox) throw new AuthError('delivery_unavailable', { retryAfter: 3600, why: 'no e-mail provider' });
    outbox.requireOpen();
  }

  /**
   * Sends the link of a ticket; without a recipient everything but that is done. The link is made of `PUBLIC_URL`: the
   * `Host` of a request is whatever its sender likes.
   */
  async function sendLink(
    purpose: LinkPurpose,
    { to, token, locale }: { to: string | undefined; token: string; locale: Locale },
  ): Promise<void> {
    const base = publicUrl.href.replace(/[?#].*$/, '').replace(/\/*$/, '/');
    const link = new URL(PAGES[purpose], base);
    link.searchParams.set('token', token);
    const written = write({ locale, purpose, link, lifetime: TICKET_LIFETIME });
    await outbox?.post(to === undefined ? undefined : { ...written, to, token }, ignore);
  }

  /** Tells the owner of an account what has happened. Without a recipient, or a provider, nobody is told. */
  async function notify(
    purpose: NoticePurpose,
    to: string | null | undefined,
    locale: Locale,
  ): Promise<void> {
    const written = write({ locale, purpose });
    await outbox?.post(to ? { ...written, to } : undefined, ignore);
  }

  return { requireOpen, sendLink, notify };
}

/** The outbox says so itself; a link may be asked for again. */
const ignore = (): void => undefined;
