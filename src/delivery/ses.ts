import type { SendEmailCommandInput } from '@aws-sdk/client-sesv2';
import { readAwsFailure } from './aws-failure.js';
import {
  AUTO_SUBMITTED,
  type EmailMessage,
  type EmailProvider,
  readRecipient,
  readSender,
  toLine,
} from './email.js';
import { notUnderstood } from './http-request.js';
import { DeliveryError } from './port.js';

export interface SesSettings {
  /** By default what the SDK finds: `AWS_REGION`, which Lambda sets, or the profile. */
  region?: string | undefined;
  /** `Name <address>`, or an address alone, of an identity that SES has verified. */
  from: string;
  endpoint?: string | undefined;
}

/** What comes with HTTP 400 and fails for everybody. */
const OF_ACCOUNT = new Set([
  'AccountSuspendedException',
  'LimitExceededException',
  'MailFromDomainNotVerifiedException',
  'SendingPausedException',
]);

/**
 * Amazon SES, API version 2. The credentials are those that the SDK finds: a role, the environment, a profile.
 * `Message-ID` and `Date` are its own.
 * @throws Error that does not quote the sender
 */
export function createSesEmail({ region, from, endpoint }: SesSettings): EmailProvider {
  const { name, address } = readSender(from);
  let connecting: ReturnType<typeof connect> | undefined;

  /** The SDK takes a tenth of a second to load: only who sends by it pays, and only with the first message. */
  async function connect() {
    const [{ SESv2Client, SendEmailCommand }, { default: MimeNode }] = await Promise.all([
      import('@aws-sdk/client-sesv2'),
      import('nodemailer/lib/mime-node'),
    ]);
    // Tries are the outbox's to count.
    const client = new SESv2Client({
      maxAttempts: 1,
      ...(region && { region }),
      ...(endpoint && { endpoint }),
    });
    // It wants names of other scripts as encoded words (RFC 2047).
    const sender = MimeNode.encodeHeaderValue('From', { name, address });
    return async (input: SendEmailCommandInput, abortSignal: AbortSignal) => {
      const command = new SendEmailCommand({ FromEmailAddress: sender, ...input });
      return (await client.send(command, { abortSignal })).MessageId;
    };
  }

  async function hand(input: SendEmailCommandInput, signal: AbortSignal): Promise<string | undefined> {
    try {
      connecting ??= connect();
      return await (await connecting)(input, signal);
    } catch (error) {
      if (signal.aborted) throw new DeliveryError('ses did not answer in time', { retryable: true });
      throw readAwsFailure('ses', error, (name) => OF_ACCOUNT.has(name));
    }
  }

  return {
    name: 'ses',
    async send(message, signal) {
      const { address, needsUtf8 } = readRecipient(message);
      // "Amazon SES does not support the SMTPUTF8 extension."
      if (needsUtf8)
        throw new DeliveryError('ses takes no address that needs SMTPUTF8', { retryable: false });
      const messageId = await hand(describe(message, address), signal);
      if (!messageId) throw notUnderstood('ses', 200);
    },
  };
}

function describe({ subject, text, html }: EmailMessage, to: string): SendEmailCommandInput {
  const utf8 = (Data: string) => ({ Data, Charset: 'UTF-8' });
  return {
    Destination: { ToAddresses: [to] },
    Content: {
      Simple: {
        Subject: utf8(toLine(subject)),
        Body: { Text: utf8(text), Html: utf8(html) },
        Headers: [{ Name: AUTO_SUBMITTED.name, Value: AUTO_SUBMITTED.value }],
      },
    },
    // Whatever the account does with other mail: rewritten links would give the tokens in them to a redirector.
    ConfigurationOverrides: {
      Tracking: { ClickTrackingEnabled: 'DISABLED', OpenTrackingEnabled: 'DISABLED' },
    },
  };
}
