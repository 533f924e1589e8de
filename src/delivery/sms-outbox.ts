import { createOutbox, type OutboxNeeds, type Patience } from './outbox.js';
import type { SmsMessage, SmsOutbox } from './sms.js';

/**
 * The recipient may ask for another code after 30 s: an older one that arrives after it would be no good.
 */
const PATIENCE: Patience = {
  concurrency: 16,
  tryTimeoutMs: 5000,
  pausesMs: [500, 5000],
  maxAgeMs: 30_000,
};

/** @see createOutbox */
export const createSmsOutbox = (needs: OutboxNeeds<SmsMessage>): SmsOutbox => createOutbox(needs, PATIENCE);
