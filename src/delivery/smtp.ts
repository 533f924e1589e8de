import type { Clock } from '../lib/clock.js';
import { newTokenId } from '../lib/ids.js';
import {
  AUTO_SUBMITTED,
  type EmailAddress,
  type EmailMessage,
  type EmailProvider,
  readRecipient,
  readSender,
  SENDS_AT_ONCE,
  toLine,
} from './email.js';
import { DeliveryError } from './port.js';
import { readSmtpUrl } from './smtp-url.js';

export interface SmtpNeeds {
  /** As {@link readSmtpUrl} reads it. */
  url: string;
  /** `Name <address>`, or an address alone. */
  from: string;
  now: Clock;
  /** Trusted instead of the authorities that Node knows (PEM). */
  ca?: string;
}

/** Names, connections and greetings (ms); the outbox ends a try that takes longer as a whole. */
const CONNECT_MS = 10_000;
/** A server that says nothing at all (ms). */
const SILENCE_MS = 12_000;
/** Above this a server or a router on the way may have forgotten the connection (ms). */
const IDLE_MS = 10_000;

/**
 * A mail server that takes messages for delivery, over connections that are kept for a while.
 * @throws Error that quotes neither the URL nor the sender
 */
export function createSmtpEmail({ url, from, now, ca }: SmtpNeeds): EmailProvider {
  const server = readSmtpUrl(url);
  const sender = readSender(from);
  /** The same for every try: a message that was taken although we did not hear of it is not seen twice. */
  const known = new WeakMap<EmailMessage, { messageId: string; date: Date }>();
  let opening: ReturnType<typeof open> | undefined;

  /** Only who sends by it pays for loading it, and only with the first message. */
  async function open() {
    const { createTransport } = await import('nodemailer');
    return createTransport({
      pool: true,
      host: server.host,
      port: server.port,
      secure: server.tls === 'implicit',
      requireTLS: server.tls === 'starttls',
      ignoreTLS: server.tls === 'off',
      tls: { minVersion: 'TLSv1.2', ...(ca !== undefined && { ca }) },
      ...(server.user !== undefined && { auth: { user: server.user, pass: server.password } }),
      maxConnections: SENDS_AT_ONCE,
      // For a connection that turns out to be dead before anything of the message went over it.
      maxRequeues: 1,
      connectionTimeout: CONNECT_MS,
      greetingTimeout: CONNECT_MS,
      dnsTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      idleTimeout: IDLE_MS,
      disableFileAccess: true,
      disableUrlAccess: true,
    });
  }

  function identify(): { messageId: string; date: Date } {
    return { messageId: `<${newTokenId()}@${sender.domain}>`, date: new Date(now()) };
  }

  return {
    name: 'smtp',
    async send(message, signal) {
      const recipient = readRecipient(message);
      const identity = known.get(message) ?? identify();
      known.set(message, identity);
      try {
        opening ??= open();
        const transport = await opening;
        await transport.sendMail({
          ...identity,
          from: { name: sender.name, address: sender.address },
          to: { name: '', address: recipient.address },
          subject: toLine(message.subject),
          text: message.text,
          html: message.html,
          headers: { [AUTO_SUBMITTED.name]: AUTO_SUBMITTED.value },
          signal,
        });
      } catch (error) {
        if (signal.aborted) throw new DeliveryError('smtp did not answer in time', { retryable: true });
        throw readFailure(error, recipient);
      }
    },
    close() {
      opening?.then(
        (transport) => transport.close({ force: true }),
        () => undefined,
      );
    },
  };
}

interface SmtpFailure {
  code?: unknown;
  /** What the system or OpenSSL called it. */
  originalCode?: unknown;
  responseCode?: unknown;
  response?: unknown;
  command?: unknown;
}

/** Answers quote the address, and what Nodemailer says of them quotes the answer: only numbers and names are told. */
function readFailure(error: unknown, { needsUtf8 }: EmailAddress): DeliveryError {
  const { code, originalCode, responseCode, response, command } = error as SmtpFailure;
  const isWord = (text: unknown): text is string =>
    typeof text === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(text);
  if (typeof responseCode !== 'number') {
    const what = [originalCode, code].find(isWord) ?? 'no connection';
    return new DeliveryError(`smtp could not be asked (${what})`, { retryable: true });
  }
  const [, detail = ''] = /^\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b/.exec(String(response)) ?? [];
  const [verb = ''] = /^(?:MAIL FROM|RCPT TO|[A-Z]{4,8})/.exec(String(command)) ?? [];
  const said = ['smtp answered', responseCode, detail, verb && `to ${verb}`].filter(Boolean).join(' ');
  return new DeliveryError(said, judgeReply(responseCode, verb, needsUtf8));
}

function judgeReply(
  code: number,
  verb: string,
  needsUtf8: boolean,
): { retryable: boolean; ofProvider: boolean } {
  // RFC 5321 §4.2.1; 503, wrong order, may be right on another connection. 421: the server is going away.
  const retryable = code < 500 || code === 503;
  if (code === 421) return { retryable, ofProvider: true };
  // A recipient or a text that is refused shows that the server is well.
  const isOfMessage = verb === 'RCPT TO' || (verb === 'DATA' && !retryable);
  // To a server without RFC 6531 such an address may be wrong wherever it meets it.
  return { retryable, ofProvider: !isOfMessage && !(needsUtf8 && !retryable && verb !== 'AUTH') };
}
