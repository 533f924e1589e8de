import type { InjectOptions } from 'fastify';
import t, { type Test } from 'tap';
import { decode, expectProblem, forge } from '../http/answers.js';
import { watchedApp } from '../http/watched-app.js';
import { bearer, PASSWORD, STORES, signUp } from '../support/app.js';
import { CHALLENGE, get, post, readCurl, shapeOf, told } from './documents.js';

/** As whoever tries the documents out sets them: their passwords are common, and one code is fixed. */
const TRYING_OUT = { PASSWORD_BLOCKLIST: 'off', OTP_TEST_NUMBERS: '09123456789:123456' };

/** What a client stores of any login. */
interface Tokens {
  access: string;
  refresh: string;
}

const tokens = { access: 'jwt', refresh: 'jwt' };

t.test('PyCoder', async (t) => {
  const { send } = await watchedApp(t, { env: TRYING_OUT });
  const user = {
    id: 'number',
    email: 'string',
    username: 'string',
    first_name: 'string',
    last_name: 'string',
    date_joined: 'string',
  };

  const registered = await send(
    readCurl(`curl -X POST http://localhost:8000/api/register/ \\
  -H "Content-Type: application/json" \\
  -d '{"email":"test@example.com","username":"testuser","password":"testpass123","password2":"testpass123"}'`),
  );
  t.equal(registered.statusCode, 201);
  t.strictSame(shapeOf(registered.json()), { user, tokens });
  t.match(registered.json().user, { id: 1, email: 'test@example.com', username: 'testuser' });

  const loggedIn = await send(
    readCurl(`curl -X POST http://localhost:8000/api/login/ \\
  -H "Content-Type: application/json" \\
  -d '{"email":"test@example.com","password":"testpass123"}'`),
  );
  t.equal(loggedIn.statusCode, 200);
  t.strictSame(shapeOf(loggedIn.json()), { user, tokens });

  const stored: Tokens = loggedIn.json().tokens;
  const own = await send(
    readCurl(
      `curl -X GET http://localhost:8000/api/user/ \\
  -H "Authorization: Bearer YOUR_ACCESS_TOKEN"`,
      { YOUR_ACCESS_TOKEN: stored.access },
    ),
  );
  t.equal(own.statusCode, 200);
  t.strictSame(own.json(), loggedIn.json().user);

  const refreshed = await send(
    readCurl(
      `curl -X POST http://localhost:8000/api/token/refresh/ \\
  -H "Content-Type: application/json" \\
  -d '{"refresh":"YOUR_REFRESH_TOKEN"}'`,
      { YOUR_REFRESH_TOKEN: stored.refresh },
    ),
  );
  t.equal(refreshed.statusCode, 200);
  t.strictSame(shapeOf(refreshed.json()), tokens);
  t.equal((await send(get('/api/user/', refreshed.json().access))).statusCode, 200);

  // As the interceptor's diagram has it.
  const short = await send(post('/api/register/', { email: 'user@example.com', password: 'password123' }));
  t.equal(short.statusCode, 201);
  t.strictSame(shapeOf(short.json()), { user: { ...user, username: 'null' }, tokens });

  const refusals: [InjectOptions, ...unknown[]][] = [
    [
      post('/api/login/', { email: 'test@example.com', password: 'x' }),
      400,
      { detail: 'Invalid email or password.' },
    ],
    [
      post('/api/login/', { email: 'nobody@example.com', password: 'x' }),
      400,
      { detail: 'Invalid email or password.' },
    ],
    [
      post('/api/login/', { email: null }),
      400,
      { email: ['This field may not be null.'], password: ['This field is required.'] },
    ],
    [
      post('/api/register/', { email: 'test@example.com', username: 'TestUser', password: 'testpass123' }),
      400,
      {
        email: ['user with this email already exists.'],
        username: ['A user with that username already exists.'],
      },
    ],
    [
      post('/api/register/', { email: 'no', username: 'a b', password: 'testpass123' }),
      400,
      { email: ['Enter a valid email address.'], username: ['Enter a valid username.'] },
    ],
    [
      post('/api/register/', { email: 'b@example.com', password: 'testpass123', password2: 'testpass124' }),
      400,
      { password2: ["Password fields didn't match."] },
    ],
    [
      post('/api/register/', { email: 'b@example.com', password: 'short' }),
      400,
      { password: ['This password is too short. It must contain at least 8 characters.'] },
    ],
    [get('/api/user/'), 401, { detail: 'Authentication credentials were not provided.' }, CHALLENGE],
    [
      get('/api/user/', 'x'),
      401,
      {
        detail: 'Given token not valid for any token type',
        code: 'token_not_valid',
        messages: [
          { token_class: 'AccessToken', token_type: 'access', message: 'Token is invalid or expired' },
        ],
      },
      CHALLENGE,
    ],
  ];
  for (const [request, ...expected] of refusals) {
    t.strictSame(told(await send(request)), expected, `${request.method} ${request.url}`);
  }
});

