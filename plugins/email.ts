import fp from 'fastify-plugin';
import { type AccountMail, createAccountMail } from '../src/accounts/account-mail.js';
import type { VerificationMode } from '../src/accounts/email-verification.js';
import { createEmailVerification, type EmailVerification } from '../src/accounts/email-verification.js';
import { createTickets, type Tickets } from '../src/accounts/tickets.js';
import { createFieldCipher } from '../src/audit/field-cipher.js';
import type { Locale } from '../src/contract/messages.js';
import { createEmailProvider, type EmailSettings } from '../src/delivery/create-email-provider.js';
import type { EmailOutbox } from '../src/delivery/email.js';
import { createEmailOutbox } from '../src/delivery/email-outbox.js';
import { writeEmail } from '../src/delivery/write-email.js';
import { describeError } from '../src/lib/describe-error.js';
import { createMailLimits, type MailLimits } from '../src/security/mail-limits.js';
import type { Limit } from '../src/tokens/state-store.js';
import { readableAtOnce } from './readable-outbox.js';

declare module 'fastify' {
  interface FastifyInstance {
    tickets: Tickets;
    accountMail: AccountMail;
    mailLimits: MailLimits;
    emailVerification: EmailVerification;
  }
}

export interface EmailOptions {
  /** `undefined`: no e-mail can be sent. */
  email: EmailSettings | undefined;
  /** `inline` where nothing runs after the answer, as on Lambda. */
  mode: 'background' | 'inline';
  /** Of `outbox.jsonl`. */
  dataDir: string;
  /** Below it are the pages that links lead to. */
  publicUrl: URL;
  verification: VerificationMode;
  defaultLocale: Locale;
  /** Messages per address and per recipient. */
  limit: Limit | undefined;
}

/** E-mails about accounts, the links in them, and what brings them to people. */
export default fp<EmailOptions>(
  async (app, { email, mode, dataDir, publicUrl, verification, defaultLocale, limit }) => {
    const { stateStore, clock: now } = app;
    const outbox = email && openOutbox(email);
    if (outbox) app.meter.watchOutbox('email', outbox.state);
    const tickets = createTickets({
      store: stateStore.tickets,
      cipherFor: (token) => createFieldCipher([token]),
      now,
    });
    const mail = createAccountMail({ outbox, write: writeEmail, publicUrl });
    const limits = createMailLimits({ store: stateStore, now, limit });
    app.decorate('tickets', tickets);
    app.decorate('accountMail', mail);
    app.decorate('mailLimits', limits);
    app.decorate(
      'emailVerification',
      createEmailVerification({
        mode: verification,
        tickets,
        mail,
        limits,
        defaultLocale,
        onTrouble: (error) => app.log.warn({ err: describeError(error) }, 'a link could not be sent'),
      }),
    );
    // Events and stores close after it: what is under way still arrives.
    app.addHook('onClose', async () => outbox?.close());

    function openOutbox(settings: EmailSettings): EmailOutbox {
      const provider = createEmailProvider(settings, { dataDir, now });
      const outbox = createEmailOutbox({
        provider,
        mode,
        onTrouble: (error, { final }) =>
          app.log[final ? 'error' : 'warn'](
            { err: describeError(error), provider: provider.name },
            final ? 'an e-mail was lost' : 'an e-mail will be tried again',
          ),
      });
      return settings.provider === 'console' ? readableAtOnce(outbox) : outbox;
    }
  },
  { name: 'email', dependencies: ['sessions', 'state-store', 'metrics'] },
);
