import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { resolve } from 'node:path';
import {
  generateKey,
  type RotationStep,
  rotate,
  type StoredJwk,
  type StoredKeySet,
} from '../tokens/key-rotation.js';
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
    writeFileSync(path, serialize({ keys: [key] }), { mode: 0o600, flag: 'wx', flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw failure(`${path} cannot be written`, error);
    throw new UsageError(`${path} exists: rotate it instead.`);
  }
  return `Wrote ${path} with one ${key.alg} key, ${key.kid}. Set JWT_KEYSET=${path} on every server.`;
}

/** Takes the next step of a rotation and says what comes after it. */
export function rotateKeys({ file, algorithm, publishSeconds, retireSeconds, now }: KeysOptions): string {
  const rules = {
    now,
    retireSeconds,
    publishSeconds: readSeconds(publishSeconds),
    algorithm: algorithm === undefined ? undefined : requireAlgorithm(algorithm),
  };
  const given = requireFile(file);
  // A symbolic link stays one.
  const path = attempt(`${given} cannot be read`, () => realpathSync(given));
  return withDraft(path, (replace) => {
    const { set, done, dropped } = rotate(load(path, now), rules);
    if (done.step !== 'waiting' || dropped.length > 0) replace(serialize(set));
    return [
      ...dropped.map((kid) => `Dropped ${kid}: the last token it signed has expired.`),
      describeStep(done),
      `The key set is ${path}.`,
    ].join('\n');
  });
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

/** The set with what a rotation needs to know of it; one that was made elsewhere lacks some of it. */
function load(path: string, now: number): StoredKeySet {
  const text = attempt(`${path} cannot be read`, () => readFileSync(path, 'utf8'));
  const kids = readKeySet(text).map((key) => key.kid as string);
  const { keys } = JSON.parse(text) as { keys: StoredJwk[] };
  return {
    keys: keys.map(({ created_at, retired_at, ...key }, index) => {
      const isMadeHere = Number.isSafeInteger(created_at);
      // Behind the key that signs, one that no rotation published is one that used to sign.
      const retired = Number.isSafeInteger(retired_at) ? retired_at : isMadeHere ? undefined : now;
      return {
        ...key,
        kid: kids[index] as string,
        created_at: isMadeHere ? created_at : now,
        ...(index === 0 || retired === undefined ? {} : { retired_at: retired }),
      };
    }),
  };
}

/**
 * Lets one rotation run at a time: the draft, which only one process can make, is the lock. A server that reads
 * the file meanwhile sees the old one or the new one, never half of it.
 */
function withDraft<T>(path: string, work: (replace: (text: string) => void) => T): T {
  const draft = `${path}.new`;
  let file: number;
  try {
    file = openSync(draft, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw failure(`${path} cannot be written`, error);
    throw new UsageError(`${draft} exists: another rotation is under way. If none is, delete that file.`);
  }
  let isDraft = true;
  try {
    return work((text) => {
      attempt(`${path} cannot be written`, () => {
        writeFileSync(file, text, { flush: true });
        copyAccess(path, file);
        renameSync(draft, path);
      });
      isDraft = false;
    });
  } finally {
    closeSync(file);
    if (isDraft) rmSync(draft);
  }
}

/** Whoever may read the old file may read the new one, strangers excepted. */
function copyAccess(path: string, file: number): void {
  const { uid, gid, mode } = statSync(path);
  const own = fstatSync(file);
  if (own.uid !== uid || own.gid !== gid) fchownSync(file, uid, gid);
  fchmodSync(file, mode & 0o640);
}

function attempt<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw failure(what, error);
  }
}

const failure = (what: string, error: unknown): UsageError =>
  new UsageError(`${what} (${(error as NodeJS.ErrnoException).code}).`);

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
