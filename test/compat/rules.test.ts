import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import t from 'tap';
import { describeInDrf } from '../../src/compat/drf.js';
import { readFields } from '../../src/compat/fields.js';
import { InvalidFields } from '../../src/compat/wording.js';
import type { FieldCode } from '../../src/contract/codes.js';
import { AuthError } from '../../src/errors.js';
import { expectProblem } from '../http/answers.js';
import { mailboxes } from '../http/mailbox.js';
import { watchedApp } from '../http/watched-app.js';
import { bearer, PASSWORD, signUp, testApp } from '../support/app.js';
import { withRedis } from '../support/redis-server.js';
import { CHALLENGE, get, post, told } from './documents.js';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const MULTIPART = { 'content-type': 'multipart/form-data; boundary=X' };

const multipart = (fields: Record<string, string>): string =>
  [
    ...Object.entries(fields).map(
      ([name, value]) => `--X\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    ),
    '--X\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nignored\r\n--X--\r\n',
  ].join('');

const DRF = (detail: string) => ({ detail });
const ENVELOPE = (message: string) => ({ success: false, message, data: {} });
const NEURAL = (error: string) => ({ success: false, error });
const BOTH = (text: string) => ({ success: false, error: text, detail: text });

/** One request of each system, and how that system says a failure. */
const SYSTEMS = {
  simplejwt: { ask: (body: object) => post('/api/token/', body), say: DRF },
  neuralflow: { ask: (body: object) => post('/accounts/api/auth/login/', body), say: NEURAL },
  'neuralflow tokens': { ask: (body: object) => post('/accounts/api/auth/token/', body), say: BOTH },
  pycoder: { ask: (body: object) => post('/api/login/', body), say: DRF },
};

t.test('bodies are judged as Django REST Framework judges them', async (t) => {
  const fields = {
    properties: { name: { minLength: 1, maxLength: 5 }, note: {} },
    required: ['name'],
  };
  const faults = (body: unknown): unknown => {
    try {
      return readFields(fields, body);
    } catch (error) {
      if (error instanceof InvalidFields) return error.fields;
      throw error;
    }
  };
  const dictionary = (got: string) => ({
    non_field_errors: [`Invalid data. Expected a dictionary, but got ${got}.`],
  });
  const name = (...said: string[]) => ({ name: said });
  const cases: [body: unknown, said: object][] = [
    [{ name: ' a\n', other: 1 }, { name: 'a' }],
    [
      { name: 12, note: '' },
      { name: '12', note: '' },
    ],
    [{ name: 1.5 }, { name: '1.5' }],
    [{ name: '😀😀😀😀😀' }, { name: '😀😀😀😀😀' }],
    [{}, name('This field is required.')],
    [Object.create({ name: 'x' }), name('This field is required.')],
    [{ name: null }, name('This field may not be null.')],
    [{ name: '' }, name('This field may not be blank.')],
    [{ name: ' \t\n' }, name('This field may not be blank.')],
    [{ name: true }, name('Not a valid string.')],
    [{ name: ['a'] }, name('Not a valid string.')],
    [{ name: {} }, name('Not a valid string.')],
    [{ name: 'abcdef' }, name('Ensure this field has no more than 5 characters.')],
    [{ name: 'a\0' }, name('Null characters are not allowed.')],
    [{ name: 'a\ud800b' }, name('Surrogate characters are not allowed: U+D800.')],
    [
      { name: 'abcde\0', note: null },
      {
        name: ['Ensure this field has no more than 5 characters.', 'Null characters are not allowed.'],
        note: ['This field may not be null.'],
      },
    ],
    [null, { non_field_errors: ['No data provided'] }],
    [[], dictionary('list')],
    ['x', dictionary('str')],
    [1, dictionary('int')],
    [1.5, dictionary('float')],
    [false, dictionary('bool')],
  ];
  for (const [body, said] of cases) t.strictSame(faults(body), said, JSON.stringify(body));
});

t.test('every failure has its words', async (t) => {
  const asked = {
    status: 400,
    method: 'GET',
    contentType: '',
    acceptLanguage: undefined,
    authorization: undefined,
    body: {},
  };
  const faults = (code: FieldCode, field = 'x', limit = 3) => [{ field, code, limit }];
  const said: [AuthError, number, object][] = [
    [new AuthError('account_disabled'), 403, DRF('User account is disabled.')],
    [new AuthError('forbidden'), 403, DRF('You do not have permission to perform this action.')],
    [new AuthError('internal_error'), 500, DRF('A server error occurred.')],
    [new AuthError('delivery_unavailable'), 503, DRF('Service temporarily unavailable, try again later.')],
    [new AuthError('not_found'), 404, DRF('Not found.')],
    [new AuthError('invalid_credentials'), 401, DRF('Incorrect authentication credentials.')],
    [
      new AuthError('rate_limited', { retryAfter: 1 }),
      429,
      DRF('Request was throttled. Expected available in 1 second.'),
    ],
    [
      new AuthError('weak_password', { errors: faults('too_common') }),
      400,
      { x: ['This password is too common.'] },
    ],
    [
      new AuthError('weak_password', { errors: faults('own_data') }),
      400,
      { x: ['The password is too similar to your personal information.'] },
    ],
    [
      new AuthError('weak_password', { errors: faults('too_long') }),
      400,
      { x: ['Ensure this field has no more than 3 characters.'] },
    ],
    [
      new AuthError('invalid_request', { errors: [...faults('invalid_format'), ...faults('invalid_value')] }),
      400,
      { x: ['Enter a valid value.', 'This value is not allowed.'] },
    ],
  ];
  for (const [error, status, body] of said) {
    t.strictSame(describeInDrf(error, { ...asked, status }), { status, body }, error.code);
  }
});

t.test('forms as well as JSON, and other bodies in the words of each system', async (t) => {
  const { send } = await watchedApp(t, { env: { OTP_TEST_NUMBERS: '09123456789:123456' } });
  const { email } = await signUp({ send } as never);
  const login = { username: email, password: PASSWORD };
  const encoded = (fields: Record<string, string>) => new URLSearchParams(fields).toString();
  const good: InjectOptions[] = [
    post('/api/token/', encoded(login), FORM),
    post('/api/token/', `username=x&${encoded(login)}&other=1`, FORM),
    post('/api/token/', multipart(login), MULTIPART),
    post('/api/token/', { ...login, other: { deep: [1] } }),
    post('/api/token/', JSON.stringify(login), { 'content-type': 'application/json; charset=utf-8' }),
    post('/accounts/api/auth/login/', encoded({ email, password: PASSWORD }), FORM),
    post('/api/login', encoded({ email, password: PASSWORD }), FORM),
  ];
  for (const request of good) {
    const answer = await send(request);
    t.equal(answer.statusCode, 200, answer.body);
  }
  const byPhone = { phone: '09123456789', otp: '123456' };
  t.equal((await send(post('/api/register/', multipart(byPhone), MULTIPART))).statusCode, 201);
  t.equal((await send(post('/api/login/', encoded(byPhone), FORM))).statusCode, 200);

  const JSON_TYPE = { 'content-type': 'application/json' };
  const broken: [InjectOptions['payload'], Record<string, string>, number, string][] = [
    ['{', JSON_TYPE, 400, 'JSON parse error - the body is not valid JSON'],
    ['{"__proto__":{"x":1}}', JSON_TYPE, 400, 'JSON parse error - the body is not valid JSON'],
    [Buffer.from('{"a":"\xff"}', 'latin1'), JSON_TYPE, 400, 'JSON parse error - the body is not valid JSON'],
    ['password=%ff', FORM, 400, 'Malformed request.'],
    ['--X\r\nrubbish', MULTIPART, 400, 'Malformed request.'],
    ['a', { 'content-type': 'multipart/form-data' }, 400, 'Malformed request.'],
    ['<a/>', { 'content-type': 'text/xml; x=y' }, 415, 'Unsupported media type "text/xml; x=y" in request.'],
    ['x'.repeat(70_000), FORM, 413, 'Request body is too large.'],
    ['x'.repeat(70_000), JSON_TYPE, 413, 'Request body is too large.'],
  ];
  for (const [payload, headers, status, text] of broken) {
    for (const [system, { ask, say }] of Object.entries(SYSTEMS)) {
      const answer = await send({ ...ask({}), payload, headers } as InjectOptions);
      const { message = '', ...body } = answer.json();
      const isEither = system === 'pycoder';
      t.equal(answer.statusCode, status);
      t.strictSame(
        body,
        { ...(isEither && { success: false, data: {} }), ...say(text) },
        `${system} ${text}`,
      );
      t.equal(/[\u0600-\u06ff]/.test(message), isEither, 'who sent it cannot be told');
    }
    const logout = await send({ method: 'POST', url: '/api/logout/', payload, headers } as InjectOptions);
    t.match(told(logout), [status, { success: false, data: {} }]);
    t.match(logout.json().message, /[\u0600-\u06ff]/);
  }
});

t.test('a path that has no such method says so; both spellings', async (t) => {
  const { send } = await watchedApp(t);
  const { access } = await signUp({ send } as never);
  const refused = async (method: string, url: string, headers = {}) => {
    const answer = await send({ method: method as 'GET', url, headers });
    return [answer.statusCode, answer.headers.allow, answer.body && answer.json()];
  };
  const notAllowed = (method: string) => `Method "${method}" not allowed.`;
  t.strictSame(await refused('GET', '/api/token/'), [405, 'POST, OPTIONS', DRF(notAllowed('GET'))]);
  t.strictSame(await refused('DELETE', '/api/token/verify'), [
    405,
    'POST, OPTIONS',
    DRF(notAllowed('DELETE')),
  ]);
  t.strictSame(await refused('PUT', '/accounts/api/auth/login'), [
    405,
    'POST, OPTIONS',
    NEURAL(notAllowed('PUT')),
  ]);
  t.strictSame(await refused('GET', '/api/logout/', { 'accept-language': 'en' }), [
    405,
    'POST, OPTIONS',
    ENVELOPE('This method is not allowed here.'),
  ]);
  t.match((await refused('GET', '/api/logout/'))[2].message, /مجاز نیست/);
  t.match(await refused('POST', '/api/profile', bearer(access)), [
    405,
    'PATCH, OPTIONS',
    { success: false, data: {} },
  ]);
  t.strictSame(await refused('POST', '/api/user/', bearer(access)), [
    405,
    'GET, OPTIONS',
    DRF(notAllowed('POST')),
  ]);
  t.equal((await refused('POST', '/api/user/'))[0], 401, 'but first of all who is asking');
  t.equal((await send({ method: 'HEAD', url: '/api/user', headers: bearer(access) })).statusCode, 200);
  expectProblem(t, await send(get('/api/token/nothing/')), 404, 'not_found');
});

t.test('limits are those of the canonical routes', async (t) => {
  await t.test('logins', async (t) => {
    const { send, advance } = await watchedApp(t, { env: { RATE_LIMIT_LOGIN: '4/minute' } });
    const { email } = await signUp({ send } as never);
    const wrong = { username: email, email, password: 'wrong' };
    const asks = Object.values(SYSTEMS).map(({ ask }) => ask(wrong));
    for (const ask of asks) t.ok([400, 401].includes((await send(ask)).statusCode));
    const canonical = post('/api/auth/login', { email, password: 'wrong' });
    expectProblem(t, await send(canonical), 429, 'rate_limited');
    for (const [system, { ask, say }] of Object.entries(SYSTEMS)) {
      const answer = await send(ask(wrong));
      const seconds = answer.headers['retry-after'];
      t.match(seconds, /^[1-9]\d*$/);
      const text = `Request was throttled. Expected available in ${seconds} seconds.`;
      t.strictSame(told(answer), [429, say(text)], system);
      t.equal(answer.headers['ratelimit-remaining'], '0', 'and its headers');
    }
    advance(60_000);
    for (let n = 0; n < 4; n += 1) expectProblem(t, await send(canonical), 401, 'invalid_credentials');
    for (const ask of asks) t.equal((await send(ask)).statusCode, 429, 'and the other way round');
  });

  await t.test('codes, refreshes, anonymous requests', async (t) => {
    const { send } = await watchedApp(t, {
      env: {
        OTP_TEST_NUMBERS: '09123456789:123456',
        RATE_LIMIT_REFRESH: '2/minute',
        RATE_LIMIT_ANON: '3/hour',
      },
    });
    const { refresh } = await signUp({ send } as never);
    const code = { phone: '09123456789', purpose: 'login' };
    t.equal((await send(post('/api/send-otp/', code))).statusCode, 200);
    expectProblem(t, await send(post('/api/auth/otp/send', code)), 429, 'otp_cooldown');
    t.match(told(await send(post('/api/send-otp/', code))), [429, { success: false, data: {} }]);

    const next = (await send(post('/api/token/refresh/', { refresh }))).json();
    const last = await send(post('/accounts/api/auth/token/refresh/', { refresh: next.refresh }));
    t.equal(last.headers['ratelimit-remaining'], '0');
    const spent = post('/api/auth/refresh', { refresh: last.json().refresh });
    expectProblem(t, await send(spent), 429, 'rate_limited');
    const refused = await send(post('/api/token/refresh/', { refresh: last.json().refresh }));
    t.match(told(refused), [
      429,
      { detail: /^Request was throttled\. Expected available in \d+ seconds?\.$/ },
    ]);

    // The registration above was the first.
    t.equal((await send(post('/api/token/verify/', { token: 'x' }))).statusCode, 401);
    t.equal((await send(get('/api/dashboard/'))).statusCode, 401);
    const throttled = /^Request was throttled/;
    for (const [request, said] of [
      [post('/api/register/', { email: 'a@example.com' }), { detail: throttled }],
      [post('/api/register/', { phone: '09123456789' }), { success: false, data: {} }],
      [post('/accounts/api/auth/register/', {}), { success: false, error: throttled }],
      [post('/api/token/revoke-all/'), { detail: throttled }],
      [get('/api/dashboard/'), { success: false, data: {} }],
      [get('/core/api/dashboard/'), { success: false, error: throttled, detail: throttled }],
      [get('/api/token/'), { detail: throttled }],
    ] as [InjectOptions, object][]) {
      t.match(told(await send(request)), [429, said], `${request.method} ${request.url}`);
    }
    expectProblem(t, await send(get('/nowhere')), 429, 'rate_limited');
  });
});

t.test('cookies are none of their matters, but for the device', async (t) => {
  const { send } = await watchedApp(t);
  const { email } = await signUp({ send } as never);
  const byCookie = { 'x-auth-transport': 'cookie', origin: 'http://localhost:8000' };
  const canonical = await send(post('/api/auth/login', { email, password: PASSWORD }, byCookie));
  const jar = Object.fromEntries(canonical.cookies.map(({ name, value }) => [name, value]));
  t.ok(jar.latchkey_refresh);
  const asks = [
    ['/api/token/refresh/', { refresh: ['This field is required.'] }],
    [
      '/accounts/api/auth/token/refresh/',
      { success: false, error: 'This field is required.', refresh: ['This field is required.'] },
    ],
    ['/api/logout/', { success: false, data: {} }],
  ] as const;
  for (const [url, said] of asks) {
    t.match(told(await send({ ...post(url, {}, byCookie), cookies: jar })), [400, said], url);
  }
  const pair = await send({ ...post('/api/token/', { email, password: PASSWORD }, byCookie), cookies: jar });
  t.type(pair.json().refresh, 'string', 'the refresh token is in the body');
  t.strictSame(
    pair.cookies.map(({ name }) => name),
    ['latchkey_device'],
  );
  t.equal(pair.headers['cache-control'], 'no-store');
});

t.test('while Redis is away', async (t) => {
  const redis = await withRedis(t);
  const { send } = await watchedApp(t, {
    env: { REDIS_URL: redis.url, RATE_LIMIT_ANON: '1000/hour', OTP_TEST_NUMBERS: '09123456789:123456' },
  });
  const { email, access, refresh } = await signUp({ send } as never);
  await redis.stop();
  const away = 'Service temporarily unavailable, try again later.';
  const login = { email, password: PASSWORD };
  const phone = { phone: '09123456789', otp: '123456' };
  const envelope = ENVELOPE('سرویس موقتاً در دسترس نیست. کمی بعد دوباره تلاش کنید.');
  const asks: [InjectOptions, object][] = [
    ...Object.values(SYSTEMS).map(({ ask, say }) => [ask(login), say(away)] as [InjectOptions, object]),
    [post('/api/token/refresh/', { refresh }), DRF(away)],
    [post('/api/token/verify/', { token: access }), DRF(away)],
    [post('/api/token/revoke/', { refresh }, bearer(access)), DRF(away)],
    [post('/api/token/revoke-all/', {}, bearer(access)), DRF(away)],
    [post('/accounts/api/auth/register/', { ...login, email: 'x@example.com' }), NEURAL(away)],
    [post('/accounts/api/auth/token/refresh/', { refresh }), BOTH(away)],
    [get('/core/api/dashboard/', access), BOTH(away)],
    [post('/api/send-otp/', { phone: '09123456789', purpose: 'login' }), envelope],
    [post('/api/register/', phone), envelope],
    [post('/api/login/', phone), envelope],
    [post('/api/logout/', { refresh }), envelope],
    [post('/api/logout-all/', {}, bearer(access)), envelope],
    [get('/api/dashboard/', access), envelope],
    [get('/api/dashboard/'), envelope],
    [{ method: 'PATCH', url: '/api/profile/', headers: bearer(access), payload: {} }, envelope],
    [get('/api/user/', access), DRF(away)],
    [get('/api/token/'), DRF(away)],
  ];
  const answers = await Promise.all(asks.map(([request]) => send(request)));
  for (const [n, answer] of answers.entries()) {
    const [request, said] = asks[n]!;
    t.strictSame(told(answer), [503, said], `${request.method} ${request.url}`);
    t.match(answer.headers['retry-after'], /^[1-9]/);
    t.notMatch(answer.body, /redis|ECONN/i);
  }
});

t.test('COMPAT_ROTATION=off leaves the refresh token in force', async (t) => {
  const { send, advance, app } = await watchedApp(t, {
    env: { COMPAT_ROTATION: 'off', RATE_LIMIT_REFRESH: '3/minute' },
  });
  const { email, refresh, access, user } = await signUp({ send } as never);
  const renew = (token: string) => send(post('/api/token/refresh/', { refresh: token }));
  const seen = new Set<string>();
  for (let n = 0; n < 3; n += 1) {
    const answer = await renew(refresh);
    t.equal(answer.statusCode, 200);
    t.strictSame(Object.keys(answer.json()), ['access']);
    seen.add(answer.json().access);
    t.equal((await send(get('/api/user/', answer.json().access))).statusCode, 200);
  }
  t.equal(seen.size, 3);
  t.match(told(await renew(refresh)), [429, { detail: /throttled/ }]);
  advance(120_000);
  t.equal((await renew(refresh)).statusCode, 200, 'long after');
  t.match(told(await renew(access)), [401, { detail: 'Token has wrong type' }, CHALLENGE]);

  const rotated = (await send(post('/accounts/api/auth/token/refresh/', { refresh }))).json();
  t.ok(rotated.refresh, 'other paths rotate');
  t.equal((await send(get('/api/user/', rotated.access))).statusCode, 200);
  advance(120_000);
  const blacklisted = [401, { detail: 'Token is blacklisted', code: 'token_not_valid' }, CHALLENGE];
  t.strictSame(told(await renew(refresh)), blacklisted, 'what was rotated away is spent');
  t.equal((await renew(rotated.refresh)).statusCode, 200);
  await send(post('/api/auth/logout', { refresh: rotated.refresh }));
  t.strictSame(told(await renew(rotated.refresh)), blacklisted);

  const other = (await send(post('/api/token/', { email, password: PASSWORD }))).json();
  await app.accounts.setActive(user.id, false);
  t.match(told(await renew(other.refresh)), [401, { code: 'token_not_valid' }, CHALLENGE]);
});

t.test('COMPAT_ROUTES=off takes the routes away', async (t) => {
  const on = (await testApp(t)).app.swagger() as unknown as { paths: Record<string, object> };
  const { app, send } = await testApp(t, { env: { COMPAT_ROUTES: 'off' } });
  const off = app.swagger() as unknown as { paths: Record<string, object> };
  const gone = Object.keys(on.paths).filter((path) => !(path in off.paths));
  t.ok(gone.length >= 18, gone.join(', '));
  for (const path of gone) {
    const method = Object.keys(on.paths[path]!)[0]!.toUpperCase() as 'GET';
    expectProblem(
      t,
      await send({ method, url: path, payload: method === 'GET' ? undefined : {} }),
      404,
      'not_found',
    );
  }
});

t.test('what operators may have closed', async (t) => {
  const closed = await watchedApp(t, { env: { REGISTRATION: 'closed' } });
  const account = { email: 'a@example.com', password: PASSWORD };
  const said = 'New accounts cannot be created at the moment.';
  t.strictSame(told(await closed.send(post('/api/register/', account))), [403, DRF(said)]);
  t.strictSame(told(await closed.send(post('/accounts/api/auth/register/', account))), [403, NEURAL(said)]);
  const byPhone = await closed.send(post('/api/register/', { phone: '09123456789', otp: '123456' }));
  t.match(told(byPhone), [403, { success: false, data: {} }]);

  const mail = await mailboxes(t);
  const required = await watchedApp(t, { env: { ...mail.env, EMAIL_VERIFICATION: 'required' } });
  const told202 = (answer: LightMyRequestResponse) => [answer.statusCode, Object.keys(answer.json())];
  t.strictSame(told202(await required.send(post('/api/register/', account))), [202, ['detail']]);
  const neural = post('/accounts/api/auth/register/', { ...account, email: 'b@example.com' });
  t.strictSame(told202(await required.send(neural)), [202, ['success', 'message']]);
  t.ok(await mail.token('a@example.com'));
  t.strictSame(told(await required.send(post('/api/login/', account))), [
    403,
    DRF('The email address is not verified.'),
  ]);
  t.strictSame(told(await required.send(post('/api/token/', account))), [
    401,
    { detail: 'No active account found with the given credentials' },
    CHALLENGE,
  ]);
});
