import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { generateKey, type RotationStep, rotate, type StoredKeySet } from '../tokens/key-rotation.js';
import { ALGORITHMS, type Algorithm, readKeySet } from '../tokens/key-set.js';

/** What the person at the terminal did wrong; shown without a stack. */
export class UsageError extends Error {
  override name = 'UsageError';
}

export interface KeysOptions {
  /** The file of the private key set: `--file`, else what `JWT_KEYSET` names. */
  file: string | undefined;
  algorithm?: string | undefined;
  publishSeconds?: string | undefined;
  /** Seconds that a token may live: a retired key verifies as long. */
  retireSeconds: number;
  /** Seconds since the epoch. */
  now: number;
}

/** The JWKS may be cached for 5 minutes; processes read a changed file within seconds. */
const PUBLISH_SECONDS = 600;

/** Makes a new key set with one key. Never writes over a file: tokens signed by what is in it would die. */
export function generateKeys({ file, algorithm = 'ES256', now }: KeysOptions): string {
  const path = requireFile(file);
  const key = generateKey(requireAlgorithm(algorithm), now);
  try {
    writeFileSync(path, serialize({ keys: [key] }), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(
      code === 'EEXIST' ? `${path} exists: rotate it instead.` : `${path} cannot be written (${code}).`,
    );
  }
  return `Wrote ${path} with one ${key.alg} key, ${key.kid}. Set JWT_KEYSET=${path} on every server.`;
}

/** Takes the next step of a rotation and says what comes after it. */
export function rotateKeys({ file, publishSeconds, retireSeconds, now }: KeysOptions): string {
  const path = requireFile(file);
  const current = load(path);
  const rules = { now, retireSeconds, publishSeconds: readSeconds(publishSeconds) };
  const { set, done, dropped } = rotate(current, rules);
  if (done.step !== 'waiting' || dropped.length > 0) replaceFile(path, serialize(set));
  return [
    ...dropped.map((kid) => `Dropped ${kid}: the last token it signed has expired.`),
    describeStep(done),
    `The key set is ${path}.`,
  ].join('\n');
}

function describeStep({ step, kid, due }: RotationStep): string {
  const when = new Date(due * 1000).toISOString();
  switch (step) {
    case 'published':
      return `Published ${kid}. It verifies but does not sign yet. Rotate again after ${when} to sign with it.`;
    case 'signing':
      return `${kid} signs from now on. The key before it verifies until ${when}; rotate again then to drop it.`;
    case 'waiting':
      return `Nothing to do yet: ${kid} is published, and may sign after ${when}, when every cache knows it.`;
  }
}

function load(path: string): StoredKeySet {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  readKeySet(text);
  const { keys } = JSON.parse(text) as StoredKeySet;
  return { keys: keys.map((key) => ({ ...key, created_at: key.created_at ?? 0 })) };
}

/** A server that reads the file meanwhile sees the old one or the new one, never half of it. */
function replaceFile(path: string, text: string): void {
  const draft = `${path}.new`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, path);
}

const serialize = (set: StoredKeySet): string => `${JSON.stringify(set, null, 2)}\n`;

function requireFile(file: string | undefined): string {
  if (!file || file.startsWith('{')) throw new UsageError('Say which file: --file PATH, or JWT_KEYSET=PATH.');
  return resolve(file);
}

function requireAlgorithm(name: string): Algorithm {
  const algorithm = ALGORITHMS.find((known) => known === name);
  if (!algorithm) throw new UsageError(`--algorithm must be one of ${ALGORITHMS.join(', ')}.`);
  return algorithm;
}

function readSeconds(raw: string | undefined): number {
  if (raw === undefined) return PUBLISH_SECONDS;
  if (!/^\d{1,7}$/.test(raw)) throw new UsageError('--publish-seconds must be a whole number.');
  return Number(raw);
}
