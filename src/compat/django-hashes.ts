import { createHash, pbkdf2, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { PasswordScheme } from '../accounts/password-scheme.js';

/**
 * The hashes of Django's `PASSWORD_HASHERS` besides argon2 (django/contrib/auth/hashers.py), as they stand in its
 * database: `name$…`. They are of the password as it was typed: Django does not normalise it.
 */
export const djangoSchemes = (): readonly PasswordScheme[] => [pbkdf2Scheme, bcryptScheme, scryptScheme];

const derivePbkdf2 = promisify(pbkdf2);

/** Each version of Django asks for more, the newest for 1,500,000; this is about a second of work on one core. */
const MAX_ITERATIONS = 4_000_000;
const DIGESTS = { pbkdf2_sha256: { name: 'sha256', bytes: 32 }, pbkdf2_sha1: { name: 'sha1', bytes: 20 } };
const PBKDF2 =
  /^(pbkdf2_sha256|pbkdf2_sha1)\$(\d{1,7})\$([^$\p{Cc}\p{Cs}]{1,128})\$([A-Za-z0-9+/]{27,43}=)$/u;

const pbkdf2Scheme: PasswordScheme = {
  read(stored) {
    const [, family = '', count, salt = '', encoded = ''] = PBKDF2.exec(stored) ?? [];
    const [digest, units, expected] = [digestOf(family), Number(count), Buffer.from(encoded, 'base64')];
    if (!digest || units < 1 || units > MAX_ITERATIONS || expected.length !== digest.bytes) return undefined;
    return {
      family,
      units,
      async matches(password) {
        return timingSafeEqual(
          await derivePbkdf2(password, salt, units, digest.bytes, digest.name),
          expected,
        );
      },
    };
  },
  spend({ family, units }, password) {
    const digest = digestOf(family);
    if (!digest) return undefined;
    const iterations = Math.min(units, MAX_ITERATIONS);
    return derivePbkdf2(password, 'nobody', iterations, digest.bytes, digest.name).then(() => undefined);
  },
};

const digestOf = (family: string) =>
  Object.hasOwn(DIGESTS, family) ? DIGESTS[family as keyof typeof DIGESTS] : undefined;

/** Django asks for 12, a quarter of a second; each step doubles it. */
const MAX_BCRYPT_ROUNDS = 15;
const MIN_BCRYPT_ROUNDS = 4;
const BCRYPT = /^(bcrypt|bcrypt_sha256)\$(\$2[ab]\$(\d\d)\$[./A-Za-z0-9]{53})$/;

const bcryptScheme: PasswordScheme = {
  read(stored) {
    const [, name, hash = '', cost] = BCRYPT.exec(stored) ?? [];
    const rounds = Number(cost);
    if (!(rounds >= MIN_BCRYPT_ROUNDS && rounds <= MAX_BCRYPT_ROUNDS)) return undefined;
    // Of a password, bcrypt reads the first 72 bytes; Django's newer hasher therefore gives it a digest.
    const prepare =
      name === 'bcrypt'
        ? (password: string) => password
        : (password: string) => createHash('sha256').update(password).digest('hex');
    return {
      family: 'bcrypt',
      units: 2 ** rounds,
      matches: async (password) => (await loadBcrypt()).compare(prepare(password), hash),
    };
  },
  spend({ family, units }) {
    return family === 'bcrypt' ? spendBcrypt(Math.min(units, 2 ** MAX_BCRYPT_ROUNDS)) : undefined;
  },
};

/** A number of units is a sum of powers of two, and so what is left of the dearest hash can be paid to the unit. */
async function spendBcrypt(units: number): Promise<void> {
  const { hash } = await loadBcrypt();
  const nothing = randomBytes(16).toString('hex');
  for (let rounds = MIN_BCRYPT_ROUNDS; rounds <= MAX_BCRYPT_ROUNDS; rounds += 1) {
    if (units & (2 ** rounds)) await hash(nothing, rounds);
  }
}

/** Native code that only accounts from elsewhere need, so a bundle may leave it out. */
async function loadBcrypt(): Promise<typeof import('bcrypt')> {
  try {
    const { default: bcrypt } = await import('bcrypt');
    return bcrypt;
  } catch (cause) {
    throw new Error('accounts have bcrypt hashes, but the package bcrypt is not installed here', { cause });
  }
}

const deriveScrypt = promisify<string, string | Buffer, number, object, Buffer>(scrypt);

/** RFC 7914: memory is 128 · N · r bytes, work N · r · p. Django asks for 16 MiB, five times over in newer versions. */
const MAX_SCRYPT_BYTES = 268_435_456;
const MAX_SCRYPT_WORK = 4_194_304;
const SCRYPT_BYTES = 64;
const SCRYPT = /^scrypt\$(\d{1,8})\$([^$\p{Cc}\p{Cs}]{1,128})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/]{86}==)$/u;

const scryptScheme: PasswordScheme = {
  read(stored) {
    const [, n, salt = '', r, p, encoded = ''] = SCRYPT.exec(stored) ?? [];
    const parameters = readScryptParameters(n, r, p);
    if (!parameters) return undefined;
    const expected = Buffer.from(encoded, 'base64');
    return {
      family: `scrypt:${n}:${r}:${p}`,
      units: 1,
      async matches(password) {
        return timingSafeEqual(await deriveScrypt(password, salt, SCRYPT_BYTES, parameters), expected);
      },
    };
  },
  spend({ family }, password) {
    const [name, n, r, p] = family.split(':');
    const parameters = name === 'scrypt' ? readScryptParameters(n, r, p) : undefined;
    if (!parameters) return undefined;
    return deriveScrypt(password, 'nobody', SCRYPT_BYTES, parameters).then(() => undefined);
  },
};

function readScryptParameters(n?: string, r?: string, p?: string) {
  const [N, blockSize, lanes] = [Number(n), Number(r), Number(p)];
  const isSound = N >= 2 && Number.isInteger(Math.log2(N)) && blockSize >= 1 && lanes >= 1;
  const bytes = 128 * N * blockSize;
  if (!isSound || bytes > MAX_SCRYPT_BYTES || N * blockSize * lanes > MAX_SCRYPT_WORK) return undefined;
  // Node refuses what comes near to the limit, with what it needs besides.
  return { N, r: blockSize, p: lanes, maxmem: 2 * MAX_SCRYPT_BYTES };
}
