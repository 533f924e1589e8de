import { AuthError } from '../errors.js';
import { deepFreeze } from '../lib/deep-freeze.js';
import { HEADER_TYPE, type SignedPayload, type TokenCodec, type TokenType } from './claims.js';
import { createSecretDeriver } from './derived-secrets.js';
import { type KeySet, type PublicJwk, publicKeys, type SigningKey, type VerifyingKey } from './key-set.js';
import { LEGACY_HEADER_TYPE } from './legacy-claims.js';

/** One key with what verifies by it; the algorithm is pinned by the key (RFC 8725 §3.1). */
export interface KeyVerifier {
  key: VerifyingKey;
  /** Throws whatever it likes when the token is not signed by this key. */
  verify(token: string): SignedPayload;
}

/** One key with what signs and verifies by it. */
export interface KeyCodec extends KeyVerifier {
  key: SigningKey;
  sign(type: TokenType, payload: Record<string, unknown>): string;
}

/** No key of this name is known; there may be one by now where the keys come from. */
export class UnknownKeyError extends AuthError {
  constructor() {
    super('token_invalid', { why: 'no such key' });
  }
}

export interface KeyRing extends TokenCodec {
  /** From here on the first of these signs and all of them verify. */
  replace(codecs: readonly [KeyCodec, ...KeyCodec[]]): void;
  /** RFC 7517 §5: what may be published of the keys in use. */
  publicKeys(): { keys: PublicJwk[] };
  /** The names of the keys in use, the one that signs first. */
  kids(): (string | undefined)[];
  /** A secret for this purpose out of each key in use, that of the key which signs first: {@link createSecretDeriver}. */
  deriveSecrets(label: string): readonly Buffer[];
}

/**
 * The keys of the moment. They may be replaced while requests are under way: each call uses one state. The key of an
 * old system stays, and verifies nothing but that system's tokens.
 */
export function createKeyRing(codecs: readonly [KeyCodec, ...KeyCodec[]], legacy?: KeyVerifier): KeyRing {
  let ring = assemble(codecs, legacy);

  return {
    sign: (type, payload) => ring.signer.sign(type, payload),
    verifySignature: (token) => ring.verify(token),
    replace(next) {
      ring = assemble(next, legacy);
    },
    publicKeys: () => ring.published,
    kids: () => ring.kids,
    deriveSecrets: (label) => ring.deriveSecrets(label),
  };
}

const assemble = (codecs: readonly [KeyCodec, ...KeyCodec[]], legacy: KeyVerifier | undefined) => ({
  signer: codecs[0],
  verify: createSignatureCheck(codecs, legacy),
  published: publicKeys(codecs.map((codec) => codec.key) as unknown as KeySet),
  kids: codecs.map((codec) => codec.key.kid),
  deriveSecrets: createSecretDeriver(codecs.map((codec) => codec.key)),
});

const MAX_KNOWN_HEADERS = 64;
/** Some 3 KiB each while they are remembered. */
const MAX_KNOWN_TOKENS = 2048;

/**
 * Checks form, algorithm and signature by the key that a token names. Throws `token_invalid`.
 *
 * An access token is shown many times in its life, so those that were good are remembered, by their whole text and
 * for as long as these keys serve. A refresh token is shown once.
 */
export function createSignatureCheck(
  verifiers: readonly KeyVerifier[],
  legacy?: KeyVerifier,
): (token: string) => SignedPayload {
  const byKid = new Map(verifiers.map((verifier) => [verifier.key.kid, verifier]));
  const byHeader = new Map<string, KeyVerifier>();
  const known = new Map<string, SignedPayload>();

  function remember(token: string, signed: SignedPayload): void {
    const [oldest] = known.size < MAX_KNOWN_TOKENS ? [] : known.keys();
    if (oldest !== undefined) known.delete(oldest);
    known.set(token, deepFreeze(signed));
  }

  /** By `typ` first: the old system's key may be the very one that signs ours. */
  const choose = ({ typ, kid }: Hint): KeyVerifier | undefined =>
    legacy && typ === LEGACY_HEADER_TYPE ? legacy : byKid.get(kid);

  return (token) => {
    const seen = known.get(token);
    if (seen) return seen;
    requireCanonicalForm(token);
    const header = token.slice(0, token.indexOf('.'));
    const verifier = byHeader.get(header) ?? choose(readHint(header));
    if (!verifier) throw new UnknownKeyError();
    try {
      const signed = verifier.verify(token);
      if (verifier === legacy) signed.isLegacy = true;
      // Our own headers are few: each is parsed once. A forged one never gets here.
      if (byHeader.size < MAX_KNOWN_HEADERS) byHeader.set(header, verifier);
      if (isShownOften(signed)) remember(token, signed);
      return signed;
    } catch (error) {
      throw new AuthError('token_invalid', { why: error instanceof Error ? error.message : 'unreadable' });
    }
  };
}

const isShownOften = ({ header, payload, isLegacy }: SignedPayload): boolean =>
  header.typ === HEADER_TYPE.access || (isLegacy === true && payload.token_type === 'access');

interface Hint {
  typ: unknown;
  kid: string | undefined;
}

/** Of a header that has not been verified: which key to try, nothing more. */
function readHint(header: string): Hint {
  let typ: unknown;
  let kid: unknown;
  try {
    ({ typ, kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as {
      typ?: unknown;
      kid?: unknown;
    });
  } catch {
    throw new AuthError('token_invalid', { why: 'header is not JSON' });
  }
  if (kid !== undefined && typeof kid !== 'string') throw new AuthError('token_invalid', { why: 'kid' });
  return { typ, kid };
}

/** Far above any token that Latchkey signs; what is longer is not looked at. */
export const MAX_TOKEN_LENGTH = 8192;

/**
 * The last character of an unpadded base64url text may carry bits that decoders ignore, so one signature has
 * several spellings (RFC 4648 §3.5). Only the one that we write is taken: there these bits are zero. What is signed,
 * header and payload, can be spelled in one way only, or the signature is another.
 */
const SIGNATURE = /^(?:[\w-]{4})*(?:[\w-]{4}|[\w-]{2}[AEIMQUYcgkosw048]|[\w-][AQgw])$/;

function requireCanonicalForm(token: string): void {
  const payload = token.indexOf('.') + 1;
  const end = token.indexOf('.', payload);
  const hasThreeParts = token.length <= MAX_TOKEN_LENGTH && payload > 1 && end > payload;
  if (!hasThreeParts || !SIGNATURE.test(token.slice(end + 1))) {
    throw new AuthError('token_invalid', { why: 'not a compact JWS in canonical form' });
  }
}
