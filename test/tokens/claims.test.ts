import { createHmac } from 'node:crypto';
import Fastify from 'fastify';
import t, { type Test } from 'tap';
import jwt, { type JwtOptions } from '../../plugins/jwt.js';
import type { User } from '../../src/accounts/user.js';
import { AuthError } from '../../src/errors.js';
import { newTokenId } from '../../src/lib/ids.js';
import {
  buildAccessClaims,
  buildRefreshClaims,
  type ClaimRules,
  HEADER_TYPE,
  type Issue,
  readClaims,
  type SignedPayload,
  type TokenCodec,
} from '../../src/tokens/claims.js';
import { MAX_TOKEN_LENGTH } from '../../src/tokens/key-ring.js';

const NOW = 1_800_000_000;
const KEY = 'k0Jm5v1n8Qw2rT7yU4iO9pA6sD3fG0hJ';

const user: User = {
  id: '0197f3a1-7c00-7d3e-9a51-3f0c2b6e8d14',
  legacyId: 42,
  email: 'zoe@example.com',
  username: 'zoe',
  phone: '+989123456789',
  firstName: 'Zoe',
  lastName: 'Doe',
  userType: 'business',
  role: 'editor',
  isStaff: true,
  isSuperuser: false,
  isActive: true,
  emailVerified: true,
  phoneVerified: false,
  dateJoined: 1,
  lastLogin: 2,
  version: 3,
  authVersion: 4,
  authReason: null,
};
const issue: Issue = {
  user,
  sessionId: newTokenId(),
  jti: newTokenId(),
  issuedAt: NOW,
  expiresAt: NOW + 900,
};
const rules: ClaimRules = { issuer: 'latchkey', audience: undefined, userIdClaim: 'id', leeway: 0 };
const strict: ClaimRules = { ...rules, audience: 'api', leeway: 30 };

const registered = {
  iss: 'latchkey',
  sub: user.id,
  user_id: user.id,
  jti: issue.jti,
  iat: NOW,
  exp: NOW + 900,
  sid: issue.sessionId,
};
const access = {
  ...registered,
  token_type: 'access',
  email: 'zoe@example.com',
  phone: '+989123456789',
  username: 'zoe',
  first_name: 'Zoe',
  last_name: 'Doe',
  user_type: 'business',
  role: 'editor',
  permissions: ['posts.edit'],
  is_staff: true,
  is_superuser: false,
};

const invalid = { name: 'AuthError', code: 'token_invalid' };

t.test('claims are made from the account', async (t) => {
  t.strictSame(buildAccessClaims(issue, rules, ['posts.edit'], undefined), access);
  t.strictSame(
    buildRefreshClaims(issue, rules),
    { ...registered, token_type: 'refresh' },
    'a refresh token tells less',
  );

  const legacy: ClaimRules = { ...strict, userIdClaim: 'legacy_id' };
  t.strictSame(buildRefreshClaims(issue, legacy), {
    ...registered,
    aud: 'api',
    user_id: 42,
    token_type: 'refresh',
  });

  const bare: User = { ...user, email: null, phone: null, username: null, userType: null };
  const { email: _1, phone: _2, username: _3, user_type: _4, ...rest } = access;
  t.strictSame(
    buildAccessClaims({ ...issue, user: bare }, rules, ['posts.edit'], undefined),
    rest,
    'null is absent',
  );
});

t.test('a hook adds claims and overwrites none', async (t) => {
  const names = [...Object.keys(access), 'aud', 'nbf'];
  const bare: User = { ...user, email: null, phone: null, username: null, userType: null };
  const forged = Object.fromEntries(names.map((name) => [name, 'forged']));
  for (const owner of [user, bare]) {
    const plain = buildAccessClaims({ ...issue, user: owner }, rules, [], undefined);
    const hooked = buildAccessClaims({ ...issue, user: owner }, rules, [], { ...forged, tenant: { id: 7 } });
    t.strictSame(hooked, { ...plain, tenant: { id: 7 } });
    t.notOk(JSON.stringify(hooked).includes('forged'));
  }
  const sneaky = JSON.parse('{"__proto__":{"is_superuser":true,"nbf":1},"constructor":"x"}');
  const claims = JSON.parse(JSON.stringify(buildAccessClaims(issue, rules, [], sneaky)));
  t.equal(claims.is_superuser, false);
  t.equal(claims.nbf, undefined);
});