t.test('NeuralFlow', async (t) => {
  const { send } = await watchedApp(t, { env: TRYING_OUT });
  const user = {
    id: 'number',
    email: 'string',
    username: 'string',
    first_name: 'string',
    last_name: 'string',
    user_type: 'string',
  };
  // The fields of jwtAuth.register() and jwtAuth.login().
  const registered = await send(
    post('/accounts/api/auth/register/', {
      email: 'user@example.com',
      password: 'password',
      username: 'username',
      user_type: 'individual',
    }),
  );
  t.equal(registered.statusCode, 201);
  t.strictSame(shapeOf(registered.json()), { success: 'boolean', user, ...tokens });
  t.match(registered.json(), {
    success: true,
    user: { id: 1, username: 'username', user_type: 'individual' },
  });

  const login = { email: 'user@example.com', password: 'password' };
  const loggedIn = await send(post('/accounts/api/auth/login/', login));
  t.equal(loggedIn.statusCode, 200);
  t.strictSame(shapeOf(loggedIn.json()), { success: 'boolean', user, ...tokens });
  const { claims } = decode(loggedIn.json().access);
  t.match(claims, { email: 'user@example.com', user_type: 'individual' });

  const pair = await send(post('/accounts/api/auth/token/', login));
  t.strictSame([pair.statusCode, shapeOf(pair.json())], [200, tokens]);
  const next = await send(post('/accounts/api/auth/token/refresh/', { refresh: pair.json().refresh }));
  t.strictSame([next.statusCode, shapeOf(next.json())], [200, tokens]);

  const dashboard = await send(get('/core/api/dashboard/', next.json().access));
  t.equal(dashboard.statusCode, 200);
  t.strictSame(Object.keys(dashboard.json()), ['user', 'sessions', 'activity']);
  t.strictSame(dashboard.json().user, loggedIn.json().user);
  t.strictSame(
    dashboard.json().sessions.map(({ current }: { current: boolean }) => current),
    [true, false, false],
  );
  t.strictSame(
    dashboard.json().activity.map(({ type }: { type: string }) => type),
    ['login', 'login', 'registered'],
  );

  const required = ['This field is required.'];
  const noAccount = 'No active account found with the given credentials';
  const refusals: [InjectOptions, ...unknown[]][] = [
    [
      post('/accounts/api/auth/login/', { ...login, password: 'x' }),
      401,
      { success: false, error: 'Invalid email or password.' },
      CHALLENGE,
    ],
    [
      post('/accounts/api/auth/login/', {}),
      400,
      { success: false, error: required[0], errors: { email: required, password: required } },
    ],
    [
      post('/accounts/api/auth/register/', { ...login, user_type: 'king' }),
      400,
      {
        success: false,
        error: 'This value is not allowed.',
        errors: { user_type: ['This value is not allowed.'] },
      },
    ],
    // What SimpleJWT's own clients read stays beside what the system's own read.
    [
      post('/accounts/api/auth/token/', { ...login, password: 'x' }),
      401,
      { success: false, error: noAccount, detail: noAccount },
      CHALLENGE,
    ],
    [
      post('/accounts/api/auth/token/refresh/', { refresh: 'x' }),
      401,
      {
        success: false,
        error: 'Token is invalid or expired',
        detail: 'Token is invalid or expired',
        code: 'token_not_valid',
      },
      CHALLENGE,
    ],
  ];
  for (const [request, ...expected] of refusals) {
    t.strictSame(told(await send(request)), expected, `${request.method} ${request.url}`);
  }
  const unknown = await send(get('/core/api/dashboard/'));
  t.match(told(unknown), [401, { success: false, error: /not provided/, detail: /not provided/ }, CHALLENGE]);
});

