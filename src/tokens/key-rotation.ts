import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  randomBytes,
} from 'node:crypto';
import { newTokenId } from '../lib/ids.js';
import { type Algorithm, isHmac, keyId } from './key-set.js';

/** A private JWK with the two moments that a rotation turns on, in seconds since the epoch. */
export interface StoredJwk extends JsonWebKey {
  kid: string;
  alg: Algorithm;
  created_at: number;
  /** Since when it only verifies. */
  retired_at?: number;
}

export interface StoredKeySet {
  /** The first signs, all of them verify. */
  keys: StoredJwk[];
}

export interface RotationRules {
  now: number;
  /** How long a new key is only published: until every process and every cache of the JWKS knows it. */
  publishSeconds: number;
  /** How long a token may live: a retired key verifies as long, and while a process may not know of it yet. */
  retireSeconds: number;
  /** Of a new key; by default that of the key which signs. */
  algorithm?: Algorithm | undefined;
}

/** A process may sign with a retired key until it has read the file again, whatever `publishSeconds` says. */
const MIN_SETTLE_SECONDS = 5;

export type RotationStep =
  /** A new key verifies from now on, and will sign at the next step, from `due` on. */
  | { step: 'published'; kid: string; due: number }
  /** The new key signs; the old one verifies until `due`. */
  | { step: 'signing'; kid: string; due: number }
  /** The published key is too young to sign before `due`. */
  | { step: 'waiting'; kid: string; due: number };

const RSA_BITS = 3072;

/** A new key for this algorithm, with the kid that its tokens will carry. */
export function generateKey(algorithm: Algorithm, now: number): StoredJwk {
  const jwk = isHmac(algorithm)
    ? { kty: 'oct', k: randomBytes(64).toString('base64url') }
    : generatePair(algorithm).export({ format: 'jwk' });
  const kid = isHmac(algorithm)
    ? newTokenId()
    : keyId(createPublicKey(createPrivateKey({ key: jwk, format: 'jwk' })));
  return { ...jwk, kid, alg: algorithm, use: 'sig', created_at: now };
}

function generatePair(algorithm: Algorithm) {
  switch (algorithm) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey;
    default:
      return generateKeyPairSync('rsa', { modulusLength: RSA_BITS }).privateKey;
  }
}

/**
 * One step of a rotation that no verifier can trip over: publish, later sign, and at the next rotation drop what
 * no living token was signed with. Called again too early it changes nothing.
 */
export function rotate(
  set: StoredKeySet,
  rules: RotationRules,
): { set: StoredKeySet; done: RotationStep; dropped: string[] } {
  const { now, publishSeconds } = rules;
  const retireSeconds = rules.retireSeconds + Math.max(publishSeconds, MIN_SETTLE_SECONDS);
  const isOver = (key: StoredJwk) => key.retired_at !== undefined && key.retired_at + retireSeconds <= now;
  const dropped = set.keys.filter(isOver).map((key) => key.kid);
  const [signing, ...others] = set.keys.filter((key) => !isOver(key));
  if (!signing) throw new Error('the key set has no key that signs');

  const pending = others.find((key) => key.retired_at === undefined);
  if (!pending) {
    const next = generateKey(rules.algorithm ?? signing.alg, now);
    const due = now + publishSeconds;
    return {
      set: { keys: [signing, ...others, next] },
      done: { step: 'published', kid: next.kid, due },
      dropped,
    };
  }
  const due = pending.created_at + publishSeconds;
  if (now < due) {
    return { set: { keys: [signing, ...others] }, done: { step: 'waiting', kid: pending.kid, due }, dropped };
  }
  const rest = others.filter((key) => key !== pending);
  return {
    set: { keys: [pending, { ...signing, retired_at: now }, ...rest] },
    done: { step: 'signing', kid: pending.kid, due: now + retireSeconds },
    dropped,
  };
}
