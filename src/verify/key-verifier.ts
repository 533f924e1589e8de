import {
  constants,
  createHmac,
  createPublicKey,
  createSecretKey,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import type { KeyVerifier } from '../tokens/key-ring.js';
import { isHmac, type VerifyingKey } from '../tokens/key-set.js';

type SignatureCheck = (input: string, signature: Buffer) => boolean;

/**
 * One key, prepared once, that verifies with what Node.js itself brings: whoever only verifies needs no more, and
 * where the signature is an HMAC a library that prepares it each time costs three times as much (`npm run bench`).
 */
export function createKeyVerifier(key: VerifyingKey): KeyVerifier {
  const isGood = createCheck(key);
  const readHeader = rememberLast((part) => Object.freeze(parseObject(part)));
  return {
    key,
    verify(token) {
      const bodyStart = token.indexOf('.') + 1;
      const bodyEnd = token.lastIndexOf('.');
      const header = readHeader(token.slice(0, bodyStart - 1));
      if (header.alg !== key.algorithm) throw new Error('alg');
      if (!isGood(token.slice(0, bodyEnd), Buffer.from(token.slice(bodyEnd + 1), 'base64url')))
        throw new Error('signature');
      return { header, payload: parseObject(token.slice(bodyStart, bodyEnd)) };
    },
  };
}

/** Tokens of one kind and key have one header. */
function rememberLast<T>(read: (text: string) => T): (text: string) => T {
  let last: { text: string; value: T } | undefined;
  return (text) => {
    if (last?.text !== text) last = { text, value: read(text) };
    return last.value;
  };
}

function createCheck({ algorithm, public: key }: VerifyingKey): SignatureCheck {
  if (isHmac(algorithm)) {
    const hash = `sha${algorithm.slice(2)}`;
    const secret = createSecretKey(Buffer.from(key));
    return (input, signature) => {
      const expected = createHmac(hash, secret).update(input).digest();
      return signature.length === expected.length && timingSafeEqual(signature, expected);
    };
  }
  const publicKey = createPublicKey(key);
  switch (algorithm) {
    case 'EdDSA':
      return (input, signature) => verify(null, Buffer.from(input), publicKey, signature);
    case 'ES256':
      // RFC 7518 §3.4: the two numbers one after the other, no ASN.1.
      return (input, signature) =>
        verify('sha256', Buffer.from(input), { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
    case 'PS256': {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
      return (input, signature) =>
        verify('sha256', Buffer.from(input), { key: publicKey, padding, saltLength }, signature);
    }
    default:
      return (input, signature) => verify('sha256', Buffer.from(input), publicKey, signature);
  }
}

function parseObject(part: string): Record<string, unknown> {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object');
  return value as Record<string, unknown>;
}