for (const stores of STORES) {
  t.test(`the phone OTP system, ${stores}`, (t) => phoneOtp(t, stores));
}

async function phoneOtp(t: Test, stores: (typeof STORES)[number]): Promise<void> {
  const { send, advance } = await watchedApp(t, { stores, env: TRYING_OUT });
  const user = {
    id: 'number',
    phone: 'string',
    email: 'null',
    first_name: 'string',
    last_name: 'string',
    is_staff: 'boolean',
    date_joined: 'string',
  };
  const envelope = (data: object) => ({ success: 'boolean', message: 'string', data });

  // Each snippet of the document stands alone: the fixed code need not be sent first.
  const registered = await send(
    post('/api/register/', { phone: '09123456789', otp: '123456', first_name: 'John', last_name: 'Doe' }),
  );
  t.equal(registered.statusCode, 201);
  t.strictSame(shapeOf(registered.json()), envelope({ user, tokens }));
  t.match(registered.json().data.user, { id: 1, phone: '09123456789', first_name: 'John', last_name: 'Doe' });

  const sent = await send(post('/api/send-otp/', { phone: '09123456789', purpose: 'register' }));
  t.equal(sent.statusCode, 200);
  t.strictSame(shapeOf(sent.json()), envelope({ expires_in: 'number', resend_in: 'number' }));

  const loggedIn = await send(post('/api/login/', { phone: '09123456789', otp: '123456' }));
  t.equal(loggedIn.statusCode, 200);
  t.strictSame(shapeOf(loggedIn.json()), envelope({ user, tokens }));
  const { access, refresh }: Tokens = loggedIn.json().data.tokens;
  t.match(decode(access).claims, { phone: '+989123456789', first_name: 'John', is_staff: false });

  const dashboard = await send(get('/api/dashboard/', access));
  t.equal(dashboard.statusCode, 200);
  t.strictSame(shapeOf(dashboard.json()), envelope({ user }));
  t.equal(dashboard.headers['x-auth-status'], 'authenticated', 'as its middleware said it');
  t.ok(dashboard.headers['x-token-expires-at']);

  const patch = (payload: object) =>
    send({ method: 'PATCH', url: '/api/profile/', headers: bearer(access), payload });
  const changed = await patch({ first_name: 'Jane', is_staff: true, phone: '09120000000' });
  t.equal(changed.statusCode, 200);
  t.match(changed.json(), {
    success: true,
    data: { user: { phone: '09123456789', first_name: 'Jane', is_staff: false } },
  });
  t.match((await patch({})).json(), { data: { user: { first_name: 'Jane' } } }, 'nothing changes nothing');

  const verified = await send(post('/api/token/verify/', { token: access }));
  t.strictSame(told(verified), [200, {}]);
  const next: Tokens = (await send(post('/api/token/refresh/', { refresh }))).json();
  const refusal = (message: string) => ({ success: false, message, data: {} });
  const [failed, revoked] = ['خطا در احراز هویت', 'این توکن باطل شده است. دوباره وارد شوید.'];
  const invalid = 'این توکن معتبر نیست. دوباره وارد شوید.';
  const malformed = 'برخی از اطلاعات ارسال‌شده پذیرفته نشد. آن‌ها را اصلاح کنید و دوباره بفرستید.';

  t.strictSame(told(await send(post('/api/logout/', { refresh: next.refresh }))), [
    200,
    { success: true, message: 'با موفقیت خارج شدید.', data: {} },
  ]);
  const other = (await send(post('/api/login/', { phone: '+98 912 345 6789', otp: '۱۲۳۴۵۶' }))).json().data
    .tokens;
  const all = await send(post('/api/logout-all/', undefined, bearer(other.access)));
  t.match(told(all), [200, { success: true, data: {} }]);

  const { header, claims } = decode(access);
  const expired = forge(header, { ...claims, iat: claims.iat - 1000, exp: claims.iat - 100 });
  const refusals: [InjectOptions, ...unknown[]][] = [
    [get('/api/dashboard/', next.access), 403, refusal(revoked)],
    [post('/api/logout/', { refresh: next.refresh }), 403, refusal(revoked)],
    [post('/api/logout-all/', {}, bearer(other.access)), 403, refusal(revoked)],
    [get('/api/dashboard/', 'garbage'), 400, refusal(invalid)],
    [get('/api/dashboard/', 'a.b.c'), 400, refusal(invalid)],
    [post('/api/logout/', { refresh: 'garbage' }), 400, refusal(invalid)],
    [post('/api/logout/', {}), 400, refusal(malformed)],
    [post('/api/logout/', { refresh: access }), 401, refusal(failed), CHALLENGE],
    [get('/api/dashboard/', expired), 401, refusal(failed), CHALLENGE],
    [get('/api/dashboard/', `${access.slice(0, -6)}AAAAAA`), 401, refusal(failed), CHALLENGE],
    [get('/api/dashboard/'), 401, refusal(failed), CHALLENGE],
    [
      post('/api/send-otp/', { phone: '0212345', purpose: 'login' }),
      400,
      refusal('این شماره موبایل معتبر نیست. آن را بررسی کنید و دوباره وارد کنید.'),
    ],
    [post('/api/send-otp/', { phone: '09123456789', purpose: 'fun' }), 400, refusal(malformed)],
    [post('/api/login/', { phone: '09123456789' }), 400, refusal(malformed)],
    [post('/api/register/', { otp: '123456' }), 400, refusal(malformed)],
    [
      post('/api/register/', { phone: '09123456789', otp: '123456' }),
      400,
      refusal('این شماره موبایل قبلاً ثبت شده است. وارد شوید یا شماره دیگری وارد کنید.'),
    ],
    [
      post('/api/login/', { phone: '09123456789', otp: '654321' }, { 'accept-language': 'en-GB,fa;q=0.5' }),
      400,
      refusal('The verification code is not right. Check it, or request a new one.'),
    ],
  ];
  for (const [request, ...expected] of refusals) {
    t.strictSame(told(await send(request)), expected, `${request.method} ${request.url}`);
  }
  t.equal((await send(get('/api/dashboard/'))).headers['content-language'], 'fa');
  advance(120_000);
  await send(post('/api/send-otp/', { phone: '09123456789', purpose: 'login' }));
  const again = await send(post('/api/send-otp/', { phone: '09123456789', purpose: 'login' }));
  t.match(told(again), [429, { success: false, data: {} }]);
  t.ok(Number(again.headers['retry-after']) > 0);
}

