import type { Clock } from '../lib/clock.js';
import { createConsoleEmail } from './console.js';
import type { EmailProvider } from './email.js';
import { createSesEmail } from './ses.js';
import { createSmtpEmail } from './smtp.js';

/** Which provider, and what it needs to know. `from` is an address, or `Name <address>`. */
export type EmailSettings =
  | { provider: 'console' }
  | { provider: 'smtp'; url: string; from: string }
  | { provider: 'ses'; region?: string | undefined; from: string; endpoint?: string | undefined };

export interface EmailProviderNeeds {
  dataDir: string;
  now: Clock;
  /** Where `console` shows messages; stdout by default. */
  print?: (text: string) => void;
}

/** @throws Error when the settings are no good; it quotes none of them */
export function createEmailProvider(settings: EmailSettings, needs: EmailProviderNeeds): EmailProvider {
  switch (settings.provider) {
    case 'console':
      return createConsoleEmail(needs);
    case 'smtp':
      return createSmtpEmail({ ...settings, now: needs.now });
    case 'ses':
      return createSesEmail(settings);
  }
}
