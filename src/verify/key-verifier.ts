import { constants, createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto';
import type { KeyVerifier } from '../tokens/key-ring.js';
import { isHmac, type VerifyingKey } from '../tokens/key-set.js';

type SignatureCheck = (input: Buffer, signature: Buffer) => boolean;

/** One key, prepared once, that verifies with what Node.js itself brings: whoever only verifies needs no more. */
export function createKeyVerifier(key: VerifyingKey): KeyVerifier {
  const isGood = createCheck(key);
  return {
    key,
    verify(token) {
      const [header = '', payload = '', signature = ''] = token.split('.');
      const readHeader = parseObject(header);
      if (readHeader.alg !== key.algorithm) throw new Error('alg');
      if (!isGood(Buffer.from(`${header}.${payload}`), Buffer.from(signature, 'base64url')))
        throw new Error('signature');
      return { header: readHeader, payload: parseObject(payload) };
    },
  };
}

function createCheck({ algorithm, public: key }: VerifyingKey): SignatureCheck {
  if (isHmac(algorithm)) {
    const hash = `sha${algorithm.slice(2)}`;
    return (input, signature) => {
      const expected = createHmac(hash, key).update(input).digest();
      return signature.length === expected.length && timingSafeEqual(signature, expected);
    };
  }
  const publicKey = createPublicKey(key);
  switch (algorithm) {
    case 'EdDSA':
      return (input, signature) => verify(null, input, publicKey, signature);
    case 'ES256':
      // RFC 7518 §3.4: the two numbers one after the other, no ASN.1.
      return (input, signature) =>
        verify('sha256', input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature);
    case 'PS256': {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
      return (input, signature) =>
        verify('sha256', input, { key: publicKey, padding, saltLength }, signature);
    }
    default:
      return (input, signature) => verify('sha256', input, publicKey, signature);
  }
}

function parseObject(part: string): Record<string, unknown> {
  const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('not an object');
  return value as Record<string, unknown>;
}
