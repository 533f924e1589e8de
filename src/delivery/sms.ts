import type { OtpPurpose } from '../contract/otp.js';
import type { Outbox, Provider } from './port.js';

/** One text message. */
export interface SmsMessage {
  /** E.164. */
  to: string;
  purpose: OtpPurpose;
  /** The whole text, in the recipient's language. */
  text: string;
  /** The code in it: for providers that fill templates of their own. */
  code: string;
}

export type SmsProvider = Provider<SmsMessage>;

export type SmsOutbox = Outbox<SmsMessage>;
