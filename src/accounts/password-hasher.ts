import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { COST_OF_TODAY, createArgon2Scheme } from './argon2-scheme.js';
import type { HashCost, PasswordScheme, ReadHash } from './password-scheme.js';

export interface PasswordHasher {
  /** @throws overloaded when the queue is full. */
  hash(password: string): Promise<string>;
  /**
   * Compares with the password as it was typed. A refusal costs the same whatever is stored: an account that does not
   * exist, has no password, has a hash of today or has one from an older system.
   * @throws overloaded when the queue is full; store_unavailable when the costs could not be read.
   */
  verify(stored: string | null | undefined, password: string): Promise<boolean>;
  /** Was it hashed in another way than today's? */
  isOutdated(stored: string): boolean;
  /** Hashes that wait for their turn. */
  waiting(): number;
}

export interface PasswordHasherOptions {
  /** Hashes at once: one for each core that requests can spare, or hashing starves everything else. */
  concurrency: number;
  /** How many more may wait, while what they wait for takes at most `MAX_WAIT_MS`; others are told to come back. */
  maxWaiting: number;
  now?: Clock;
  /** How older systems hashed, besides argon2. */
  schemes?: readonly PasswordScheme[];
  /** What the dearest hash of each family costs that came from an older system and is still stored. */
  foreignCosts?: () => readonly HashCost[] | Promise<readonly HashCost[]>;
}

/**
 * How a refusal comes to cost the same for every account: each one pays one bill, which names every family of hashes
 * that accounts have, and the dearest of each. A comparison with a stored hash pays its part of it, and what is left is
 * worked off against nothing. A floor of time instead would show the difference again as soon as hashes wait for each
 * other, and in what else this machine does meanwhile.
 *
 * Only refusals pay: whoever has the right password learns nothing from being let in sooner.
 */
export function createPasswordHasher(options: PasswordHasherOptions): PasswordHasher {
  const { foreignCosts = async () => [] } = options;
  const inTurn = createBoundedQueue(options);
  const argon2 = createArgon2Scheme();
  const schemes: readonly PasswordScheme[] = [argon2, ...(options.schemes ?? [])];
  /** Of hashes that nobody announced: the next refusal costs as much as theirs. */
  const met = createBill([COST_OF_TODAY]);

  function read(stored: string): ReadHash | undefined {
    for (const scheme of schemes) {
      const hash = scheme.read(stored);
      if (hash) return hash;
    }
    return undefined;
  }

  async function refuse(hash: ReadHash | undefined, password: string): Promise<void> {
    if (hash) met.add(hash);
    const bill = createBill([...met.costs(), ...(await foreignCosts())]);
    for (const { family, units } of bill.costs()) {
      const rest = units - (hash?.family === family ? hash.units : 0);
      if (rest > 0) await spend({ family, units: rest }, password);
    }
  }

  async function spend(cost: HashCost, password: string): Promise<void> {
    for (const scheme of schemes) {
      const work = scheme.spend(cost, password);
      if (work) return work;
    }
  }

  return {
    hash: (password) => inTurn(() => argon2.hash(password)),
    verify: (stored, password) =>
      inTurn(async () => {
        const hash = stored ? read(stored) : undefined;
        if (hash && (await hash.matches(password))) return true;
        await refuse(hash, password);
        return false;
      }),
    isOutdated: argon2.isOutdated,
    waiting: inTurn.waiting,
  };
}

/** The dearest of each family, always in one order. */
function createBill(costs: readonly HashCost[]) {
  const units = new Map<string, number>();
  const add = (cost: HashCost): void => {
    units.set(cost.family, Math.max(cost.units, units.get(cost.family) ?? 0));
  };
  costs.forEach(add);
  return { add, costs: (): HashCost[] => [...units].map(([family, most]) => ({ family, units: most })) };
}

/** Hashes of older systems take many times as long as ours, and whoever waited longer would have gone away (ms). */
const MAX_WAIT_MS = 5000;
/** How much the newest turn counts for what turns usually take. */
const WEIGHT = 1 / 8;

function createBoundedQueue({ concurrency, maxWaiting, now = Date.now }: PasswordHasherOptions) {
  const waiting: (() => void)[] = [];
  let running = 0;
  let usualMs = 0;

  const isFull = (): boolean =>
    waiting.length >= maxWaiting || (waiting.length * usualMs) / concurrency > MAX_WAIT_MS;

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (running < concurrency) {
      running++;
    } else {
      if (isFull()) throw new AuthError('overloaded', { retryAfter: 2 });
      // Whoever finishes hands over its place, so `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    const startedAt = now();
    try {
      return await work();
    } finally {
      usualMs += (now() - startedAt - usualMs) * WEIGHT;
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  }

  inTurn.waiting = () => waiting.length;
  return inTurn;
}
