import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';

/** What Latchkey signs with: RFC 7518 §3.1 and RFC 8037. */
export const ALGORITHMS = ['HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'EdDSA'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** What verifies, with the one algorithm it is for. */
export interface VerifyingKey {
  /** In the header of its tokens; none for a plain shared secret, as SimpleJWT's tokens have none. */
  kid: string | undefined;
  algorithm: Algorithm;
  /** A secret, or a public key in PEM. */
  public: string | Buffer;
}

/** A key with the one algorithm it is for. */
export interface SigningKey extends VerifyingKey {
  /** What signs: a secret, or a private key in PEM. */
  private: string | Buffer;
  /** What others may know; HMAC keys have nothing of the kind. */
  publicJwk: PublicJwk | undefined;
}

export type PublicJwk = Record<string, string>;

/** The first key signs, all of them verify. */
export type KeySet = readonly [SigningKey, ...SigningKey[]];

/** A key or a set of keys that must not be used. The message says why and shows nothing of the key. */
export class KeyError extends Error {
  override name = 'KeyError';
}

/** RFC 7518 §3.2: at least as long as the hash. NIST SP 800-131A: RSA from 2048 bits. */
export const MIN_SECRET_BYTES = { HS256: 32, HS384: 48, HS512: 64 } as const;
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
const MIN_RSA_EXPONENT = 65_537n;

/**
 * Reads a private JWK Set (RFC 7517 §5).
 * @throws KeyError naming the position of the first key that is weak, mismatched, not private or there twice.
 */
export function readKeySet(json: string): KeySet {
  const keys: SigningKey[] = [];
  for (const jwk of parseSet(json)) {
    try {
      keys.push(requireNew(readJwk(jwk), keys));
    } catch (error) {
      const why = error instanceof KeyError ? error.message : 'is not a valid JWK';
      throw new KeyError(`key ${keys.length + 1}: ${why}`);
    }
  }
  return keys as unknown as KeySet;
}

/** By the public half: one private key can be written in several ways. */
function requireNew(key: SigningKey, others: readonly SigningKey[]): SigningKey {
  const sameKid = others.findIndex(({ kid }) => kid === key.kid);
  if (sameKid >= 0) throw new KeyError(`has the kid of key ${sameKid + 1}`);
  const same = others.findIndex((other) => Buffer.from(other.public).equals(Buffer.from(key.public)));
  if (same >= 0) throw new KeyError(`is key ${same + 1} once more`);
  return key;
}

function parseSet(json: string, { mayBeEmpty = false } = {}): JsonWebKey[] {
  let set: unknown;
  try {
    set = JSON.parse(json);
  } catch {
    throw new KeyError('is not JSON');
  }
  const keys = typeof set === 'object' && set !== null ? (set as { keys?: unknown }).keys : undefined;
  if (!Array.isArray(keys) || (keys.length === 0 && !mayBeEmpty)) throw new KeyError('has no keys');
  if (keys.some((key) => typeof key !== 'object' || key === null || Array.isArray(key)))
    throw new KeyError('holds what is no key');
  return keys;
}

function readJwk(jwk: JsonWebKey): SigningKey {
  const algorithm = ALGORITHMS.find((name) => name === jwk.alg);
  if (!algorithm) throw new KeyError(`alg must be one of ${ALGORITHMS.join(', ')}`);
  if (jwk.use !== undefined && jwk.use !== 'sig') throw new KeyError('use must be sig');
  if (jwk.key_ops !== undefined && !(Array.isArray(jwk.key_ops) && jwk.key_ops.includes('sign')))
    throw new KeyError('key_ops must allow sign');
  const kid = readKid(jwk.kid);
  if (isHmac(algorithm)) return readSecretJwk(jwk, kid, algorithm);

  if (typeof jwk.d !== 'string') throw new KeyError('has no private half');
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  const publicKey = createPublicKey({ key: publicMembers(jwk), format: 'jwk' });
  return readKeyPair(privateKey, publicKey, algorithm, kid);
}

const MAX_KID_LENGTH = 128;

function readKid(kid: unknown): string | undefined {
  if (kid === undefined) return undefined;
  if (typeof kid !== 'string' || kid === '' || kid.length > MAX_KID_LENGTH)
    throw new KeyError(`kid must be a text of 1 to ${MAX_KID_LENGTH} characters`);
  return kid;
}

/** RFC 7515 §2: no padding, no other alphabet. Node.js would skip over what it cannot read. */
const BASE64URL = /^[\w-]+$/;

function readSecretJwk(jwk: JsonWebKey, kid: string | undefined, algorithm: HmacAlgorithm): SigningKey {
  if (jwk.kty !== 'oct' || typeof jwk.k !== 'string')
    throw new KeyError(`${algorithm} needs a key of kty oct`);
  // A thumbprint of a secret would be a hash to guess it by: such a key brings its own kid.
  if (kid === undefined) throw new KeyError('a key of kty oct needs a kid');
  if (!BASE64URL.test(jwk.k)) throw new KeyError('k is not base64url');
  const secret = Buffer.from(jwk.k, 'base64url');
  if (secret.length < MIN_SECRET_BYTES[algorithm]) throw new KeyError('is too short');
  if (secret.every((byte) => byte === secret[0])) throw new KeyError('is one byte over and over');
  requireNoPem(secret.toString('latin1'), algorithm);
  return { kid, algorithm, private: secret, public: secret, publicJwk: undefined };
}

/** RFC 8725 §2.1: whoever knows a public key could sign with it if it were taken for a secret. */
function requireNoPem(secret: string, algorithm: HmacAlgorithm): void {
  if (secret.includes('-----BEGIN ')) throw new KeyError(`${algorithm} needs a secret, and this is a PEM`);
}

/**
 * A single key out of a setting: a secret for HS256, HS384 and HS512, else a private key in PEM.
 * @throws KeyError
 */
export function readSingleKey(text: string, algorithm: Algorithm): SigningKey {
  if (isHmac(algorithm)) {
    requireNoPem(text, algorithm);
    return { kid: undefined, algorithm, private: text, public: text, publicJwk: undefined };
  }
  let key: KeyObject;
  try {
    // Environment files often hold a PEM on one line.
    key = createPrivateKey(text.replaceAll('\\n', '\n'));
  } catch {
    throw new KeyError(`${algorithm} needs a private key in PEM`);
  }
  return readKeyPair(key, createPublicKey(key), algorithm, undefined);
}

/**
 * What only verifies, out of a setting: a secret for HS256, HS384 and HS512, else a public key in PEM.
 * @throws KeyError
 */
export function readVerifyingKey(text: string, algorithm: Algorithm): VerifyingKey {
  if (isHmac(algorithm)) return readSingleKey(text, algorithm);
  let key: KeyObject;
  try {
    key = createPublicKey(text.replaceAll('\\n', '\n'));
  } catch {
    throw new KeyError(`${algorithm} needs a public key in PEM`);
  }
  requireFit(key, algorithm);
  return { kid: undefined, algorithm, public: key.export({ type: 'spki', format: 'pem' }) as string };
}

function readKeyPair(
  privateKey: KeyObject,
  publicKey: KeyObject,
  algorithm: Algorithm,
  givenKid: string | undefined,
): SigningKey {
  requireFit(privateKey, algorithm);
  requireSameKey(privateKey, publicKey, algorithm);
  const members = publicMembers(publicKey.export({ format: 'jwk' }));
  const kid = givenKid ?? thumbprint(members);
  return {
    kid,
    algorithm,
    private: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    public: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    publicJwk: { ...members, kid, use: 'sig', alg: algorithm },
  };
}

/** Is the key of the kind and strength that the algorithm needs? */
function requireFit(key: KeyObject, algorithm: Algorithm): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details = {} } = key;
  switch (algorithm) {
    case 'RS256':
    case 'PS256':
      if (type !== 'rsa') throw new KeyError(`${algorithm} needs an RSA key`);
      if ((details.modulusLength ?? 0) < MIN_RSA_BITS)
        throw new KeyError(`has fewer than ${MIN_RSA_BITS} bits`);
      if ((details.modulusLength ?? 0) > MAX_RSA_BITS)
        throw new KeyError(`has more than ${MAX_RSA_BITS} bits`);
      if ((details.publicExponent ?? 0n) < MIN_RSA_EXPONENT)
        throw new KeyError('has a small public exponent');
      return;
    case 'ES256':
      if (type !== 'ec' || details.namedCurve !== 'prime256v1')
        throw new KeyError('ES256 needs a key on P-256');
      return;
    default:
      if (type !== 'ed25519') throw new KeyError('EdDSA needs an Ed25519 key');
  }
}

