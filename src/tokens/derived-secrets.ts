import { hkdfSync } from 'node:crypto';
import type { SigningKey } from './key-set.js';

const SECRET_BYTES = 32;

/**
 * Secrets for what is not a token, each for one purpose: whoever learned one could make neither tokens nor what
 * another label is for (RFC 5869 §3.2). In the order of the keys, so the first is the one to make things with and
 * any may still verify. Every label costs its derivations once: it must be a constant, never a caller's text.
 */
export function createSecretDeriver(
  keys: readonly Pick<SigningKey, 'private'>[],
): (label: string) => readonly Buffer[] {
  const derived = new Map<string, readonly Buffer[]>();
  return (label) => {
    let secrets = derived.get(label);
    if (!secrets) {
      secrets = keys.map((key) => derive(key.private, label));
      derived.set(label, secrets);
    }
    return secrets;
  };
}

/** No salt: the keys are random as they are (RFC 5869 §3.1), and every process must come to the same. */
const derive = (key: string | Buffer, label: string): Buffer =>
  Buffer.from(hkdfSync('sha256', key, '', `latchkey ${label}`, SECRET_BYTES));
