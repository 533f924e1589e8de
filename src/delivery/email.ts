import { domainToASCII } from 'node:url';
import { DeliveryError, type Outbox, type Provider } from './port.js';

/** What a message is about. Those that end in `ed` tell of something that happened; the others bring a link. */
export type EmailPurpose =
  | 'verify'
  | 'reset'
  /** To the new address, which is to be confirmed. */
  | 'email_change'
  /** To the old address, which is no longer used. */
  | 'email_changed'
  | 'phone_changed'
  | 'password_changed'
  /** Somebody registered with this address, and must not learn from our answer that it has an account. */
  | 'already_registered';

/** One e-mail. */
export interface EmailMessage {
  /** As the account has it, which is not what somebody typed (Django's CVE-2019-19844). */
  to: string;
  purpose: EmailPurpose;
  subject: string;
  /** The whole message twice, in the recipient's language. */
  text: string;
  html: string;
  /** The token in its link: for `console`, whose readers are scripts as well. */
  token?: string;
}

export type EmailProvider = Provider<EmailMessage>;

export type EmailOutbox = Outbox<EmailMessage>;

/** How many sends may be under way at once. Mail servers count the connections of one client. */
export const SENDS_AT_ONCE = 5;

/** RFC 3834 §5: who answers automatically, because of a holiday say, does not answer this. */
export const AUTO_SUBMITTED = { name: 'Auto-Submitted', value: 'auto-generated' } as const;

export interface EmailAddress {
  /** The domain in ASCII. */
  address: string;
  domain: string;
  /** Whether it has letters before the `@` that only servers with SMTPUTF8 (RFC 6531) take. */
  needsUtf8: boolean;
}

export interface Sender extends EmailAddress {
  /** What is shown in front of the address; may be empty. */
  name: string;
}

/** No spaces, nothing invisible, and none of what separates addresses in a header (RFC 5322 §3.2.3, specials). */
const ADDRESS = /^([^\s\p{C}"(),:;<>@[\]\\]{1,64})@([^\s\p{C}"(),:;<>@[\]\\]{1,255})$/u;
const ASCII = /^[\x20-\x7e]*$/;

/** Exactly one plain address, whatever else the text may pretend to be; or `undefined`. */
function readAddress(text: string): EmailAddress | undefined {
  const [, local, host] = ADDRESS.exec(text) ?? [];
  const domain = host && domainToASCII(host);
  if (!local || !domain) return undefined;
  return { address: `${local}@${domain}`, domain, needsUtf8: !ASCII.test(local) };
}

/**
 * Where a message goes. Addresses were read when they came in, and are read again before they get into a header.
 * @throws DeliveryError
 */
export function readRecipient({ to }: EmailMessage): EmailAddress {
  const recipient = readAddress(to);
  if (recipient) return recipient;
  throw new DeliveryError('the recipient is no e-mail address', { retryable: false });
}

/**
 * Reads `Name <address>`, `"Name" <address>` or an address alone.
 * @throws Error
 */
export function readSender(from: string): Sender {
  const [, name = '', inBrackets, alone] = /^\s*(?:([^<>]*)<([^<>]*)>|([^<>]*?))\s*$/.exec(from) ?? [];
  const sender = readAddress(inBrackets ?? alone ?? '');
  // It would have to be written so in every message, and most servers would take none.
  if (!sender || sender.needsUtf8 || /\p{Cc}/u.test(name)) {
    throw new Error('the sender of e-mails must be an address, or a name and an address: Name <address>');
  }
  return { ...sender, name: unquote(name.trim()) };
}

const unquote = (name: string): string =>
  /^".*"$/.test(name) ? name.slice(1, -1).replace(/\\(.)/g, '$1') : name;

/** What gets into a header is one line. */
export const toLine = (text: string): string => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
