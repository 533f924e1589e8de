import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError, loadConfig } from '../../src/config.js';
import {
  type Algorithm,
  KeyError,
  keyId,
  publicKeys,
  readKeySet,
  readSingleKey,
} from '../../src/tokens/key-set.js';

type Jwk = JsonWebKey & Record<string, unknown>;

const jwkOf = (key: KeyObject): Jwk => key.export({ format: 'jwk' }) as Jwk;
const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;
const setOf = (...keys: unknown[]): string => JSON.stringify({ keys });
const secret = (bytes: number): string => randomBytes(bytes).toString('base64url');

const rsaPair = (modulusLength: number, publicExponent = 65_537) =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent });
const ecPair = (namedCurve = 'P-256') => generateKeyPairSync('ec', { namedCurve });

const pairs = { rsa: rsaPair(2048), ec: ecPair(), ed: generateKeyPairSync('ed25519') };
const rsa: Jwk = { ...jwkOf(pairs.rsa.privateKey), alg: 'RS256' };
const ec: Jwk = { ...jwkOf(pairs.ec.privateKey), alg: 'ES256' };
const ed: Jwk = { ...jwkOf(pairs.ed.privateKey), alg: 'EdDSA' };
const otherRsa = jwkOf(rsaPair(2048).privateKey);
const otherEc = jwkOf(ecPair().privateKey);
const otherEd = jwkOf(generateKeyPairSync('ed25519').privateKey);

/** RFC 7517 A.2, which is also the key of RFC 7638 §3.1. */
const RFC_7517_RSA: Jwk = {
  kty: 'RSA',
  n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
  e: 'AQAB',
  d: 'X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q',
  p: '83i-7IvMGXoMXCskv73TKr8637FiO7Z27zv8oj6pbWUQyLPQBQxtPVnwD20R-60eTDmD2ujnMt5PoqMrm8RfmNhVWDtjjMmCMjOpSXicFHj7XOuVIYQyqVWlWEh6dN36GVZYk93N8Bc9vY41xy8B9RzzOGVQzXvNEvn7O0nVbfs',
  q: '3dfOR9cuYq-0S-mkFLzgItgMEfFzB2q3hWehMuG0oCuqnb3vobLyumqjVZQO1dIrdwgTnCdpYzBcOfW5r370AFXjiWft_NGEiovonizhKpo9VVS78TzFgxkIdrecRezsZ-1kYd_s1qDbxtkDEgfAITAG9LUnADun4vIcb6yelxk',
  dp: 'G4sPXkc6Ya9y8oJW9_ILj4xuppu0lzi_H7VTkS8xj5SdX3coE0oimYwxIi2emTAue0UOa5dpgFGyBJ4c8tQ2VF402XRugKDTP8akYhFo5tAA77Qe_NmtuYZc3C3m3I24G2GvR5sSDxUyAN2zq8Lfn9EUms6rY3Ob8YeiKkTiBj0',
  dq: 's9lAH9fggBsoFR8Oac2R_E2gw282rT2kGOAhvIllETE1efrA6huUUvMfBcMpn8lqeW6vzznYY5SSQF7pMdC_agI3nG8Ibp1BUb0JUiraRNqUfLhcQb_d9GF4Dh7e74WbRsobRonujTYN1xCaP6TO61jvWrX-L18txXw494Q_cgk',
  qi: 'GyM_p6JrXySiz1toFgKbWV-JdI3jQ4ypu9rbMWx3rQJBfmt0FoYzgUIZEVFEcOqwemRN81zoDAaa-Bk0KWNGDjJHZDdDmFhW3AN7lI-puxk_mHZGJ11rxyR8O55XLSe3SPmRfKwZI6yU24ZxvQKFYItdldUKGzO6Ia6zTKhAVRU',
};
/** RFC 8037 A.1. */
const RFC_8037_ED: Jwk = {
  kty: 'OKP',
  crv: 'Ed25519',
  d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
};

