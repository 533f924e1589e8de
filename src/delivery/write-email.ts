import type { Locale } from '../contract/messages.js';
import type { EmailMessage, EmailPurpose } from './email.js';
import { escapeHtml, layOutEmail } from './email-layout.js';
import { COMMON_EMAIL_TEXTS, EMAIL_TEXTS } from './email-texts.js';

/** Purposes whose link does something, once and for a while. */
type TicketPurpose = 'verify' | 'reset' | 'email_change';

/** The others: they tell of something, and may show where to go on. */
type NoticePurpose = Exclude<EmailPurpose, TicketPurpose>;

export type EmailContent = {
  locale: Locale;
  /** The name of the service. */
  app?: string;
} & (
  | {
      purpose: TicketPurpose;
      /** Below `PUBLIC_URL`, never below the `Host` of a request. */
      link: URL;
      /** How long it is good for (s). */
      lifetime: number;
    }
  | {
      purpose: NoticePurpose;
      /** To sign in (`already_registered`) or to reset the password; without it there is no button. */
      link?: URL | undefined;
    }
);

/** Puts an e-mail into words, as text and as HTML. */
export function writeEmail(
  content: EmailContent,
): Pick<EmailMessage, 'purpose' | 'subject' | 'text' | 'html'> {
  const { locale, purpose, app = 'Latchkey' } = content;
  const { direction, ...common } = COMMON_EMAIL_TEXTS[locale];
  const { subject, preheader, title, body, button, ifNotYou } = EMAIL_TEXTS[locale][purpose];
  const lifetime = 'lifetime' in content ? sayDuration(content.lifetime, locale) : undefined;
  const action = content.link && button ? { url: content.link.href, label: button } : undefined;
  const expiry = lifetime && common.expiry;
  // What has happened is undone only at once: said before the button that does it.
  const isUrgent = purpose.endsWith('_changed');
  const before = isUrgent ? [...body, ifNotYou] : body;
  const after = isUrgent ? undefined : ifNotYou;

  const plain = (text: string): string => fill(text, { app, lifetime });
  // A name in the other direction must not turn round what stands beside it.
  const rich = (text: string): string =>
    fill(escapeHtml(text), { app: `<bdi>${escapeHtml(app)}</bdi>`, lifetime });

  const paragraphs = [
    plain(title),
    ...before.map(plain),
    action && `${action.label}:\n${action.url}`,
    expiry && plain(expiry),
    after && plain(after),
    plain(common.footer),
  ];
  return {
    purpose,
    subject: plain(subject),
    text: `${paragraphs.filter(Boolean).join('\n\n')}\n`,
    html: layOutEmail({
      locale,
      direction,
      title: rich(title),
      preheader: rich(preheader),
      name: escapeHtml(app),
      body: before.map(rich),
      action: action && {
        url: escapeHtml(action.url),
        label: escapeHtml(action.label),
        expiry: expiry && rich(expiry),
        hint: escapeHtml(common.linkHint),
      },
      note: after && rich(after),
      footer: rich(common.footer),
    }),
  };
}

const fill = (text: string, values: Record<string, string | undefined>): string =>
  text.replace(/\{(\w+)\}/g, (placeholder, name: string) => values[name] ?? placeholder);

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Rounded down, so that nothing is promised that does not hold. */
function sayDuration(seconds: number, locale: Locale): string {
  const [unit, length] =
    seconds < 2 * HOUR && seconds % HOUR !== 0
      ? (['minute', MINUTE] as const)
      : seconds < 2 * DAY
        ? (['hour', HOUR] as const)
        : (['day', DAY] as const);
  const count = Math.max(1, Math.floor(seconds / length));
  const { one, other } = COMMON_EMAIL_TEXTS[locale].units[unit];
  return count === 1 ? one : fill(other, { n: count.toLocaleString(locale) });
}
