import type { Clock } from '../lib/clock.js';
import type { EmailProvider } from './email.js';
import { createOutboxFile, type OutboxEntry } from './outbox-file.js';
import { DeliveryError } from './port.js';
import type { SmsProvider } from './sms.js';

export interface ConsoleNeeds {
  dataDir: string;
  now: Clock;
  /** Shows a notice. By default on stdout, and never through the logger: logs are kept and shipped. */
  print?: (text: string) => void;
}

/** For development: shows each text message and keeps it in `outbox.jsonl`. */
export function createConsoleSms(needs: ConsoleNeeds): SmsProvider {
  const show = createNotice(needs);
  return {
    name: 'console',
    async send({ to, purpose, text, code }) {
      show({ channel: 'sms', to, purpose, text, code }, `SMS to ${to} (${purpose})`);
    },
  };
}

/** For development: shows each e-mail, without its HTML, and keeps it in `outbox.jsonl`. */
export function createConsoleEmail(needs: ConsoleNeeds): EmailProvider {
  const show = createNotice(needs);
  return {
    name: 'console',
    async send({ to, purpose, subject, text, token }) {
      show({ channel: 'email', to, purpose, text, token }, `E-mail to ${to} (${purpose}): ${subject}`);
    },
  };
}

function createNotice(needs: ConsoleNeeds): (entry: OutboxEntry, title: string) => void {
  const { print = (text: string) => void process.stdout.write(text) } = needs;
  const append = createOutboxFile(needs);

  return (entry, title) => {
    try {
      append(entry);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new DeliveryError(`outbox.jsonl cannot be written (${code})`, {
        retryable: false,
        ofProvider: true,
      });
    }
    print(`\n--- ${title} ---\n${entry.text.trimEnd()}\n---\n`);
  };
}