/** OpenSSL does not compare the halves of a JWK: a signature shows whether they belong together. */
function requireSameKey(privateKey: KeyObject, publicKey: KeyObject, algorithm: Algorithm): void {
  const digest = algorithm === 'EdDSA' ? null : 'sha256';
  const probe = Buffer.from('latchkey');
  let matches = false;
  try {
    matches =
      (privateKey.asymmetricKeyType !== 'rsa' || isWholeRsa(privateKey.export({ format: 'jwk' }))) &&
      verify(digest, probe, publicKey, sign(digest, probe, privateKey));
  } catch {
    // A key whose numbers do not fit together may not be able to sign at all.
  }
  if (!matches) throw new KeyError('its private and public halves do not match');
}

/**
 * RFC 8017 §3.2. OpenSSL signs by either form of the private key, so a signature alone would not show that the
 * other one is broken.
 */
function isWholeRsa(jwk: JsonWebKey): boolean {
  const number = (name: keyof JsonWebKey) =>
    BigInt(`0x${Buffer.from(String(jwk[name]), 'base64url').toString('hex')}`);
  const [n, e, d, p, q] = [number('n'), number('e'), number('d'), number('p'), number('q')];
  return (
    p * q === n &&
    (e * d) % (p - 1n) === 1n &&
    (e * d) % (q - 1n) === 1n &&
    number('dp') === d % (p - 1n) &&
    number('dq') === d % (q - 1n) &&
    (number('qi') * q) % p === 1n
  );
}

