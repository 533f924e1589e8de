import type { Clock } from '../lib/clock.js';
import { postTo } from './http-request.js';
import { DeliveryError } from './port.js';
import { createWebhookSigner } from './webhook-signature.js';

/** What is to be posted, in SQL from the moment it is true. Every method throws `store_unavailable` when SQL is away. */
export interface WebhookStore {
  /**
   * Takes some that are due; no other process is given them before `until`. If this one dies, another goes on then.
   */
  claim(input: { now: number; until: number; limit: number }): Promise<WebhookDelivery[]>;
  /** It has arrived, or was given up. */
  remove(id: string): Promise<void>;
  retry(id: string, at: number): Promise<void>;
}

export interface WebhookDelivery {
  id: string;
  /** `undefined`: encrypted under a key that is not at hand. */
  body: string | undefined;
  createdAt: number;
  /** This one included. */
  tries: number;
}

export interface AlertWebhooksNeeds {
  store: WebhookStore;
  url: string;
  /** `whsec_<base64>`, or plain text. */
  secret: string;
  now: Clock;
  /** A try failed, or SQL could not be asked. */
  onTrouble(error: unknown): void;
  /** Nobody took it for a whole day. */
  onGivenUp(): void;
}

export interface AlertWebhooks {
  /** Looks now whether something is due, and from time to time. */
  wake(): void;
  /** Posts all that is due, and says how many were taken. */
  deliver(): Promise<number>;
  close(): Promise<void>;
}

/** What other processes stored, and what is due again, is noticed within this (ms). */
const POLL_MS = 5000;
const TRY_TIMEOUT_MS = 10_000;
/** Longer than a try: no second one begins before the first has ended, unless its process died (ms). */
const CLAIM_MS = 30_000;
const AT_ONCE = 5;

const SECOND = 1000;
const HOUR = 3600 * SECOND;
/** Waits after the first, second, … try; the last one repeats, until the message is a day old. */
const WAITS_MS = [
  5 * SECOND,
  30 * SECOND,
  120 * SECOND,
  600 * SECOND,
  1800 * SECOND,
  HOUR,
  2 * HOUR,
  4 * HOUR,
];
const MAX_AGE_MS = 24 * HOUR;

/**
 * Posts alerts to the operator's webhook, signed as `createWebhookSigner` does, at least once each and with one id on
 * every try: the receiver drops what it has already. All processes share the work.
 */
export function createAlertWebhooks(needs: AlertWebhooksNeeds): AlertWebhooks {
  const { store, url, now, onTrouble, onGivenUp } = needs;
  const sign = createWebhookSigner(needs.secret);
  const closing = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<number> | undefined;
  let isWoken = false;

  async function deliver(): Promise<number> {
    working ??= deliverAll().finally(() => {
      working = undefined;
    });
    return working;
  }

  async function deliverAll(): Promise<number> {
    let delivered = 0;
    while (!closing.signal.aborted) {
      const claimed = await store.claim({ now: now(), until: now() + CLAIM_MS, limit: AT_ONCE });
      const taken = await Promise.all(claimed.map(post));
      delivered += taken.filter(Boolean).length;
      if (claimed.length < AT_ONCE) break;
    }
    return delivered;
  }

  async function post(delivery: WebhookDelivery): Promise<boolean> {
    const { id, body } = delivery;
    try {
      if (body === undefined)
        throw new Error('the body of a webhook is encrypted under a key that is not set');
      await tryOnce(id, body);
    } catch (error) {
      await putOff(delivery, error);
      return false;
    }
    await store.remove(id);
    return true;
  }

  async function tryOnce(id: string, body: string): Promise<void> {
    const headers = { 'content-type': 'application/json', ...sign({ id, body, at: now() }) };
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(TRY_TIMEOUT_MS)]);
    const { ok, status, body: answer } = await postTo('alert webhook', url, { headers, body, signal });
    // Only the status counts; a receiver that never ends its answer is not waited for.
    await answer?.cancel().catch(() => undefined);
    if (!ok) throw new DeliveryError(`alert webhook answered ${status}`, { retryable: true });
  }

  /** A receiver that is being repaired, or set up wrongly, gets a day. */
  async function putOff({ id, createdAt, tries }: WebhookDelivery, error: unknown): Promise<void> {
    // Cut off by ourselves: that was no try.
    if (closing.signal.aborted) return store.retry(id, now());
    onTrouble(error);
    const lastTryAt = createdAt + MAX_AGE_MS;
    if (now() >= lastTryAt) {
      await store.remove(id);
      onGivenUp();
      return;
    }
    const wait = WAITS_MS[Math.min(tries, WAITS_MS.length) - 1] as number;
    await store.retry(id, Math.min(now() + wait, lastTryAt));
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    if (closing.signal.aborted) return;
    timer = setTimeout(() => void look(), ms).unref();
  }

  async function look(): Promise<void> {
    isWoken = false;
    await deliver().catch(onTrouble);
    schedule(isWoken ? 0 : POLL_MS);
  }

  return {
    wake() {
      isWoken = true;
      if (!working) schedule(0);
    },
    deliver,
    async close() {
      closing.abort();
      clearTimeout(timer);
      await working?.catch(() => undefined);
    },
  };
}