t.test('a kid is the thumbprint of RFC 7638, or the name that the key was given', async (t) => {
  const rsaThumbprint = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs';
  const edThumbprint = 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k';
  const [first, second, named] = readKeySet(
    setOf(
      { ...RFC_7517_RSA, alg: 'RS256' },
      { ...RFC_8037_ED, alg: 'EdDSA' },
      { ...ec, kid: '2011-04-29', use: 'sig', key_ops: ['sign', 'verify'] },
    ),
  );
  t.equal(first.kid, rsaThumbprint, 'RFC 7638 §3.1');
  t.equal(second?.kid, edThumbprint, 'RFC 8037 A.3');
  t.equal(named?.kid, '2011-04-29');
  t.equal(named?.publicJwk?.kid, '2011-04-29');

  const { n, e } = RFC_7517_RSA;
  const publicOnly = { kty: 'RSA', n, e, alg: 'RS256', kid: '2011-04-29' };
  t.equal(keyId(createPublicKey({ key: publicOnly as JsonWebKey, format: 'jwk' })), rsaThumbprint);

  const members = `{"crv":"P-256","kty":"EC","x":"${ec.x}","y":"${ec.y}"}`;
  const expected = createHash('sha256').update(members).digest('base64url');
  t.equal(readKeySet(setOf(ec))[0].kid, expected, 'a key on P-256');
  t.equal(readSingleKey(pemOf(pairs.ec.privateKey), 'ES256').kid, expected, 'the same from PEM');

  const padded = `AAAA${RFC_7517_RSA.n}`;
  t.equal(
    readKeySet(setOf({ ...RFC_7517_RSA, n: padded, alg: 'RS256' }))[0].kid,
    rsaThumbprint,
    'leading zeros make no other key',
  );
});

t.test('what is published holds the public half and nothing else', async (t) => {
  const set = readKeySet(
    setOf(rsa, ec, ed, { kty: 'oct', kid: 'shared', alg: 'HS256', k: secret(32), extra: 'x' }),
  );
  const { keys } = publicKeys(set);
  const common = ['alg', 'kid', 'kty', 'use'];
  t.strictSame(
    keys.map((jwk) => Object.keys(jwk).sort()),
    [[...common, 'e', 'n'].sort(), [...common, 'crv', 'x', 'y'].sort(), [...common, 'crv', 'x'].sort()],
  );
  t.ok(keys.every(({ use }) => use === 'sig'));
  const probe = Buffer.from('probe');
  for (const [index, jwk] of keys.entries()) {
    const digest = jwk.alg === 'EdDSA' ? null : 'sha256';
    const signature = sign(digest, probe, set[index]!.private);
    const published = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    t.ok(verify(digest, probe, published, signature), `${jwk.alg} can be verified with it`);
  }
});

/** `{ kty: 'RSA' }` whose numbers are as long as they would be, and random. */
function unrelatedRsa(bits: number): Jwk {
  const number = (size: number) => {
    const bytes = randomBytes(size / 8);
    bytes[0] = (bytes[0] ?? 0) | 0x80;
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) | 1;
    return bytes.toString('base64url');
  };
  const half = bits / 2;
  return {
    ...{ kty: 'RSA', e: 'AQAB', n: number(bits), d: number(bits), p: number(half), q: number(half) },
    ...{ dp: number(half), dq: number(half), qi: number(half) },
  };
}

const bigint = (text: unknown): bigint =>
  BigInt(`0x${Buffer.from(String(text), 'base64url').toString('hex')}`);
const encode = (value: bigint): string => {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex').toString('base64url');
};
/** The order of P-256's group: no private key is as large. */
const P256_ORDER = 'FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551';

const small = jwkOf(rsaPair(1024).privateKey);
const cubic = jwkOf(rsaPair(2048, 3).privateKey);
const without = (jwk: Jwk, ...names: string[]): Jwk =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => !names.includes(name)));
const shared = (bytes: number, more: object = {}) => ({
  ...{ kty: 'oct', alg: 'HS256', kid: 'shared', k: secret(bytes) },
  ...more,
});
const mismatch = /private and public halves do not match/;
const invalid = /is not a valid JWK/;

