import { hash } from 'node:crypto';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { newDeviceId } from '../lib/ids.js';
import type { Client } from '../tokens/session-service.js';
import type { Limit, LimitRule, LimitState } from '../tokens/state-store.js';
import { limitAddress } from './client-address.js';
import type { DeviceCookies } from './device-cookies.js';
import type { CountedTry, DelayRule, LoginStore, TryVerdict } from './login-store.js';

export interface LoginLimitsNeeds {
  store: LoginStore;
  devices: DeviceCookies;
  now: Clock;
  /** Tries per address and identifier, and of a known device. `undefined` ends all rules, the delay included. */
  perIdentifier: Limit | undefined;
  /** Tries per address, whoever they are for. */
  perAddress: Limit | undefined;
}

/** Whose password is tried: what was typed, or for a password asked for with a bearer token the account itself. */
export interface TriedIdentifier {
  kind: 'email' | 'username' | 'phone' | 'id';
  key: string;
}

/** A try to prove a password that was counted and may go on. */
export interface PasswordTry {
  limit: LimitState | undefined;
  /** What the caller's device is to be remembered as, should the password be right: what it was, if it is known. */
  deviceId: string;
  /**
   * Runs what the try is for. It resolves to what the password turned out to be, right or wrong; when it throws, the
   * password has not been found wrong, and the try is taken back.
   */
  run<T>(work: () => Promise<T>): Promise<T>;
  /**
   * Says that the password was compared. Started in one turn with whatever else the state store is asked, it costs no
   * trip of its own; never throws.
   */
  settle(): Promise<void>;
  /** The password was right, and no session will be opened by it: ends the row of wrong ones. */
  endRow(): Promise<void>;
}

export type LoginLimits = ReturnType<typeof createLoginLimits>;

/**
 * The tenth wrong password in a row makes strangers wait a second, from the nineteenth on it is ten: 8,640 guesses a
 * day, from however many addresses they come.
 */
const DELAY: DelayRule = { after: 10, stepMs: 1000, maxMs: 10_000 };

/** Counts every try to prove a password before anything is compared. */
export function createLoginLimits({ store, devices, now, perIdentifier, perAddress }: LoginLimitsNeeds) {
  /**
   * `userId` is whose password it would be; what is nobody's is counted just the same.
   * @throws rate_limited, account_delayed, store_unavailable
   */
  async function countTry(
    identifier: TriedIdentifier,
    userId: string | undefined,
    client: Client,
  ): Promise<PasswordTry> {
    const print = fingerprint(identifier);
    const account = userId ?? `nobody:${print}`;
    const deviceId = devices.read(client.deviceCookie, account);
    if (!perIdentifier) return uncounted(deviceId);

    const addressRules: LimitRule[] = [{ name: `login:${print}`, ...perIdentifier }];
    if (perAddress) addressRules.push({ name: 'login', ...perAddress });
    const verdict = await store.countTry({
      address: limitAddress(client.ip),
      addressRules,
      account,
      deviceId,
      deviceLimit: perIdentifier,
      delay: DELAY,
      now: now(),
    });
    if (verdict.status !== 'counted') throw refusal(verdict);
    return createTry(account, verdict.counted, verdict.limit);
  }

  function createTry(account: string, counted: CountedTry, limit: LimitState): PasswordTry {
    const known = counted.row?.deviceId;
    let left = counted;
    // The tries of a known device are not the address's.
    const settle = async () => {
      const { address, now } = left;
      if (known === undefined || !address) return;
      left = { ...left, address: undefined };
      await quietly(store.uncountTry({ address, now }));
    };
    return {
      limit,
      deviceId: known ?? newDeviceId(),
      async run(work) {
        try {
          return await work();
        } catch (error) {
          await quietly(store.uncountTry(left));
          throw error;
        }
      },
      settle,
      async endRow() {
        await Promise.all([settle(), store.endRow({ account, deviceId: known, now: now() })]);
      },
    };
  }

  return { countTry };
}

/** With the limits off. */
const uncounted = (deviceId = newDeviceId()): PasswordTry => ({
  limit: undefined,
  deviceId,
  run: (work) => work(),
  settle: async () => undefined,
  endRow: async () => undefined,
});

function refusal(verdict: Exclude<TryVerdict, { status: 'counted' }>): AuthError {
  const { limit } = verdict;
  if (verdict.status === 'limited') return new AuthError('rate_limited', { limit });
  return new AuthError('account_delayed', { limit, retryAfter: Math.ceil(verdict.retryMs / 1000) });
}

/** A try too many on the counter is a nuisance; to say 503 for it, when the answer is known, would be a worse one. */
const quietly = (work: Promise<void>): Promise<void> => work.catch(() => undefined);

/** No address or name of a person stands in a key. */
const fingerprint = ({ kind, key }: TriedIdentifier): string =>
  hash('sha256', `${kind}:${key}`, 'base64url').slice(0, 22);
