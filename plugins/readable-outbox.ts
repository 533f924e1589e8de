import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import type { Outbox } from '../src/delivery/port.js';

/** Far longer than a line takes to be written (ms). */
const CONSOLE_MS = 10;

/**
 * For whoever reads the code or the link where `console` leaves it, as soon as the answer is there. Every answer waits
 * as long, whether or not there is a message.
 */
export const readableAtOnce = <Message>(outbox: Outbox<Message>): Outbox<Message> => ({
  ...outbox,
  async post(message, onLost) {
    await outbox.post(message, onLost);
    await delay(CONSOLE_MS);
    // However late the timer: the outbox's own turn, which began waiting before, comes before this one.
    await turn();
  },
});