const REFUSED: [name: string, jwk: unknown, why: RegExp][] = [
  ['RSA of 1024 bits', { ...small, alg: 'RS256' }, /fewer than 2048 bits/],
  ['RSA of 2040 bits', { ...unrelatedRsa(2040), alg: 'RS256' }, /fewer than 2048 bits/],
  ['RSA of more than 8192 bits', { ...unrelatedRsa(8200), alg: 'PS256' }, /more than 8192 bits/],
  ['RSA with exponent 3', { ...cubic, alg: 'RS256' }, /small public exponent/],
  ['RSA with exponent 1', { ...rsa, e: 'AQ' }, /small public exponent/],
  ['RSA of random numbers', { ...unrelatedRsa(2048), alg: 'RS256' }, mismatch],
  ['RSA, n of another key', { ...rsa, n: otherRsa.n }, mismatch],
  ['RSA, another exponent', { ...rsa, e: 'AQAD' }, mismatch],
  ['RSA, p in the place of q', { ...rsa, q: rsa.p }, mismatch],
  ['RSA, 1 and n as factors', { ...rsa, p: 'AQ', q: rsa.n }, mismatch],
  ...['d', 'p', 'q', 'dp', 'dq', 'qi'].map((name): [string, unknown, RegExp] => [
    `RSA, ${name} of another key`,
    { ...rsa, [name]: otherRsa[name] },
    mismatch,
  ]),
  ...['p', 'q', 'dp', 'dq', 'qi'].map((name): [string, unknown, RegExp] => [
    `RSA, ${name} one too large`,
    { ...rsa, [name]: encode(bigint(rsa[name]) + 1n) },
    mismatch,
  ]),
  ['RSA without its factors', without(rsa, 'p', 'q', 'dp', 'dq', 'qi'), invalid],
  ['RSA without a private half', without(rsa, 'd', 'p', 'q', 'dp', 'dq', 'qi'), /no private half/],
  ['RSA without n', without(rsa, 'n'), invalid],
  ['P-384 for ES256', { ...jwkOf(ecPair('P-384').privateKey), alg: 'ES256' }, /ES256 needs a key on P-256/],
  ['secp256k1', { ...jwkOf(ecPair('secp256k1').privateKey), alg: 'ES256' }, /ES256 needs a key on P-256/],
  ['P-256 that says P-384', { ...ec, crv: 'P-384' }, invalid],
  ['EC, d of another key', { ...ec, d: otherEc.d }, mismatch],
  ['EC, point of another key', { ...ec, x: otherEc.x, y: otherEc.y }, mismatch],
  ['EC, not on the curve', { ...ec, y: otherEc.y }, invalid],
  ['EC, the point 0, 0', { ...ec, x: 'AA', y: 'AA' }, invalid],
  ['EC, d is 0', { ...ec, d: 'AA' }, /halves do not match|not a valid JWK/],
  [
    'EC, d is the order',
    { ...ec, d: Buffer.from(P256_ORDER, 'hex').toString('base64url') },
    /halves do not match|not a valid JWK/,
  ],
  ['EC, d beyond the order', { ...ec, d: secret(40) }, /halves do not match|not a valid JWK/],
  ['EC without y', without(ec, 'y'), invalid],
  ['EC without d', without(ec, 'd'), /no private half/],
  ['EC, d no text', { ...ec, d: 7 }, /no private half/],
  ['Ed25519, x of another key', { ...ed, x: otherEd.x }, mismatch],
  ['Ed25519, d of another key', { ...ed, d: otherEd.d }, mismatch],
  ['Ed25519, d too short', { ...ed, d: secret(16) }, invalid],
  ['Ed25519 without x', without(ed, 'x'), invalid],
  [
    'Ed448',
    { ...jwkOf(generateKeyPairSync('ed448').privateKey), alg: 'EdDSA' },
    /EdDSA needs an Ed25519 key/,
  ],
  [
    'X25519',
    { ...jwkOf(generateKeyPairSync('x25519').privateKey), alg: 'EdDSA' },
    /EdDSA needs an Ed25519 key/,
  ],
  ['EC for RS256', { ...ec, alg: 'RS256' }, /RS256 needs an RSA key/],
  ['RSA for ES256', { ...rsa, alg: 'ES256' }, /ES256 needs a key on P-256/],
  ['RSA for EdDSA', { ...rsa, alg: 'EdDSA' }, /EdDSA needs an Ed25519 key/],
  ['Ed25519 for PS256', { ...ed, alg: 'PS256' }, /PS256 needs an RSA key/],
  ['RSA for HS256', { ...rsa, alg: 'HS256', kid: 'rsa' }, /HS256 needs a key of kty oct/],
  ['oct for ES256', shared(32, { alg: 'ES256' }), /no private half/],
  ['HS256 of 31 bytes', shared(31), /is too short/],
  ['HS384 of 47 bytes', shared(47, { alg: 'HS384' }), /is too short/],
  ['HS512 of 63 bytes', shared(63, { alg: 'HS512' }), /is too short/],
  ['no secret at all', shared(0), /is not base64url/],
  ['a secret of zeros', { ...shared(0), k: 'A'.repeat(64) }, /one byte over and over/],
  ['a secret in padded base64', { ...shared(0), k: Buffer.alloc(32, 'ab').toString('base64') }, /base64url/],
  ['a secret that is no text', { ...shared(0), k: 42 }, /HS256 needs a key of kty oct/],
  ['a secret without a kid', without(shared(32), 'kid'), /needs a kid/],
  [
    'a public key as a secret',
    {
      ...shared(0),
      k: Buffer.from(pairs.rsa.publicKey.export({ type: 'spki', format: 'pem' })).toString('base64url'),
    },
    /HS256 needs a secret, and this is a PEM/,
  ],
  ['an empty kid', { ...ec, kid: '' }, /kid must be a text of 1 to 128/],
  ['a kid that is no text', { ...ec, kid: ['a'] }, /kid must be a text of 1 to 128/],
  ['a long kid', shared(32, { kid: 'k'.repeat(129) }), /kid must be a text of 1 to 128/],
  ['alg none', { ...ec, alg: 'none' }, /alg must be one of HS256/],
  ['no alg', without(ec, 'alg'), /alg must be one of HS256/],
  ['alg ES384', { ...ec, alg: 'ES384' }, /alg must be one of HS256/],
  ['alg in small letters', { ...ec, alg: 'es256' }, /alg must be one of HS256/],
  ['alg of a list', { ...ec, alg: ['ES256'] }, /alg must be one of HS256/],
  ['use enc', { ...ec, use: 'enc' }, /use must be sig/],
  ['key_ops without sign', { ...ec, key_ops: ['verify'] }, /key_ops must allow sign/],
  ['key_ops that is no list', { ...ec, key_ops: 'sign' }, /key_ops must allow sign/],
];

