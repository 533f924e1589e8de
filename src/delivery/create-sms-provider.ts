import type { Clock } from '../lib/clock.js';
import { createConsoleSms } from './console.js';
import { createKavenegarSms } from './kavenegar.js';
import type { SmsProvider } from './sms.js';
import { createSnsSms } from './sns.js';
import { createTwilioSms } from './twilio.js';
import { createWebhookSms } from './webhook.js';

/** Which provider, and what it needs to know. */
export type SmsSettings =
  | { provider: 'console' }
  | { provider: 'sns'; region?: string | undefined; senderId?: string | undefined }
  | { provider: 'twilio'; accountSid: string; authToken: string; from: string }
  | { provider: 'kavenegar'; apiKey: string; sender?: string | undefined; template?: string | undefined }
  | { provider: 'webhook'; url: string; secret: string };

export interface SmsProviderNeeds {
  dataDir: string;
  now: Clock;
  /** Where `console` shows messages; stdout by default. */
  print?: (text: string) => void;
}

export function createSmsProvider(settings: SmsSettings, needs: SmsProviderNeeds): SmsProvider {
  switch (settings.provider) {
    case 'console':
      return createConsoleSms(needs);
    case 'sns':
      return createSnsSms(settings);
    case 'twilio':
      return createTwilioSms(settings);
    case 'kavenegar':
      return createKavenegarSms(settings);
    case 'webhook':
      return createWebhookSms({ ...settings, now: needs.now });
  }
}
