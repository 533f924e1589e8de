import {
  constants,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  randomBytes,
  type SignKeyObjectInput,
  sign,
  type VerifyKeyObjectInput,
  verify,
} from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { newTokenId } from '../../src/lib/ids.js';
import { generateKey, type StoredJwk } from '../../src/tokens/key-rotation.js';
import { ALGORITHMS, type Algorithm } from '../../src/tokens/key-set.js';
import { signUp, TEST_KEY, type TestApp } from '../support/app.js';
import { decode, encode, expectProblem, meOf, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

type PublicJwk = Record<string, string>;

const keyOf = (algorithm: Algorithm, more: object = {}): StoredJwk => ({
  ...generateKey(algorithm, 0),
  ...more,
});
/** One of each: RSA keys take a while to make. */
const keys = Object.fromEntries(ALGORITHMS.map((alg) => [alg, keyOf(alg)])) as Record<Algorithm, StoredJwk>;
const setOf = (...keys: unknown[]): string => JSON.stringify({ keys });
const appWith = (t: Test, ...keys: unknown[]): Promise<TestApp> =>
  watchedApp(t, { env: { JWT_KEYSET: setOf(...keys), JWT_SIGNING_KEY: '' } });

async function jwksOf({ send }: TestApp): Promise<PublicJwk[]> {
  const response = await send({ url: '/.well-known/jwks.json' });
  if (response.statusCode !== 200) throw new Error(`jwks answered ${response.statusCode}`);
  return response.json<{ keys: PublicJwk[] }>().keys;
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } as const;
const SCHEMES: Record<string, { digest: string | null } & Partial<SignKeyObjectInput>> = {
  RS256: { digest: 'sha256' },
  RS384: { digest: 'sha384' },
  PS256: { digest: 'sha256', ...PSS },
  ES256: { digest: 'sha256', dsaEncoding: 'ieee-p1363' },
  EdDSA: { digest: null },
};
const HASHES: Record<string, string> = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };

