import { createHmac } from 'node:crypto';

export interface SignedHeaders {
  'webhook-id': string;
  'webhook-timestamp': string;
  'webhook-signature': string;
}

export interface Signable {
  /** The same for every try of one message; holds no dot. */
  id: string;
  body: string;
  /** The time of this try (ms). */
  at: number;
}

const PREFIX = 'whsec_';
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * Signs as Standard Webhooks 1.0.0 has it: HMAC-SHA256 over `id.timestamp.body`. A secret that begins with `whsec_`
 * is base64 behind that, as the standard writes it; any other is used as it stands, and whoever verifies must take
 * it so too.
 * @throws Error that does not quote the secret
 */
export function createWebhookSigner(secret: string): (what: Signable) => SignedHeaders {
  const key = readSecret(secret);
  return ({ id, body, at }) => {
    const timestamp = String(Math.floor(at / 1000));
    const mac = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${mac}` };
  };
}

function readSecret(secret: string): Buffer {
  if (!secret.startsWith(PREFIX)) {
    if (secret === '') throw new Error('the webhook secret is empty');
    return Buffer.from(secret);
  }
  const base64 = secret.slice(PREFIX.length);
  if (!BASE64.test(base64)) throw new Error(`the webhook secret is not base64 after ${PREFIX}`);
  return Buffer.from(base64, 'base64');
}
