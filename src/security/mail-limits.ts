import { createHash } from 'node:crypto';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import type { Limit, LimitState, StateStore } from '../tokens/state-store.js';
import { limitAddress } from './client-address.js';

export interface MailLimitsNeeds {
  store: Pick<StateStore, 'hitLimits' | 'unhitLimits'>;
  now: Clock;
  /** `RATE_LIMIT_PASSWORD_RESET`. `undefined`: none. */
  limit: Limit | undefined;
}

/** What for: links that open an account, and links that confirm an address, have budgets of their own. */
type MailUse = 'reset' | 'confirm';

/** A message that was counted and may be asked for. */
export interface CountedMail {
  limit: LimitState | undefined;
  /** Nothing was sent after all. Never throws: one too many on a counter is no reason for another failure. */
  takeBack(): Promise<void>;
}

export type MailLimits = ReturnType<typeof createMailLimits>;

/**
 * How often messages may be asked for: by one address, where anybody may ask, and to one recipient, which is what was
 * typed, whether or not anybody has it.
 */
export function createMailLimits({ store, now, limit }: MailLimitsNeeds) {
  /** Links that confirm something: whoever asks is signed in, or counted as anonymous. @throws as `countReset` */
  async function countConfirm(...recipients: string[]): Promise<void> {
    if (limit) for (const recipient of recipients) await hit('confirm', slotOf(recipient), limit);
  }

  /** @throws rate_limited, store_unavailable */
  async function countReset(ip: string, recipient: string): Promise<CountedMail> {
    if (!limit) return UNCOUNTED;
    const slots = { address: `ip:${limitAddress(ip)}`, recipient: slotOf(recipient) };
    const ofAddress = await hit('reset', slots.address, limit);
    try {
      const ofRecipient = await hit('reset', slots.recipient, limit);
      return {
        limit: ofRecipient.remaining < ofAddress.remaining ? ofRecipient : ofAddress,
        async takeBack() {
          await Promise.all(Object.values(slots).map((slot) => takeBack('reset', slot)));
        },
      };
    } catch (error) {
      // Nothing is sent, and others at this address may have recipients of their own.
      await takeBack('reset', slots.address);
      throw error;
    }
  }

  async function hit(name: MailUse, slot: string, rule: Limit): Promise<LimitState> {
    const { allowed, limit } = await store.hitLimits({ slot, rules: [{ name, ...rule }], now: now() });
    if (!allowed) throw new AuthError('rate_limited', { limit });
    return limit;
  }

  const takeBack = (name: MailUse, slot: string): Promise<void> =>
    store.unhitLimits({ slot, rules: [name], now: now() }).catch(() => undefined);

  return { countReset, countConfirm };
}

const UNCOUNTED: CountedMail = { limit: undefined, takeBack: async () => undefined };

const slotOf = (recipient: string): string => `mail:${fingerprint(recipient)}`;

/** No address or number of a person stands in a key. */
const fingerprint = (recipient: string): string =>
  createHash('sha256').update(recipient).digest('base64url').slice(0, 22);