const signed = (
  payload: object,
  type: 'access' | 'refresh' = 'access',
  header: object = {},
): SignedPayload => ({
  header: { alg: 'HS256', typ: HEADER_TYPE[type], ...header },
  payload: { ...payload } as Record<string, unknown>,
});

t.test('what was built is read back', async (t) => {
  for (const given of [rules, strict, { ...strict, userIdClaim: 'legacy_id' } as const]) {
    const read = {
      userId: user.id,
      sessionId: issue.sessionId,
      jti: issue.jti,
      issuedAt: NOW,
      expiresAt: NOW + 900,
    };
    const accessClaims = buildAccessClaims(issue, given, [], { tenant: 'x' });
    t.match(readClaims(signed(accessClaims), given, NOW), {
      tokenType: 'access',
      ...read,
      payload: { tenant: 'x' },
    });
    const refreshClaims = buildRefreshClaims(issue, given);
    t.match(readClaims(signed(refreshClaims, 'refresh'), given, NOW), { tokenType: 'refresh', ...read });
  }
  const late = readClaims(signed(access), rules, NOW + 10_000);
  t.equal(late.expiresAt, NOW + 900, 'expiry is for the caller to judge: logout takes expired tokens');
});

t.test('a good signature is not enough', async (t) => {
  // undefined: the claim is left out, as in JSON.
  const claims: Record<string, unknown[]> = {
    iss: [undefined, null, '', 'other', 'Latchkey', ['latchkey'], 1],
    sub: [undefined, null, '', 7, ['x'], {}, 'x'.repeat(65)],
    user_id: [undefined, null, '', 'somebody else', 1.5, 1e300, true, [user.id]],
    jti: [undefined, null, '', 'short', 7, issue.jti.toUpperCase(), `${issue.jti}0`, `${issue.jti}\n`],
    sid: [undefined, null, '', '../../x', 7, issue.sessionId.slice(1), `${issue.sessionId}}`],
    // RFC 7519 §2: a NumericDate is a number; what a Date cannot hold is none of ours.
    iat: [undefined, null, String(NOW), 0, -1, NOW + 11, 1.5, 1e300, Number.NaN],
    exp: [
      undefined,
      null,
      String(NOW + 900),
      NOW,
      NOW - 1,
      0,
      NOW + 0.5,
      1e300,
      8.64e12,
      Number.POSITIVE_INFINITY,
    ],
    nbf: [null, 'now', NOW + 1, 0, 1.5],
    // RFC 8725 §3.11, §3.12: one kind of token never passes for another.
    token_type: [undefined, null, 'refresh', 'id', 'sliding', 'ACCESS', ['access']],
  };
  for (const [name, values] of Object.entries(claims)) {
    for (const value of values) {
      const payload: Record<string, unknown> = { ...access, [name]: value };
      if (value === undefined) delete payload[name];
      const label = `${name}: ${JSON.stringify(value)}`;
      t.throws(
        () => readClaims(signed(payload), rules, NOW),
        { ...invalid, why: name === 'token_type' && value === 'refresh' ? 'typ' : name },
        label,
      );
    }
  }
  for (const typ of [undefined, null, '', 'JWT', 'at+JWT', 'application/at+jwt', 'rt+jwt', ['at+jwt']]) {
    t.throws(
      () => readClaims(signed(access, 'access', { typ }), rules, NOW),
      invalid,
      `typ ${JSON.stringify(typ)}`,
    );
  }
  t.throws(() => readClaims(signed(access, 'access', { b64: true }), rules, NOW), invalid);

  for (const aud of [undefined, null, '', 'other', ['other'], [], ['api2'], { api: 1 }]) {
    t.throws(
      () => readClaims(signed({ ...access, aud }), strict, NOW),
      { ...invalid, why: 'aud' },
      JSON.stringify(aud),
    );
  }
  for (const aud of ['api', ['other', 'api']]) t.ok(readClaims(signed({ ...access, aud }), strict, NOW));
});

