import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';

/** Keeps personal fields of events unreadable to whoever gets hold of the database alone. */
export interface FieldCipher {
  /** Of the key that encrypts. Without one every field is stored as it is. */
  readonly keyId: string | undefined;
  /** Encrypts by the first key. What was sealed for one `context` opens for no other. */
  seal(text: string, context: string): string;
  /** What was sealed, or was stored before there was a key; `undefined` when its key is gone or it was tampered with. */
  open(stored: string, context: string): string | undefined;
  /** Whether it is as `seal` would write it now. */
  isCurrent(stored: string): boolean;
  /** What equal texts have in common, and what says nothing of them without the key. Without a key the text itself. */
  fingerprint(text: string): string;
  /** As it is now, under each older key, and in the clear: rows are found while a change of keys is under way. */
  fingerprints(text: string): string[];
  /** A UUID that equal texts share (version 8, RFC 9562 §5.8). */
  nameUuid(text: string): string;
}

const ALGORITHM = 'aes-256-gcm';
/** NIST SP 800-38D §8.2.2: random nonces of 96 bits are good for 2^32 fields under one key. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * What begins like this is encrypted. Callers cannot write it: of what they send only ASCII reaches a column.
 * Behind it stand the version, the key's id, and nonce, ciphertext and tag in one.
 */
const MARK = '§1.';
const SEALED = /^§1\.([\w-]{8})\.([\w-]+)$/;

interface DataKey {
  id: string;
  encryption: Buffer;
  hash: Buffer;
}

/** @param keys base64 of 32 random bytes each: the first encrypts, all of them decrypt. */
export function createFieldCipher(keys: readonly string[]): FieldCipher {
  const known = keys.map(readKey);
  const byId = new Map(known.map((key) => [key.id, key]));
  const [current] = known;

  const fingerprint = (text: string): string => (current ? hash(current, text) : text);

  return {
    keyId: current?.id,
    fingerprint,

    seal(text, context) {
      if (!current) return text;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(ALGORITHM, current.encryption, nonce);
      cipher.setAAD(Buffer.from(context));
      const sealed = [nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()];
      return `${MARK}${current.id}.${Buffer.concat(sealed).toString('base64url')}`;
    },

    open(stored, context) {
      if (!stored.startsWith(MARK)) return stored;
      const [, id = '', sealed = ''] = SEALED.exec(stored) ?? [];
      const key = byId.get(id);
      return key && decrypt(key, Buffer.from(sealed, 'base64url'), context);
    },

    isCurrent: (stored) => (current ? stored.startsWith(`${MARK}${current.id}.`) : !stored.startsWith(MARK)),

    fingerprints: (text) => [...new Set([fingerprint(text), ...known.map((key) => hash(key, text)), text])],

    nameUuid(text) {
      const mac = current
        ? createHmac('sha256', current.hash).update(text)
        : createHash('sha256').update(text);
      const hex = mac.digest('hex');
      const variant = '89ab'[Number.parseInt(hex[16] as string, 16) & 3];
      return [
        hex.slice(0, 8),
        hex.slice(8, 12),
        `8${hex.slice(13, 16)}`,
        `${variant}${hex.slice(17, 20)}`,
        hex.slice(20, 32),
      ].join('-');
    },
  };
}

/** One key of its own for each use, and an id that tells nothing of them (RFC 5869). */
function readKey(base64: string): DataKey {
  const secret = Buffer.from(base64, 'base64');
  const derive = (label: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, '', `latchkey ${label}`, bytes));
  return {
    id: derive('data key id', 6).toString('base64url'),
    encryption: derive('data encryption', 32),
    hash: derive('data fingerprint', 32),
  };
}

/** 128 bits: two texts that share one will not be met. */
const hash = (key: DataKey, text: string): string =>
  createHmac('sha256', key.hash).update(text).digest('base64url').slice(0, 22);

function decrypt(key: DataKey, sealed: Buffer, context: string): string | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const tagAt = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv(ALGORITHM, key.encryption, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(sealed.subarray(tagAt));
  try {
    return decipher.update(sealed.subarray(NONCE_BYTES, tagAt), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    return undefined;
  }
}
