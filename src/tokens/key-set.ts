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

/** A key with the one algorithm it is for. */
export interface SigningKey {
  /** In the header of its tokens; none for a plain shared secret, as SimpleJWT's tokens have none. */
  kid: string | undefined;
  algorithm: Algorithm;
  /** What signs: a secret, or a private key in PEM. */
  private: string | Buffer;
  /** What verifies: the same secret, or the public key in PEM. */
  public: string | Buffer;
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
const MIN_SECRET_BYTES = { HS256: 32, HS384: 48, HS512: 64 } as const;
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
const MIN_RSA_EXPONENT = 65_537n;

/**
 * Reads a private JWK Set (RFC 7517 §5).
 * @throws KeyError naming the position of the first key that is weak, mismatched, not private or there twice.
 */
export function readKeySet(json: string): KeySet {
  const keys = parseSet(json).map((jwk, index) => {
    try {
      return readJwk(jwk);
    } catch (error) {
      throw new KeyError(
        `key ${index + 1}: ${error instanceof KeyError ? error.message : 'is not a valid JWK'}`,
      );
    }
  });
  const kids = keys.map((key) => key.kid);
  if (new Set(kids).size < kids.length) throw new KeyError('two keys have the same kid');
  if (new Set(keys.map((key) => key.private.toString('base64'))).size < keys.length)
    throw new KeyError('one key is there twice');
  return keys as unknown as KeySet;
}

function parseSet(json: string): JsonWebKey[] {
  let set: unknown;
  try {
    set = JSON.parse(json);
  } catch {
    throw new KeyError('is not JSON');
  }
  const keys = typeof set === 'object' && set !== null ? (set as { keys?: unknown }).keys : undefined;
  if (!Array.isArray(keys) || keys.length === 0) throw new KeyError('has no keys');
  if (keys.some((key) => typeof key !== 'object' || key === null)) throw new KeyError('holds what is no key');
  return keys;
}

function readJwk(jwk: JsonWebKey): SigningKey {
  const algorithm = ALGORITHMS.find((name) => name === jwk.alg);
  if (!algorithm) throw new KeyError(`alg must be one of ${ALGORITHMS.join(', ')}`);
  if (jwk.use !== undefined && jwk.use !== 'sig') throw new KeyError('use must be sig');
  if (Array.isArray(jwk.key_ops) && !jwk.key_ops.includes('sign'))
    throw new KeyError('key_ops must allow sign');

  if (isHmac(algorithm)) {
    if (jwk.kty !== 'oct' || typeof jwk.k !== 'string')
      throw new KeyError(`${algorithm} needs a key of kty oct`);
    // A thumbprint of a secret would be a hash to guess it by: such a key brings its own kid.
    if (typeof jwk.kid !== 'string' || jwk.kid === '') throw new KeyError('a key of kty oct needs a kid');
    const secret = Buffer.from(jwk.k, 'base64url');
    if (secret.length < MIN_SECRET_BYTES[algorithm]) throw new KeyError('is too short');
    return { kid: jwk.kid, algorithm, private: secret, public: secret, publicJwk: undefined };
  }
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  requireSameKey(key, createPublicKey({ key: publicMembers(jwk), format: 'jwk' }), algorithm);
  return readPrivateKey(key, algorithm);
}

/**
 * A single key out of a setting: a secret for HS256, HS384 and HS512, else a private key in PEM.
 * @throws KeyError
 */
export function readSingleKey(text: string, algorithm: Algorithm): SigningKey {
  if (isHmac(algorithm)) {
    return { kid: undefined, algorithm, private: text, public: text, publicJwk: undefined };
  }
  let key: KeyObject;
  try {
    // Environment files often hold a PEM on one line.
    key = createPrivateKey(text.replaceAll('\\n', '\n'));
  } catch {
    throw new KeyError(`${algorithm} needs a private key in PEM`);
  }
  return readPrivateKey(key, algorithm);
}

function readPrivateKey(key: KeyObject, algorithm: Algorithm): SigningKey {
  requireFit(key, algorithm);
  const publicKey = createPublicKey(key);
  const members = publicMembers(publicKey.export({ format: 'jwk' }));
  const kid = thumbprint(members);
  return {
    kid,
    algorithm,
    private: key.export({ type: 'pkcs8', format: 'pem' }) as string,
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
      if ((details.modulusLength ?? 0) < MIN_RSA_BITS) throw new KeyError(`needs ${MIN_RSA_BITS} bits`);
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
    matches = verify(digest, probe, publicKey, sign(digest, probe, privateKey));
  } catch {
    // A key whose numbers do not fit together cannot sign at all.
  }
  if (!matches) throw new KeyError('its private and public halves do not match');
}

const PUBLIC_MEMBERS = ['crv', 'e', 'kty', 'n', 'x', 'y'] as const;

/** The public members of a key, in the order that RFC 7638 §3.2 hashes them. */
function publicMembers(jwk: JsonWebKey): PublicJwk {
  return Object.fromEntries(
    PUBLIC_MEMBERS.flatMap((name) => (typeof jwk[name] === 'string' ? [[name, jwk[name]]] : [])),
  );
}

/** The kid of a public key: its RFC 7638 thumbprint. */
export const keyId = (publicKey: KeyObject): string =>
  thumbprint(publicMembers(publicKey.export({ format: 'jwk' })));

/** RFC 7638: what names a public key wherever it is published. */
const thumbprint = (members: PublicJwk): string =>
  createHash('sha256').update(JSON.stringify(members)).digest('base64url');

export const isHmac = (algorithm: Algorithm): algorithm is keyof typeof MIN_SECRET_BYTES =>
  algorithm in MIN_SECRET_BYTES;

/** What may be published (RFC 7517 §5): public keys only. */
export function publicKeys(set: KeySet): { keys: PublicJwk[] } {
  return { keys: set.flatMap((key) => (key.publicJwk ? [key.publicJwk] : [])) };
}
