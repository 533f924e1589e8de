import { MAX_TOKEN_LENGTH } from '../contract/tokens.js';
import { AuthError } from '../errors.js';
import type { SignedPayload, TokenCodec, TokenType } from './claims.js';
import { type KeySet, type PublicJwk, publicKeys, type SigningKey } from './key-set.js';

/** One key with what signs and verifies by it; the algorithm is pinned by the key (RFC 8725 §3.1). */
export interface KeyCodec {
  key: SigningKey;
  sign(type: TokenType, payload: Record<string, unknown>): string;
  /** Throws whatever it likes when the token is not signed by this key. */
  verify(token: string): SignedPayload;
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
    verifySignature(token) {
      requireCanonicalForm(token);
      const { byKid, kids } = ring;
      const header = token.slice(0, token.indexOf('.'));
      const kid = kids.has(header) ? kids.get(header) : readKid(header);
      const codec = byKid.get(kid);
      if (!codec) throw new AuthError('token_invalid', { why: 'no such key' });
      try {
        const signed = codec.verify(token);
        // Our own headers are few: each is parsed once. A forged one never gets here.
        if (kids.size < MAX_KNOWN_HEADERS) kids.set(header, kid);
        return signed;
      } catch (error) {
        throw new AuthError('token_invalid', { why: error instanceof Error ? error.message : 'unreadable' });
      }
    },
    replace(next) {
      ring = assemble(next);
    },
    publicKeys: () => ring.published,
    kids: () => [...ring.byKid.keys()],
  };
}

const MAX_KNOWN_HEADERS = 64;

function assemble(codecs: readonly [KeyCodec, ...KeyCodec[]]) {
  return {
    signer: codecs[0],
    byKid: new Map(codecs.map((codec) => [codec.key.kid, codec])),
    kids: new Map<string, string | undefined>(),
    published: publicKeys(codecs.map((codec) => codec.key) as unknown as KeySet),
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
