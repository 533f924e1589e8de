import { randomBytes } from 'node:crypto';
import argon2 from 'argon2';
import { AuthError } from '../errors.js';

/** OWASP's second choice for argon2id: 19 MiB, two passes, one lane (memory in KiB). */
const ARGON2 = {
  type: argon2.argon2id,
  memoryCost: 19_456,
  timeCost: 2,
  parallelism: 1,
  hashLength: 32,
} as const;

export interface PasswordHasher {
  /** @throws overloaded when the queue is full. */
  hash(password: string): Promise<string>;
  /**
   * Compares, at the same cost whatever is stored: an account that does not exist, or has no password, is
   * compared with a hash that nothing matches.
   * @throws overloaded when the queue is full.
   */
  verify(stored: string | null | undefined, password: string): Promise<boolean>;
  /** Was it hashed with other parameters than today's? */
  isOutdated(stored: string): boolean;
  /** Hashes that wait for their turn. */
  waiting(): number;
}

export interface PasswordHasherOptions {
  /** Hashes at once: one for each core that requests can spare, or hashing starves everything else. */
  concurrency: number;
  /** How many more may wait; beyond that callers are told to come back. */
  maxWaiting: number;
}

export function createPasswordHasher({ concurrency, maxWaiting }: PasswordHasherOptions): PasswordHasher {
  const inTurn = createBoundedQueue(concurrency, maxWaiting);
  const nobody = unmatchableHash();
  return {
    hash: (password) => inTurn(() => argon2.hash(password, ARGON2)),
    verify: async (stored, password) => {
      if (!stored?.startsWith('$argon2')) {
        await inTurn(() => argon2.verify(nobody, password));
        return false;
      }
      return inTurn(() => argon2.verify(stored, password));
    },
    // The library compares parameters, not variants.
    isOutdated: (stored) => !stored.startsWith('$argon2id$') || argon2.needsRehash(stored, ARGON2),
    waiting: inTurn.waiting,
  };
}

/** A hash of today's parameters whose digest is random: comparing with it costs the full price and fails. */
function unmatchableHash(): string {
  const base64 = (bytes: number) => randomBytes(bytes).toString('base64').replaceAll('=', '');
  const { memoryCost, timeCost, parallelism, hashLength } = ARGON2;
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${base64(16)}$${base64(hashLength)}`;
}

function createBoundedQueue(concurrency: number, maxWaiting: number) {
  const waiting: (() => void)[] = [];
  let running = 0;

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (running < concurrency) {
      running++;
    } else {
      if (waiting.length >= maxWaiting) throw new AuthError('overloaded', { retryAfter: 2 });
      // Whoever finishes hands over its place, so `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  }

  inTurn.waiting = () => waiting.length;
  return inTurn;
}