t.test('Cosmo, and SimpleJWT itself', async (t) => {
  const { app, send, advance } = await watchedApp(t);
  const { email, user } = await signUp({ send } as never, { username: 'testuser' });
  const obtained = await send(post('/api/token/', { username: 'testuser', password: PASSWORD }));
  t.strictSame([obtained.statusCode, shapeOf(obtained.json())], [200, tokens]);
  t.strictSame(Object.keys(obtained.json()), ['refresh', 'access'], 'in its order');
  t.match(decode(obtained.json().access).claims, {
    token_type: 'access',
    role: 'viewer',
    permissions: [],
    is_staff: false,
    is_superuser: false,
  });
  const byEmail = await send(post('/api/token', { email, password: PASSWORD }));
  t.strictSame([byEmail.statusCode, shapeOf(byEmail.json())], [200, tokens]);
  const named = await send(
    post('/api/token/', { username: email.toUpperCase(), password: ` ${PASSWORD}\n` }),
  );
  t.strictSame(
    [named.statusCode, shapeOf(named.json())],
    [200, tokens],
    'an address for a username, untrimmed',
  );

  const first: Tokens = obtained.json();
  const refreshed = await send(post('/api/token/refresh/', { refresh: first.refresh }));
  t.strictSame(Object.keys(refreshed.json()), ['access', 'refresh']);
  const second: Tokens = refreshed.json();
  for (const token of [second.access, second.refresh, first.access]) {
    t.strictSame(told(await send(post('/api/token/verify/', { token }))), [200, {}]);
  }

  const revoke = (refresh: unknown, token = second.access) =>
    send(post('/api/token/revoke/', { refresh }, bearer(token)));
  const { header, claims } = decode(byEmail.json().refresh);
  const expired = forge(header, { ...claims, iat: claims.iat - 1000, exp: claims.iat - 100 });
  for (const useless of ['x', '', null, undefined, second.access, expired, ['x'], first.refresh.slice(1)]) {
    t.strictSame(told(await revoke(useless)), [400, { error: 'Invalid token' }], String(useless));
  }
  t.strictSame(told(await revoke(byEmail.json().refresh)), [200, { message: 'Token revoked successfully' }]);
  t.strictSame(told(await revoke(byEmail.json().refresh)), [400, { error: 'Invalid token' }], 'once');
  t.strictSame(told(await send(post('/api/token/revoke-all/', undefined, bearer(second.access)))), [
    200,
    { message: 'All tokens revoked successfully' },
  ]);

  const bad = (detail: string) => [401, { detail, code: 'token_not_valid' }, CHALLENGE];
  const badBearer = (message: string) => [
    401,
    {
      detail: 'Given token not valid for any token type',
      code: 'token_not_valid',
      messages: [{ token_class: 'AccessToken', token_type: 'access', message }],
    },
    CHALLENGE,
  ];
  const badHeader = [
    401,
    {
      detail: 'Authorization header must contain two space-delimited values',
      code: 'bad_authorization_header',
    },
    CHALLENGE,
  ];
  const noAccount = [401, { detail: 'No active account found with the given credentials' }, CHALLENGE];
  const missing = [401, { detail: 'Authentication credentials were not provided.' }, CHALLENGE];
  const required = ['This field is required.'];
  const revokeAll = (authorization: string) => post('/api/token/revoke-all/', {}, { authorization });
  const refusals: [InjectOptions, unknown[]][] = [
    [post('/api/token/', { username: 'testuser', password: 'x' }), noAccount],
    [post('/api/token/', { username: 'nobody', password: 'x' }), noAccount],
    [post('/api/token/', { email: 'no address', password: 'x' }), noAccount],
    [post('/api/token/', { username: 'testuser', password: 'x'.repeat(5000) }), noAccount],
    [post('/api/token/', {}), [400, { username: required, password: required }]],
    [post('/api/token/'), [400, { username: required, password: required }]],
    [post('/api/token/', { email: 'a@example.com' }), [400, { password: required }]],
    [post('/api/token/refresh/', {}), [400, { refresh: required }]],
    [post('/api/token/verify/', { refresh: 'x' }), [400, { token: required }]],
    [post('/api/token/verify/', { token: 'x' }), bad('Token is invalid or expired')],
    [post('/api/token/verify/', { token: 12 }), bad('Token is invalid or expired')],
    [post('/api/token/verify/', { token: expired }), bad('Token is invalid or expired')],
    [post('/api/token/verify/', { token: second.refresh }), bad('Token is blacklisted')],
    [post('/api/token/verify/', { token: second.access }), bad('Token is blacklisted')],
    [post('/api/token/refresh/', { refresh: expired }), bad('Token is invalid or expired')],
    [post('/api/token/refresh/', { refresh: second.access }), bad('Token has wrong type')],
    [post('/api/token/refresh/', { refresh: second.refresh }), bad('Token is blacklisted')],
    [post('/api/token/revoke/', { refresh: 'x' }), missing],
    [post('/api/token/revoke-all/'), missing],
    [revokeAll('Basic eDp4'), missing],
    [revokeAll('Bearer'), badHeader],
    [revokeAll('Bearer a b'), badHeader],
    [revokeAll('Bearer x'), badBearer('Token is invalid or expired')],
    [revokeAll(`Bearer ${second.refresh}`), badBearer('Token has wrong type')],
    [revokeAll(`Bearer ${second.access}`), badBearer('Token is blacklisted')],
  ];
  for (const [request, expected] of refusals) {
    t.strictSame(
      told(await send(request)),
      expected,
      `${request.url} ${JSON.stringify(request.payload)?.slice(0, 60)}`,
    );
  }

  const spent: Tokens = (
    await send(post('/api/token/', { username: 'testuser', password: PASSWORD }))
  ).json();
  const newer: Tokens = (await send(post('/api/token/refresh/', { refresh: spent.refresh }))).json();
  advance(61_000);
  t.equal((await send(post('/api/token/verify/', { token: newer.access }))).statusCode, 200);
  const reused = await send(post('/api/token/refresh/', { refresh: spent.refresh }));
  t.strictSame(told(reused), bad('Token is blacklisted'), 'a stolen token ends its session here too');
  t.strictSame(told(await send(post('/api/token/refresh/', newer))), bad('Token is blacklisted'));

  const last: Tokens = (await send(post('/api/token/', { username: 'testuser', password: PASSWORD }))).json();
  await app.accounts.setActive(user.id, false);
  const inactive = [401, { detail: 'User is inactive', code: 'user_inactive' }, CHALLENGE];
  t.strictSame(told(await send(get('/api/user/', last.access))), inactive);
  t.strictSame(told(await send(revokeAll(`Bearer ${last.access}`))), inactive);
  const gone = await send(post('/api/token/refresh/', { refresh: last.refresh }));
  t.strictSame(told(gone), bad('No active account found for the given token.'));
  t.strictSame(
    told(await send(post('/api/token/', { username: 'testuser', password: PASSWORD }))),
    noAccount,
  );
});

