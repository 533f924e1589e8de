import { AuthError } from '../errors.js';
import type { SignedPayload, TokenCodec, TokenType } from './claims.js';
import { type KeySet, type PublicJwk, publicKeys, type SigningKey, type VerifyingKey } from './key-set.js';

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
}

/** The keys of the moment. They may be replaced while requests are under way: each call uses one state. */
export function createKeyRing(codecs: readonly [KeyCodec, ...KeyCodec[]]): KeyRing {
  let ring = assemble(codecs);

  return {
    sign: (type, payload) => ring.signer.sign(type, payload),
    verifySignature: (token) => ring.verify(token),
    replace(next) {
      ring = assemble(next);
    },
    publicKeys: () => ring.published,
    kids: () => ring.kids,
  };
}

const assemble = (codecs: readonly [KeyCodec, ...KeyCodec[]]) => ({
  signer: codecs[0],
  verify: createSignatureCheck(codecs),
  published: publicKeys(codecs.map((codec) => codec.key) as unknown as KeySet),
  kids: codecs.map((codec) => codec.key.kid),
});

const MAX_KNOWN_HEADERS = 64;

/** Checks form, algorithm and signature by the key that a token names. Throws `token_invalid`. */
export function createSignatureCheck(verifiers: readonly KeyVerifier[]): (token: string) => SignedPayload {
  const byKid = new Map(verifiers.map((verifier) => [verifier.key.kid, verifier]));
  const kids = new Map<string, string | undefined>();

  return (token) => {
    requireCanonicalForm(token);
    const header = token.slice(0, token.indexOf('.'));
    const kid = kids.has(header) ? kids.get(header) : readKid(header);
    const verifier = byKid.get(kid);
    if (!verifier) throw new UnknownKeyError();
    try {
      const signed = verifier.verify(token);
      // Our own headers are few: each is parsed once. A forged one never gets here.
      if (kids.size < MAX_KNOWN_HEADERS) kids.set(header, kid);
      return signed;
    } catch (error) {
      throw new AuthError('token_invalid', { why: error instanceof Error ? error.message : 'unreadable' });
    }
  };
}

/** The `kid` of a header that has not been verified: a hint which key to try, nothing more. */
function readKid(header: string): string | undefined {
  let kid: unknown;
  try {
    kid = (JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid?: unknown }).kid;
  } catch {
    throw new AuthError('token_invalid', { why: 'header is not JSON' });
  }
  if (kid !== undefined && typeof kid !== 'string') throw new AuthError('token_invalid', { why: 'kid' });
  return kid;
}

/** Far above any token that Latchkey signs; what is longer is not looked at. */
export const MAX_TOKEN_LENGTH = 8192;

const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/**
 * The last character of an unpadded base64url text may carry bits that decoders ignore, so one signature has
 * several spellings (RFC 4648 §3.5). Only the one that we write is taken.
 */
function requireCanonicalForm(token: string): void {
  if (token.length > MAX_TOKEN_LENGTH || !COMPACT_JWS.test(token)) {
    throw new AuthError('token_invalid', { why: 'not a compact JWS' });
  }
  const signature = token.slice(token.lastIndexOf('.') + 1);
  if (Buffer.from(signature, 'base64url').toString('base64url') !== signature) {
    throw new AuthError('token_invalid', { why: 'signature not canonical' });
  }
}