const PUBLIC_MEMBERS = ['crv', 'e', 'kty', 'n', 'x', 'y'] as const;

/** The public members of a key, in the order that RFC 7638 §3.2 hashes them. */
function publicMembers(jwk: JsonWebKey): PublicJwk {
  return Object.fromEntries(
    PUBLIC_MEMBERS.flatMap((name) => (typeof jwk[name] === 'string' ? [[name, jwk[name]]] : [])),
  );
}

/** The kid of a public key that was given none: its RFC 7638 thumbprint. */
export const keyId = (publicKey: KeyObject): string =>
  thumbprint(publicMembers(publicKey.export({ format: 'jwk' })));

/** RFC 7638: what names a public key wherever it is published. */
const thumbprint = (members: PublicJwk): string =>
  createHash('sha256').update(JSON.stringify(members)).digest('base64url');

export type HmacAlgorithm = keyof typeof MIN_SECRET_BYTES;

export const isHmac = (algorithm: Algorithm): algorithm is HmacAlgorithm => algorithm in MIN_SECRET_BYTES;

/**
 * Reads what an issuer publishes. RFC 7517 §5: a key that is not of our kinds is passed over; so is a secret, which
 * nobody publishes on purpose.
 * @throws KeyError when it is no JWK Set.
 */
export function readPublicKeySet(json: string): VerifyingKey[] {
  return parseSet(json, { mayBeEmpty: true }).flatMap((jwk) => {
    const algorithm = ALGORITHMS.find((name) => name === jwk.alg && !isHmac(name));
    if (!algorithm || (jwk.use !== undefined && jwk.use !== 'sig')) return [];
    try {
      const kid = readKid(jwk.kid);
      const key = createPublicKey({ key: publicMembers(jwk), format: 'jwk' });
      requireFit(key, algorithm);
      return [{ kid, algorithm, public: key.export({ type: 'spki', format: 'pem' }) as string }];
    } catch {
      return [];
    }
  });
}

/** What may be published (RFC 7517 §5): public keys only. */
export function publicKeys(set: KeySet): { keys: PublicJwk[] } {
  return { keys: set.flatMap((key) => (key.publicJwk ? [key.publicJwk] : [])) };
}