/** The first key of every set below; what is refused stands behind it. */
const GOOD = { ...jwkOf(generateKeyPairSync('ed25519').privateKey), alg: 'EdDSA', kid: 'good' };

/** What the service says when it is started with these settings. */
function faultsOf(t: Test, env: Record<string, string>): readonly string[] {
  try {
    loadConfig({ LATCHKEY_DATA_DIR: t.testdirName, ...env });
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'];

/** What must not be repeated, whatever is wrong with it. */
const secretsOf = (jwk: unknown): string[] =>
  Object.entries(jwk as object)
    .filter(([name, value]) => PRIVATE.includes(name) && typeof value === 'string' && value.length > 7)
    .map(([, value]) => value as string);

t.test('a key that must not be used stops the start', async (t) => {
  for (const [name, jwk, why] of REFUSED) {
    const json = setOf(GOOD, jwk);
    let thrown: unknown;
    try {
      readKeySet(json);
    } catch (error) {
      thrown = error;
    }
    if (!(thrown instanceof KeyError)) {
      t.fail(`${name}: ${thrown === undefined ? 'accepted' : String(thrown)}`);
      continue;
    }
    t.match(thrown.message, why, name);
    const faults = faultsOf(t, { JWT_KEYSET: json });
    t.strictSame(faults, [`JWT_KEYSET: ${thrown.message}`], 'naming the setting');
    t.match(faults[0], /^JWT_KEYSET: key 2: /, 'and the position');
    t.notOk(
      secretsOf(jwk).some((value) => faults[0]?.includes(value)),
      'and no value',
    );
  }
});

t.test('no key stands in a set twice', async (t) => {
  const { p, q, dp, dq } = rsa;
  // The same key with its factors exchanged: qi is then the inverse of the other.
  const [factorP, factorQ] = [bigint(p), bigint(q)];
  const swapped = { ...rsa, p: q, q: p, dp: dq, dq: dp, qi: encode(power(factorP, factorQ - 2n, factorQ)) };
  const one = shared(32);
  const twice: [string, unknown[], RegExp][] = [
    ['one key', [ec, ec], /^key 2: has the kid of key 1$/],
    ['under two names', [{ ...ec, kid: 'a' }, GOOD, { ...ec, kid: 'b' }], /^key 3: is key 1 once more$/],
    ['for two algorithms', [rsa, { ...rsa, alg: 'PS256', kid: 'b' }], /^key 2: is key 1 once more$/],
    ['written otherwise', [rsa, { ...swapped, kid: 'b' }], /^key 2: is key 1 once more$/],
    ['two with one name', [GOOD, { ...ec, kid: 'good' }], /^key 2: has the kid of key 1$/],
    ['one secret', [one, { ...one, kid: 'b' }], /^key 2: is key 1 once more$/],
  ];
  t.ok(readKeySet(setOf(swapped)), 'factors may come in either order');
  for (const [name, keys, why] of twice) {
    t.throws(() => readKeySet(setOf(...keys)), { name: 'KeyError', message: why }, name);
    t.match(faultsOf(t, { JWT_KEYSET: setOf(...keys) }), [/^JWT_KEYSET: key \d: /], name);
  }
});

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let factor = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * factor) % modulus;
    factor = (factor * factor) % modulus;
  }
  return result;
}

