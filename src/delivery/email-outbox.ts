import { type EmailMessage, type EmailOutbox, SENDS_AT_ONCE } from './email.js';
import { createOutbox, type OutboxNeeds, type Patience } from './outbox.js';

/**
 * A link is good for longer than a code, so a mail server may restart meanwhile. No longer than that: what waits for
 * one recipient takes a place from others.
 */
const PATIENCE: Patience = {
  concurrency: SENDS_AT_ONCE,
  tryTimeoutMs: 15_000,
  pausesMs: [1000, 10_000, 60_000],
  maxAgeMs: 120_000,
};

/** @see createOutbox */
export const createEmailOutbox = (needs: OutboxNeeds<EmailMessage>): EmailOutbox =>
  createOutbox(needs, PATIENCE);