/** RFC 7515 §5.1 by node:crypto alone. */
function signJws(
  scheme: string,
  key: string | Buffer | JsonWebKey,
  header: unknown,
  claims: unknown,
): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signature(scheme, key, input).toString('base64url')}`;
}

function signature(scheme: string, key: string | Buffer | JsonWebKey, input: string): Buffer {
  const hash = HASHES[scheme];
  if (hash)
    return createHmac(hash, key as string)
      .update(input)
      .digest();
  const { digest, ...options } = SCHEMES[scheme]!;
  const privateKey = createPrivateKey({ key: key as JsonWebKey, format: 'jwk' });
  return sign(digest, Buffer.from(input), { key: privateKey, ...options } as SignKeyObjectInput);
}

/** RFC 7515 §5.2 by node:crypto alone, with what the service publishes. */
function isSignedBy(token: string, jwk: PublicJwk): boolean {
  const [header, payload, bytes] = token.split('.') as [string, string, string];
  const { digest, ...options } = SCHEMES[jwk.alg!]!;
  const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  return verify(
    digest,
    Buffer.from(`${header}.${payload}`),
    { key, ...options } as VerifyKeyObjectInput,
    Buffer.from(bytes, 'base64url'),
  );
}

const TYPES = { access: 'at+jwt', refresh: 'rt+jwt' } as const;

t.test('every algorithm signs, verifies and publishes what it may', async (t) => {
  for (const alg of ALGORITHMS) {
    await t.test(alg, async (t) => {
      const key = keys[alg];
      const app = await appWith(t, key);
      const { send } = app;
      const first = await signUp(app);
      const refreshed = await send(refreshWith(first.refresh));
      t.equal(refreshed.statusCode, 200);
      const second = refreshed.json<typeof first>();

      const published = await jwksOf(app);
      const hash = HASHES[alg];
      if (hash) t.strictSame(published, [], 'what verifies would also sign');
      else {
        const { kty, crv, x, y, n, e } = key;
        const members = Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined);
        t.strictSame(published, [{ ...Object.fromEntries(members), kid: key.kid, use: 'sig', alg }]);
      }
      for (const [name, token] of [
        ['access', first.access],
        ['refresh', first.refresh],
        ['access', second.access],
        ['refresh', second.refresh],
      ] as const) {
        t.strictSame(decode(token).header, { alg, typ: TYPES[name], kid: key.kid }, `the ${name} header`);
        const [header, payload, bytes] = token.split('.');
        if (hash) {
          const expected = createHmac(hash, Buffer.from(key.k!, 'base64url'));
          t.equal(expected.update(`${header}.${payload}`).digest('base64url'), bytes, 'signed by the secret');
        } else {
          t.ok(isSignedBy(token, published[0]!), 'signed by the published key');
        }
      }
      for (const { access } of [first, second]) t.equal((await send(meOf(access))).statusCode, 200);
      for (const token of [second.access, second.refresh])
        t.match((await send(verifyOf(token))).json(), { valid: true });

      const cut = second.access.lastIndexOf('.') + 1;
      const bent = Buffer.from(second.access.slice(cut), 'base64url');
      bent[5]! ^= 1;
      const forged = second.access.slice(0, cut) + bent.toString('base64url');
      expectProblem(t, await send(meOf(forged)), 401, 'token_invalid');
    });
  }
});

const es = keys.ES256;
const rs = { ...keys.RS256, kid: 'named-by-hand' };
const ed = keys.EdDSA;
const hs = { ...keys.HS256, kid: 'shared' };
const stranger = keyOf('ES256');
const strangeSecret = randomBytes(64);

t.test('a key verifies what it signed, by its own algorithm, and nothing else', async (t) => {
  const app = await appWith(t, es, rs, ed, hs);
  const { send } = app;
  const { access } = await signUp(app);
  const { claims } = decode(access);
  const typ = 'at+jwt';
  const secret = Buffer.from(hs.k!, 'base64url');

  for (const [alg, key] of [
    ['ES256', es],
    ['RS256', rs],
    ['EdDSA', ed],
  ] as const) {
    const token = signJws(alg, key, { alg, typ, kid: key.kid }, claims);
    t.equal((await send(meOf(token))).statusCode, 200, `${alg} by its own key`);
  }
  const byShared = signJws('HS256', secret, { alg: 'HS256', typ, kid: 'shared' }, claims);
  t.equal((await send(meOf(byShared))).statusCode, 200, 'HS256 by its own key');

  const rsPublic = createPublicKey({ key: rs, format: 'jwk' });
  const published = (await jwksOf(app)).find(({ kid }) => kid === rs.kid)!;
  const esHeader = { alg: 'ES256', typ, kid: es.kid };
  const input = `${encode(esHeader)}.${encode(claims)}`;
  const dsa = createPrivateKey({ key: es, format: 'jwk' });
  const derSignature = sign('sha256', Buffer.from(input), dsa).toString('base64url');
  const publicOf = ({ kty, crv, x, y }: JsonWebKey) => ({ kty, crv, x, y });

  const forged: [string, string][] = [
    ['another key of the set', signJws('EdDSA', ed, { alg: 'EdDSA', typ, kid: es.kid }, claims)],
    ['another key and the right alg', signJws('RS256', rs, esHeader, claims)],
    ['a stranger by our kid', signJws('ES256', stranger, esHeader, claims)],
    ['a stranger by his own', signJws('ES256', stranger, { ...esHeader, kid: stranger.kid }, claims)],
    ['a strange secret', signJws('HS256', strangeSecret, { alg: 'HS256', typ, kid: 'shared' }, claims)],
    ['the same RSA key by PS256', signJws('PS256', rs, { alg: 'PS256', typ, kid: rs.kid }, claims)],
    ['the same RSA key by RS384', signJws('RS384', rs, { alg: 'RS384', typ, kid: rs.kid }, claims)],
    ['RS256 signed as PS256', signJws('PS256', rs, { alg: 'RS256', typ, kid: rs.kid }, claims)],
    ['the same secret by HS384', signJws('HS384', secret, { alg: 'HS384', typ, kid: 'shared' }, claims)],
    ...(
      [
        ['PEM', rsPublic.export({ type: 'spki', format: 'pem' })],
        ['PEM without its last line break', String(rsPublic.export({ type: 'spki', format: 'pem' })).trim()],
        ['PKCS#1 PEM', rsPublic.export({ type: 'pkcs1', format: 'pem' })],
        ['DER', rsPublic.export({ type: 'spki', format: 'der' })],
        ['JWK', JSON.stringify(published)],
        ['modulus', Buffer.from(published.n!, 'base64url')],
      ] as const
    ).flatMap(([form, key]): [string, string][] =>
      [rs.kid, 'shared', undefined].map((kid) => [
        `HS256 with the public ${form}, kid ${kid}`,
        signJws('HS256', key, { alg: 'HS256', typ, kid }, claims),
      ]),
    ),
    ...[
      ...['nobody', '', '../../../etc/passwd', 'keys.json', '__proto__', 'constructor', 'toString'],
      ...[`${es.kid} `, es.kid.toUpperCase(), [es.kid], [], {}, { toString: 1 }, 7, true, null, undefined],
    ].map((kid): [string, string] => [
      `kid ${JSON.stringify(kid)}`,
      signJws('ES256', es, { alg: 'ES256', typ, kid }, claims),
    ]),
    ...[['exp'], [], ['b64'], 'x', null].map((crit): [string, string] => [
      `crit ${JSON.stringify(crit)}`,
      signJws('ES256', es, { ...esHeader, crit }, claims),
    ]),
    ['b64 false', signJws('ES256', es, { ...esHeader, b64: false }, claims)],
    ...['none', 'None', 'es256', 'ES384', '', undefined, null, ['ES256'], { ES256: 1 }].flatMap(
      (alg): [string, string][] => [
        [`alg ${JSON.stringify(alg)}`, signJws('ES256', es, { ...esHeader, alg }, claims)],
        [`alg ${JSON.stringify(alg)}, unsigned`, `${encode({ ...esHeader, alg })}.${encode(claims)}.`],
      ],
    ),
    [
      'a key that the token brings',
      signJws('ES256', stranger, { ...esHeader, jwk: publicOf(stranger) }, claims),
    ],
    ['no kid but a key', signJws('ES256', stranger, { alg: 'ES256', typ, jwk: publicOf(stranger) }, claims)],
    [
      'the address of a key',
      signJws('ES256', stranger, { ...esHeader, jku: 'http://127.0.0.1:9/jwks.json' }, claims),
    ],
    // CVE-2022-21449.
    ['zeros for a signature', `${input}.${Buffer.alloc(64).toString('base64url')}`],
    ['a signature in DER', `${input}.${derSignature}`],
    ['half a signature', `${input}.${Buffer.alloc(32, 1).toString('base64url')}`],
    ['no typ', signJws('ES256', es, { alg: 'ES256', kid: es.kid }, claims)],
    ['the other typ', signJws('ES256', es, { ...esHeader, typ: 'rt+jwt' }, claims)],
  ];
  for (const [name, token] of forged) {
    const answers = await Promise.all([send(meOf(token)), send(verifyOf(token))]);
    const seen = answers.map((answer) => `${answer.statusCode} ${answer.json<{ code: string }>().code}`);
    // An empty signature is no bearer token by its form either.
    t.strictSame(seen, ['401 token_invalid', '401 token_invalid'], name);
  }
  t.equal((await send(meOf(access))).statusCode, 200, 'the good one is good to the end');
});

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth', 'created_at', 'retired_at'];

t.test('the published set is public to its last member', async (t) => {
  const app = await appWith(t, hs, es, rs, ed, keys.PS256, keys.HS512);
  const response = await app.send({ url: '/.well-known/jwks.json' });
  const published = response.json<{ keys: PublicJwk[] }>().keys;
  t.equal(response.headers['cache-control'], 'public, max-age=300');
  t.match(response.headers['content-type'], /^application\/json/);
  t.strictSame(
    published.map(({ alg }) => alg),
    ['ES256', 'RS256', 'EdDSA', 'PS256'],
  );
  for (const jwk of published) {
    t.strictSame(
      PRIVATE.filter((name) => name in jwk),
      [],
      String(jwk.alg),
    );
    t.match(jwk, { use: 'sig', kid: /./, kty: /^(EC|RSA|OKP)$/ });
  }
  const secrets = [es, rs, ed, hs].flatMap(({ d, p, q, k }) => [d, p, q, k]).filter((each) => !!each);
  t.notOk(secrets.some((secret) => response.body.includes(secret as string)));
  t.equal((await app.send({ url: '/.well-known/jwks.json/' })).statusCode, 200);

  const shared = await watchedApp(t);
  t.strictSame(await jwksOf(shared), [], 'a plain secret is never there');
});

t.test('a private key in PEM serves without a set', async (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  for (const JWT_SIGNING_KEY of [pem, pem.replaceAll('\n', '\\n')]) {
    const app = await watchedApp(t, { env: { JWT_ALGORITHM: 'ES256', JWT_SIGNING_KEY } });
    const { access } = await signUp(app);
    const [published, ...others] = await jwksOf(app);
    t.strictSame(others, []);
    t.equal(decode(access).header.kid, published?.kid);
    t.ok(isSignedBy(access, published!));
    t.equal((await app.send(meOf(access))).statusCode, 200);
  }
});

t.test('a plain secret beside a set verifies what it signed before, and signs nothing', async (t) => {
  const app = await watchedApp(t, { env: { JWT_KEYSET: setOf(es), JWT_SIGNING_KEY: TEST_KEY } });
  const { access } = await signUp(app);
  const { header, claims } = decode(access);
  t.equal(header.kid, es.kid);
  const old = { alg: 'HS256', typ: 'at+jwt' };
  t.equal((await app.send(meOf(signJws('HS256', TEST_KEY, old, claims)))).statusCode, 200);
  for (const [name, token] of [
    ['with a kid', signJws('HS256', TEST_KEY, { ...old, kid: es.kid }, claims)],
    ['with an unknown kid', signJws('HS256', TEST_KEY, { ...old, kid: 'x' }, claims)],
    ['by another secret', signJws('HS256', strangeSecret, old, claims)],
    ['by the new key without its kid', signJws('ES256', es, { alg: 'ES256', typ: 'at+jwt' }, claims)],
  ] as const) {
    t.equal((await app.send(meOf(token))).json<{ code: string }>().code, 'token_invalid', name);
  }
  t.same(
    (await jwksOf(app)).map(({ kid }) => kid),
    [es.kid],
  );

  // The PEM that used to sign may have become the first key of the set.
  const pem = createPrivateKey({ key: es, format: 'jwk' }).export({ type: 'pkcs8', format: 'pem' }) as string;
  const both = { JWT_KEYSET: setOf(es), JWT_SIGNING_KEY: pem, JWT_ALGORITHM: 'ES256' };
  t.equal((await jwksOf(await watchedApp(t, { env: both }))).length, 1, 'one key is published once');
});

t.test('a changed file is read again, and a broken one is not', async (t) => {
  const [old, next, last] = [keyOf('ES256'), keyOf('EdDSA'), keyOf('HS256', { kid: 'last' })];
  const path = join(t.testdir(), 'keys.json');
  const put = (text: string) => {
    writeFileSync(`${path}.draft`, text);
    renameSync(`${path}.draft`, path);
  };
  put(setOf(old));
  const app = await watchedApp(t, { env: { JWT_KEYSET: path, JWT_SIGNING_KEY: '' } });
  const { send } = app;
  const person = await signUp(app);
  const { claims } = decode(person.access);
  const by = (alg: Algorithm, key: StoredJwk) =>
    signJws(alg, key, { alg, typ: 'at+jwt', kid: key.kid }, { ...claims, jti: newTokenId() });
  const signer = async () =>
    decode((await send(refreshWith((await signUp(app)).refresh))).json<{ access: string }>().access).header
      .kid;
  t.equal((await send(meOf(by('EdDSA', next)))).statusCode, 401, 'nobody knows the next key');

  // A second later a token by an unknown key is reason enough to look.
  await delay(1000);
  put(setOf(next, old));
  const answers = await Promise.all([
    ...Array.from({ length: 10 }, () => send(meOf(by('EdDSA', next)))),
    send(verifyOf(by('EdDSA', next))),
    send({ method: 'POST', url: '/api/auth/logout', headers: meOf(by('ES256', stranger)).headers }),
  ]);
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [...Array(11).fill(200), 401],
    'the first token by the new key is good at once',
  );
  t.equal(await signer(), next.kid);
  t.equal((await send(meOf(person.access))).statusCode, 200, 'the old key verifies');

  /** Until it holds; tokens by unknown keys make that come sooner. */
  async function look(holds: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await holds())) {
      await send(meOf(by('ES256', stranger)));
      await delay(20);
    }
  }
  const complaints = () => app.logs().match(/could not be read again/g)?.length ?? 0;
  const weak = { ...last, k: last.k?.slice(0, 20) };
  for (const [n, broken] of [`{"keys":[${JSON.stringify(last)}`, setOf(next, weak)].entries()) {
    put(broken);
    await look(() => complaints() > n);
    t.equal(await signer(), next.kid, 'the keys there were go on');
    t.equal((await send(meOf(by('ES256', old)))).statusCode, 200);
  }
  const secrets = [old.d, next.d, last.k, weak.k].map(String);
  t.notOk(
    secrets.some((secret) => app.logs().includes(secret)),
    'the log holds no key',
  );

  put(setOf({ ...last, alg: 'HS256' }, next));
  await look(async () => (await jwksOf(app)).every(({ kid }) => kid !== old.kid));
  t.equal(await signer(), 'last');
  expectProblem(t, await send(meOf(by('ES256', old))), 401, 'token_invalid');
  t.equal((await send(meOf(by('EdDSA', next)))).statusCode, 200);
  t.equal(complaints(), 2, 'each trouble is told once');
});

t.test('keys are exchanged between two requests, never within one', async (t) => {
  const [one, two] = [keyOf('ES256'), keyOf('EdDSA')];
  const path = join(t.testdir(), 'keys.json');
  writeFileSync(path, setOf(one, two));
  const app = await watchedApp(t, { env: { JWT_KEYSET: path, JWT_SIGNING_KEY: '', LOG_LEVEL: 'error' } });
  const person = await signUp(app);
  const seen = new Set<unknown>();
  const odd: string[] = [];
  let token = person.refresh;
  let turns = 0;
  const deadline = Date.now() + 5000;
  while (seen.size < 2 && Date.now() < deadline) {
    if (turns++ === 20) writeFileSync(path, setOf(two, one));
    const answer = await app.send(refreshWith(token));
    const { access, refresh } = answer.json<{ access: string; refresh: string }>();
    const kids = [access, refresh].map((each) => decode(each).header.kid);
    if (answer.statusCode !== 200 || kids[0] !== kids[1]) odd.push(`${answer.statusCode} ${kids}`);
    if ((await app.send(meOf(access))).statusCode !== 200) odd.push('me');
    seen.add(kids[0]);
    token = refresh;
  }
  t.strictSame(odd, []);
  t.strictSame(seen, new Set([one.kid, two.kid]), 'both signed');
});
