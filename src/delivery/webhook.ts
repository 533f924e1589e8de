import type { Clock } from '../lib/clock.js';
import { newTokenId } from '../lib/ids.js';
import { judgeStatus, postTo } from './http-request.js';
import { DeliveryError } from './port.js';
import type { SmsMessage, SmsProvider } from './sms.js';
import { createWebhookSigner } from './webhook-signature.js';

export interface WebhookSmsNeeds {
  /** https, or a host of one's own: the code is in the body. */
  url: string;
  /** `whsec_<base64>`, or plain text. */
  secret: string;
  now: Clock;
}

/** Hands messages to a service of the operator's own, signed as {@link createWebhookSigner} does. */
export function createWebhookSms({ url, secret, now }: WebhookSmsNeeds): SmsProvider {
  const sign = createWebhookSigner(secret);
  /** What the first try of a message said: the others repeat it, so that the receiver can drop what it has. */
  const known = new WeakMap<SmsMessage, { id: string; body: string }>();

  function describe(message: SmsMessage): { id: string; body: string } {
    const { to, purpose, text, code } = message;
    const timestamp = new Date(now()).toISOString();
    return {
      id: `msg_${newTokenId()}`,
      body: JSON.stringify({ type: 'sms', timestamp, to, purpose, text, code }),
    };
  }

  return {
    name: 'webhook',
    async send(message, signal) {
      const { id, body } = known.get(message) ?? describe(message);
      known.set(message, { id, body });
      const headers = { 'content-type': 'application/json', ...sign({ id, body, at: now() }) };
      const { ok, status, body: answer } = await postTo('webhook', url, { headers, body, signal });
      // Only the status counts; a receiver that never ends its answer is not waited for.
      await answer?.cancel().catch(() => undefined);
      if (!ok) throw new DeliveryError(`webhook answered ${status}`, judgeStatus(status));
    },
  };
}