t.test('the coffee shop', async (t) => {
  const { send } = await watchedApp(t, { env: TRYING_OUT });
  await send(post('/api/auth/register/', { email: 'user@example.com', password: 'userpassword' }));
  const loggedIn = await send(
    post('/api/auth/login/', { email: 'user@example.com', password: 'userpassword' }),
  );
  t.equal(loggedIn.statusCode, 200);
  t.match(loggedIn.json(), {
    user: { email: 'user@example.com', role: 'viewer', is_staff: false },
    token_type: 'Bearer',
    expires_in: 900,
  });
  const { access, refresh }: Tokens = loggedIn.json();
  const refreshed = await send(post('/api/auth/refresh/', { refresh }));
  t.equal(refreshed.statusCode, 200);
  t.match(shapeOf(refreshed.json()), { access: 'jwt', expires_in: 'number' });
  t.equal((await send(post('/api/auth/verify/', { token: access }))).statusCode, 200);
  const old = await send(post('/api/token/', { email: 'user@example.com', password: 'userpassword' }));
  t.strictSame([old.statusCode, shapeOf(old.json())], [200, tokens]);
  const newer = await send(post('/api/token/refresh/', { refresh: old.json().refresh }));
  t.strictSame([newer.statusCode, shapeOf(newer.json())], [200, tokens]);
  t.equal((await send(post('/api/auth/logout/', { refresh: refreshed.json().refresh }))).statusCode, 200);
  expectProblem(t, await send(post('/api/auth/verify/', { token: access })), 401, 'token_revoked');
});