t.test('what is no key set stops the start', async (t) => {
  const dir = t.testdir({ 'broken.json': '{"keys":[', 'empty.json': '', 'good.json': setOf(ec) });
  const bad: [string, RegExp][] = [
    ['{"keys":"x"}', /has no keys/],
    ['{"keys":[]}', /has no keys/],
    ['{"keys":{"0":{}}}', /has no keys/],
    ['{}', /has no keys/],
    [`{${secret(12)}`, /is not JSON/],
    ['{"keys":[null]}', /holds what is no key/],
    ['{"keys":["x"]}', /holds what is no key/],
    ['{"keys":[[]]}', /holds what is no key/],
    ['{"keys":[{}]}', /key 1: alg must be one of/],
    [join(dir, 'broken.json'), /is not JSON/],
    [join(dir, 'empty.json'), /is not JSON/],
    [join(dir, 'missing.json'), /the file cannot be read \(ENOENT\)/],
    [dir, /the file cannot be read \(EISDIR\)/],
  ];
  for (const [value, why] of bad) {
    const faults = faultsOf(t, { JWT_KEYSET: value });
    t.match(faults, [why], value.slice(0, 20));
    t.match(faults[0], /^JWT_KEYSET: /);
    t.notMatch(faults[0], value, 'the value is not repeated');
  }
  t.strictSame(faultsOf(t, { JWT_KEYSET: join(dir, 'good.json') }), []);
  t.strictSame(faultsOf(t, { JWT_KEYSET: ` ${setOf(ec)} `, NODE_ENV: 'test' }), []);
});