t.test('clocks that differ a little do no harm', async (t) => {
  t.ok(readClaims(signed({ ...access, iat: NOW + 10 }), rules, NOW));
  t.ok(readClaims(signed({ ...access, aud: 'api', iat: NOW + 40 }), strict, NOW), 'leeway on top');
  t.throws(() => readClaims(signed({ ...access, aud: 'api', iat: NOW + 41 }), strict, NOW), {
    ...invalid,
    why: 'iat',
  });
  t.ok(readClaims(signed({ ...access, nbf: NOW }), rules, NOW));
  t.ok(readClaims(signed({ ...access, aud: 'api', nbf: NOW + 30 }), strict, NOW));
  t.throws(() => readClaims(signed({ ...access, aud: 'api', nbf: NOW + 31 }), strict, NOW), {
    ...invalid,
    why: 'nbf',
  });
});

async function codecOf(t: Test, options: Partial<JwtOptions> = {}): Promise<TokenCodec> {
  const app = Fastify();
  await app.register(jwt, { key: KEY, algorithm: 'HS256', ...options });
  await app.ready();
  t.teardown(() => app.close());
  return app.tokenCodec;
}

const encode = (text: string | Buffer): string => Buffer.from(text).toString('base64url');

/** A JWS made by hand, from texts that need not be JSON. */
function makeJws(
  header: string,
  payload: string | Buffer,
  key: string | Buffer = KEY,
  hash = 'sha256',
): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${createHmac(hash, key).update(input).digest('base64url')}`;
}

t.test('the codec verifies the example of RFC 7515 A.1', async (t) => {
  const key = Buffer.from(
    'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
    'base64url',
  );
  const token =
    'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.' +
    'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.' +
    'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
  // Settings are texts; the key of the example is not, and the library takes both.
  const codec = await codecOf(t, { key: key as unknown as string });
  t.strictSame(
    { ...codec.verifySignature(token).payload },
    {
      iss: 'joe',
      exp: 1300819380,
      'http://example.com/is_root': true,
    },
  );
  t.throws(
    () => codec.verifySignature(token.replace(/k$/, 'l')),
    invalid,
    'the same bytes, another spelling',
  );
  const other = await codecOf(t);
  t.throws(() => other.verifySignature(token), invalid, 'another key');
});

t.test('the codec signs what anybody with the key can check', async (t) => {
  const hashes = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' } as const;
  for (const [algorithm, hash] of Object.entries(hashes) as [keyof typeof hashes, string][]) {
    const codec = await codecOf(t, { algorithm });
    for (const type of ['access', 'refresh'] as const) {
      const token = codec.sign(type, { iat: NOW, exp: NOW + 5, name: 'کلید' });
      const [header = '', payload = '', signature] = token.split('.');
      t.equal(signature, createHmac(hash, KEY).update(`${header}.${payload}`).digest('base64url'), algorithm);
      t.strictSame(JSON.parse(Buffer.from(header, 'base64url').toString()), {
        alg: algorithm,
        typ: HEADER_TYPE[type],
      });
      t.strictSame(JSON.parse(Buffer.from(payload, 'base64url').toString()), {
        iat: NOW,
        exp: NOW + 5,
        name: 'کلید',
      });
      t.match(codec.verifySignature(token), {
        header: { typ: HEADER_TYPE[type] },
        payload: { name: 'کلید' },
      });
    }
  }
});

t.test('the codec refuses everything else, always in the same way', async (t) => {
  const codec = await codecOf(t);
  const header = '{"alg":"HS256","typ":"at+jwt"}';
  const payload = JSON.stringify(access);
  const good = makeJws(header, payload);
  t.ok(codec.verifySignature(good));

  const [h = '', p = '', s = ''] = good.split('.');
  const flipped = `${s[0] === 'A' ? 'B' : 'A'}${s.slice(1)}`;
  const longKey = makeJws('{"alg":"HS512","typ":"at+jwt"}', payload, KEY, 'sha512');
  const table: Record<string, string> = {
    empty: '',
    'one part': 'x',
    'two parts': `${h}.${p}`,
    'no signature': `${h}.${p}.`,
    'no payload': `${h}..${s}`,
    'no header': `.${p}.${s}`,
    'four parts': `${good}.${s}`,
    'five parts, as a JWE has': `${h}.${p}.${s}.${s}.${s}`,
    'a changed signature': `${h}.${p}.${flipped}`,
    'a cut signature': good.slice(0, -1),
    'a longer signature': `${good}A`,
    padding: `${good}=`,
    'a space before': ` ${good}`,
    'a line after': `${good}\n`,
    'base64 instead of base64url': `${h}.${p}.${'+/'.repeat(21)}A`,
    'another payload': `${h}.${encode(JSON.stringify({ ...access, is_superuser: true }))}.${s}`,
    'another header': `${encode('{"alg":"HS256","typ":"rt+jwt"}')}.${p}.${s}`,
    'another key': makeJws(header, payload, `${KEY}x`),
    'an empty key': makeJws(header, payload, ''),
    'alg none': `${encode('{"alg":"none","typ":"at+jwt"}')}.${p}.`,
    'alg none with a signature': makeJws('{"alg":"none","typ":"at+jwt"}', payload),
    'alg nOnE': makeJws('{"alg":"nOnE","typ":"at+jwt"}', payload),
    'alg hs256': makeJws('{"alg":"hs256","typ":"at+jwt"}', payload),
    'no alg': makeJws('{"typ":"at+jwt"}', payload),
    'HS512 with the same key': longKey,
    RS256: makeJws('{"alg":"RS256","typ":"at+jwt"}', payload),
    'an alg of two': makeJws('{"alg":["HS256"],"typ":"at+jwt"}', payload),
    // RFC 7515 §4.1.11: an extension that is critical and not understood.
    'a critical header': makeJws('{"alg":"HS256","typ":"at+jwt","crit":["exp"],"exp":1}', payload),
    'an unencoded payload': makeJws('{"alg":"HS256","typ":"at+jwt","crit":["b64"],"b64":false}', payload),
    'a header that is no object': makeJws('[]', payload),
    'a header that is null': makeJws('null', payload),
    'a header that is no JSON': makeJws('alg', payload),
    'a payload that is an array': makeJws(header, '[1]'),
    'a payload that is null': makeJws(header, 'null'),
    'a payload that is a text': makeJws(header, '"access"'),
    'a payload that is no JSON': makeJws(header, '{"sub":'),
    'a payload that is empty': `${h}..${createHmac('sha256', KEY).update(`${h}.`).digest('base64url')}`,
    'too long': makeJws(header, JSON.stringify({ ...access, pad: 'x'.repeat(MAX_TOKEN_LENGTH) })),
  };
  for (const [name, token] of Object.entries(table)) {
    const verdict = () => readClaims(codec.verifySignature(token), rules, NOW);
    t.throws(verdict, invalid, name);
  }

  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const twins = [...alphabet]
    .map((last) => good.slice(0, -1) + last)
    .filter(
      (token) =>
        token !== good && Buffer.from(token.split('.')[2]!, 'base64url').equals(Buffer.from(s, 'base64url')),
    );
  t.equal(twins.length, 3, 'four spellings are the same bytes');
  for (const token of twins)
    t.throws(() => codec.verifySignature(token), invalid, 'and one of them is a token');
  t.ok(readClaims(codec.verifySignature(good), rules, NOW), 'the good one is good to the end');
});

t.test('why a token was refused is for the log, and holds nothing of it', async (t) => {
  const codec = await codecOf(t);
  for (const token of ['x', makeJws('{"alg":"RS256"}', '{"secret":"zq9"}'), makeJws('zq9', '{}')]) {
    try {
      codec.verifySignature(token);
      t.fail('accepted');
    } catch (error) {
      t.ok(error instanceof AuthError && typeof error.why === 'string' && error.why !== '');
      t.notMatch((error as AuthError).why, /zq9/);
      t.equal((error as AuthError).message, 'token_invalid');
    }
  }
});
