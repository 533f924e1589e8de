import { createHmac } from 'node:crypto';
import t from 'tap';
import { createSecretDeriver } from '../../src/tokens/derived-secrets.js';
import { createKeyRing, type KeyCodec } from '../../src/tokens/key-ring.js';
import { generateKey } from '../../src/tokens/key-rotation.js';
import { readKeySet, readSingleKey, type SigningKey } from '../../src/tokens/key-set.js';

const SECRET = 'a signing key of more than thirty-two bytes';
const plain = readSingleKey(SECRET, 'HS256');
const hex = (secrets: readonly Buffer[]) => secrets.map((secret) => secret.toString('hex'));

/** RFC 5869 §2 by HMAC alone: extract without a salt, expand to one block. */
function hkdf(key: string, info: string): string {
  const prk = createHmac('sha256', Buffer.alloc(32)).update(key).digest();
  return createHmac('sha256', prk).update(`${info}\x01`).digest('hex');
}

t.test('a secret for each key and purpose', async (t) => {
  const derive = createSecretDeriver([plain]);
  t.strictSame(hex(derive('device cookie')), [hkdf(SECRET, 'latchkey device cookie')], 'HKDF of RFC 5869');
  t.notSame(derive('device cookie'), derive('another purpose'));
  t.equal(derive('device cookie'), derive('device cookie'), 'derived once');

  const made = readKeySet(
    JSON.stringify({ keys: (['EdDSA', 'HS512', 'ES256'] as const).map((alg) => generateKey(alg, 0)) }),
  );
  const secrets = hex(createSecretDeriver([...made, plain])('device cookie'));
  t.equal(new Set(secrets).size, 4);
  t.equal(secrets[3], hkdf(SECRET, 'latchkey device cookie'), 'in the order of the keys');
  t.strictSame(secrets.slice(0, 3), hex(createSecretDeriver(made)('device cookie')), 'the same everywhere');
});

t.test('a plain key that moves into a set keeps its secrets', async (t) => {
  const k = Buffer.from(SECRET).toString('base64url');
  const [moved] = readKeySet(JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', kid: 'one', k }] }));
  t.strictSame(createSecretDeriver([moved])('x'), createSecretDeriver([plain])('x'));
});

t.test('a ring derives from the keys of the moment', async (t) => {
  const codec = (key: SigningKey): KeyCodec => ({
    key,
    sign: () => '',
    verify: () => ({ header: {}, payload: {} }),
  });
  const next = readSingleKey(SECRET.toUpperCase(), 'HS256');
  const ring = createKeyRing([codec(plain)]);
  const [old] = ring.deriveSecrets('x') as [Buffer];
  ring.replace([codec(next), codec(plain)]);
  const [first, second] = ring.deriveSecrets('x') as [Buffer, Buffer];
  t.notSame(first, old);
  t.same(second, old, 'what was made with the old key is still known');
  ring.replace([codec(next)]);
  t.same(ring.deriveSecrets('x'), [first]);
});