t.test('JWT_SIGNING_KEY takes a private key in PEM for the other algorithms', async (t) => {
  const rsaPem = pemOf(pairs.rsa.privateKey);
  const good: [Algorithm, string][] = [
    ['RS256', rsaPem],
    ['PS256', rsaPem],
    ['RS256', pairs.rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string],
    ['ES256', pemOf(pairs.ec.privateKey)],
    ['ES256', pairs.ec.privateKey.export({ type: 'sec1', format: 'pem' }) as string],
    ['ES256', pemOf(pairs.ec.privateKey).replaceAll('\n', '\\n')],
    ['ES256', pemOf(pairs.ec.privateKey).replaceAll('\n', '\r\n')],
    ['EdDSA', pemOf(pairs.ed.privateKey)],
  ];
  for (const [JWT_ALGORITHM, JWT_SIGNING_KEY] of good)
    t.strictSame(faultsOf(t, { JWT_ALGORITHM, JWT_SIGNING_KEY }), [], JWT_ALGORITHM);

  const encrypted = pairs.ec.privateKey
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString();
  const publicPem = pairs.rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const bad: [Algorithm, string, RegExp][] = [
    ['RS256', pemOf(rsaPair(1024).privateKey), /fewer than 2048 bits/],
    ['PS256', pemOf(rsaPair(2048, 3).privateKey), /small public exponent/],
    ['RS256', pemOf(pairs.ec.privateKey), /RS256 needs an RSA key/],
    ['PS256', pemOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey), /needs an RSA key/],
    ['ES256', pemOf(ecPair('P-384').privateKey), /ES256 needs a key on P-256/],
    ['ES256', rsaPem, /ES256 needs a key on P-256/],
    ['EdDSA', pemOf(generateKeyPairSync('ed448').privateKey), /EdDSA needs an Ed25519 key/],
    ['EdDSA', pemOf(generateKeyPairSync('x25519').privateKey), /EdDSA needs an Ed25519 key/],
    ['RS256', publicPem, /RS256 needs a private key in PEM/],
    ['ES256', encrypted, /ES256 needs a private key in PEM/],
    ['ES256', JSON.stringify(ec), /ES256 needs a private key in PEM/],
    ['EdDSA', secret(48), /EdDSA needs a private key in PEM/],
    ['HS256', publicPem, /HS256 needs a secret, and this is a PEM/],
    ['HS512', rsaPem.replaceAll('\n', '\\n'), /HS512 needs a secret, and this is a PEM/],
  ];
  for (const [JWT_ALGORITHM, JWT_SIGNING_KEY, why] of bad) {
    const faults = faultsOf(t, { JWT_ALGORITHM, JWT_SIGNING_KEY });
    t.match(faults, [why], `${JWT_ALGORITHM} ${why.source}`);
    t.equal(faults.length, 1);
    t.match(faults[0], /^JWT_SIGNING_KEY \(JWT_SECRET_KEY\): /);
    t.notMatch(faults[0], JWT_SIGNING_KEY.split('\n').at(1) ?? JWT_SIGNING_KEY, 'the key is not repeated');
  }
  for (const JWT_ALGORITHM of ['RS256', 'PS256', 'ES256', 'EdDSA'])
    t.match(faultsOf(t, { JWT_ALGORITHM }), [/^JWT_ALGORITHM: .*JWT_KEYSET/], 'a key is needed');

  // OpenSSL takes a PEM with one key's private and another's public half.
  const sec1 = pairs.ec.privateKey.export({ type: 'sec1', format: 'der' });
  const foreign = ecPair().privateKey.export({ type: 'sec1', format: 'der' });
  const spliced = Buffer.concat([sec1.subarray(0, -65), foreign.subarray(-65)]).toString('base64');
  const mixed = `-----BEGIN EC PRIVATE KEY-----\n${spliced}\n-----END EC PRIVATE KEY-----\n`;
  t.match(faultsOf(t, { JWT_ALGORITHM: 'ES256', JWT_SIGNING_KEY: mixed }), [mismatch]);
});

t.test('a shared secret is as long as its hash (RFC 7518 §3.2)', async (t) => {
  const sizes = { HS256: 32, HS384: 48, HS512: 64 };
  const servers = { DATABASE_URL: 'postgres://127.0.0.1/x', REDIS_URL: 'redis://127.0.0.1:6379' };
  for (const [JWT_ALGORITHM, bytes] of Object.entries(sizes)) {
    const [enough, short] = [secret(bytes).slice(0, bytes), secret(bytes).slice(0, bytes - 1)];
    const env = { ...servers, JWT_ALGORITHM, NODE_ENV: 'production' };
    t.strictSame(faultsOf(t, { ...env, JWT_SIGNING_KEY: enough }), []);
    t.match(faultsOf(t, { ...env, JWT_SIGNING_KEY: short }), [
      new RegExp(`^JWT_SIGNING_KEY .*shorter than ${bytes} bytes`),
    ]);
    const { warnings } = loadConfig({
      ...servers,
      LATCHKEY_DATA_DIR: t.testdirName,
      JWT_ALGORITHM,
      JWT_SIGNING_KEY: short,
    });
    t.match(warnings, [/^JWT_SIGNING_KEY .*shorter than/], 'elsewhere it is a warning');
  }
});
