import argon2 from 'argon2';
import type { LightMyRequestResponse } from 'fastify';
import t, { type Test } from 'tap';
import { newTokenId } from '../../src/lib/ids.js';
import { mailboxes } from '../http/mailbox.js';
import { freshNumber, phones } from '../http/phones.js';
import { bearer, PASSWORD, type SignedUp, signUp, type TestApp, testApp } from '../support/app.js';
import { freshDatabase } from '../support/postgres-server.js';
import { sharedRedisUrl } from '../support/redis-namespace.js';
import { countStatements } from '../support/statement-counter.js';
import { countTrips } from '../support/trip-counter.js';

/** Every limit is counted, and none is reached. */
const LIMITS_ON = {
  RATE_LIMIT_LOGIN: '100000/minute',
  RATE_LIMIT_LOGIN_IP: '100000/minute',
  RATE_LIMIT_REFRESH: '100000/minute',
  RATE_LIMIT_ANON: '100000/minute',
  RATE_LIMIT_USER: '100000/minute',
};

interface Cost {
  /** Redis round trips. */
  trips: number;
  /** SQL statements but for stored events. */
  statements: number;
  /** Statements that store or count events. */
  eventStatements: number;
}

interface Meter extends TestApp {
  /** Measures `work` until its events are stored as well. */
  measure<T>(work: () => Promise<T>): Promise<Cost & { result: T }>;
}

const storesEvents = (statement: string): boolean => /insert into "(events|event_counts)"/.test(statement);

/** What refusals must cost is read again once a minute, by whichever request comes first. */
const isOfTheMinute = (statement: string): boolean => statement.includes('from "password_costs"');

/** The service on Redis and PostgreSQL, with a counting proxy before each. */
async function meteredApp(t: Test, env: Record<string, string> = {}): Promise<Meter> {
  const redis = await countTrips(t, sharedRedisUrl());
  const sql = await countStatements(t, await freshDatabase(t));
  const test = await testApp(t, {
    stores: 'servers',
    env: { ...LIMITS_ON, LOG_LEVEL: 'silent', REDIS_URL: redis.url, DATABASE_URL: sql.url, ...env },
  });
  const stranger = await signUp(test);

  /** The clock moves on, so that the roles are read again and stay fresh for what follows. */
  async function refreshRoles(): Promise<void> {
    test.advance(5000);
    await expectStatus(200, test.send({ url: '/api/auth/me', headers: bearer(stranger.access) }));
    await test.app.events.flush();
    // What was done before may look like an attack, and an alert is an event too.
    await test.app.attackWatch.inspect();
    await test.app.events.flush();
  }

  return {
    ...test,
    async measure(work) {
      await refreshRoles();
      redis.reset();
      sql.reset();
      const result = await work();
      await test.app.events.flush();
      const statements = sql.statements();
      return {
        result,
        trips: redis.trips(),
        statements: statements.filter((each) => !storesEvents(each) && !isOfTheMinute(each)).length,
        eventStatements: statements.filter(storesEvents).length,
      };
    },
  };
}

async function expectStatus(
  status: number,
  answer: Promise<LightMyRequestResponse>,
): Promise<LightMyRequestResponse> {
  const response = await answer;
  if (response.statusCode !== status)
    throw new Error(`${response.statusCode} instead of ${status}: ${response.body}`);
  return response;
}

/** Opens a session of somebody whose snapshot is known afterwards. */
async function signIn(meter: Meter, { email }: SignedUp): Promise<SignedUp> {
  const request = { method: 'POST', url: '/api/auth/login', payload: { email, password: PASSWORD } } as const;
  return { email, ...(await expectStatus(200, meter.send(request))).json() };
}

const post = (payload: object, headers = {}) => ({ method: 'POST', payload, headers }) as const;

t.test('what each request costs, limits included', async (t) => {
  const meter = await meteredApp(t);
  const { send, measure } = meter;

  interface Row {
    name: string;
    request(who: SignedUp, second: SignedUp): Parameters<typeof send>[0];
    cost: Cost;
  }
  const free = { statements: 0, eventStatements: 0 };
  const table: Row[] = [
    {
      name: 'GET me',
      request: (who) => ({ url: '/api/auth/me', headers: bearer(who.access) }),
      cost: { trips: 1, ...free },
    },
    {
      name: 'a list of sessions: one trip for the caller, one for the list',
      request: (who) => ({ url: '/api/auth/sessions', headers: bearer(who.access) }),
      cost: { trips: 2, ...free },
    },
    {
      name: 'activity: one trip for the caller, one statement for the page',
      request: (who) => ({ url: '/api/auth/activity', headers: bearer(who.access) }),
      cost: { trips: 1, statements: 1, eventStatements: 0 },
    },
    {
      name: 'verify an access token',
      request: (who) => ({ url: '/api/auth/verify', ...post({ token: who.access }) }),
      cost: { trips: 1, ...free },
    },
    {
      name: 'verify a refresh token',
      request: (who) => ({ url: '/api/auth/verify', ...post({ token: who.refresh }) }),
      cost: { trips: 1, ...free },
    },
    {
      name: 'refresh',
      request: (who) => ({ url: '/api/auth/refresh', ...post({ refresh: who.refresh }) }),
      cost: { trips: 1, statements: 0, eventStatements: 1 },
    },
    {
      name: 'logout by refresh token',
      request: (who) => ({ url: '/api/auth/logout', ...post({ refresh: who.refresh }) }),
      cost: { trips: 1, statements: 0, eventStatements: 1 },
    },
    {
      name: 'logout by bearer token',
      request: (who) => ({ url: '/api/auth/logout', ...post({}, bearer(who.access)) }),
      cost: { trips: 1, statements: 0, eventStatements: 1 },
    },
    {
      name: 'logout of two sessions in different slots',
      request: (who, second) => ({
        url: '/api/auth/logout',
        ...post({ refresh: second.refresh }, bearer(who.access)),
      }),
      cost: { trips: 1, statements: 0, eventStatements: 1 },
    },
    {
      name: 'logout everywhere',
      request: (who) => ({ url: '/api/auth/logout-all', ...post({}, bearer(who.access)) }),
      cost: { trips: 1, statements: 0, eventStatements: 1 },
    },
    {
      name: 'login',
      request: (who) => ({ url: '/api/auth/login', ...post({ email: who.email, password: PASSWORD }) }),
      cost: { trips: 2, statements: 1, eventStatements: 1 },
    },
    {
      name: 'login in words of SimpleJWT',
      request: (who) => ({ url: '/api/token/', ...post({ username: who.email, password: PASSWORD }) }),
      cost: { trips: 2, statements: 1, eventStatements: 1 },
    },
    {
      name: 'refresh in words of SimpleJWT',
      request: (who) => ({ url: '/api/token/refresh/', ...post({ refresh: who.refresh }) }),
      cost: { trips: 1, statements: 0, eventStatements: 1 },
    },
    {
      name: 'verify in words of SimpleJWT',
      request: (who) => ({ url: '/api/token/verify/', ...post({ token: who.refresh }) }),
      cost: { trips: 1, ...free },
    },
    {
      name: 'who is calling, asked by a client of PyCoder',
      request: (who) => ({ url: '/api/user/', headers: bearer(who.access) }),
      cost: { trips: 1, ...free },
    },
    {
      name: 'logout of a client by phone',
      request: (who) => ({ url: '/api/logout/', ...post({ refresh: who.refresh }) }),
      cost: { trips: 1, statements: 0, eventStatements: 1 },
    },
  ];
  const [one, other] = [await signUp(meter), await signUp(meter)];
  // What passwords cost is no question here.
  t.capture(argon2, 'verify', async () => true);
  for (const { name, request, cost } of table) {
    const ask = async () => request(await signIn(meter, one), await signIn(meter, other));
    // Once to warm up: Redis learns its scripts.
    await expectStatus(200, send(await ask()));
    const asked = await ask();
    const { result, ...spent } = await measure(() => send(asked));
    t.equal(result.statusCode, 200, `${name}: 200`);
    t.same(spent, cost, `${name}: cost`);
  }
});

t.test('a token that is none costs no trip; its address is counted in one', async (t) => {
  const [open, counted] = [await meteredApp(t, { RATE_LIMIT_ANON: 'off' }), await meteredApp(t)];
  const stranger = await signUp(counted);
  const [header, payload] = stranger.access.split('.');
  const forged = `${header}.${payload}.${newTokenId()}${newTokenId().slice(0, 11)}`;
  const invalid = [forged, 'x', 'a.b.c'];

  const requests = invalid.flatMap((token) => [
    { url: '/api/auth/me', headers: bearer(token) },
    { url: '/api/auth/verify', ...post({ token }) },
    { url: '/api/auth/refresh', ...post({ refresh: token }) },
    { url: '/api/auth/logout', ...post({ refresh: token }) },
    { url: '/api/auth/logout-all', ...post({}, bearer(token)) },
  ]);
  for (const request of requests) {
    for (const [meter, trips] of [
      [open, 0],
      [counted, 1],
    ] as const) {
      const { result, ...cost } = await meter.measure(() => meter.send(request));
      t.equal(result.statusCode, 401);
      t.equal(result.json().code, 'token_invalid');
      t.same(cost, { trips, statements: 0, eventStatements: 0 }, `${request.url}: ${trips} trips`);
    }
  }

  const missing = await counted.measure(() => counted.send({ url: '/api/auth/me' }));
  t.equal(missing.result.json().code, 'token_missing');
  t.equal(missing.trips, 1, 'no token at all is counted too');
  const health = await counted.measure(() => counted.send({ url: '/healthz' }));
  t.equal(health.result.statusCode, 200);
  t.same([health.trips, health.statements], [0, 0], 'a liveness probe asks no store');
});

t.test('what is not warm costs a little more, once', async (t) => {
  const meter = await meteredApp(t);
  const who = await signUp(meter);
  const me = () => meter.send({ url: '/api/auth/me', headers: bearer(who.access) });

  await t.test('the first request after a registration costs what all others cost', async (t) => {
    const { result, ...cost } = await meter.measure(me);
    t.equal(result.statusCode, 200);
    t.same(cost, { trips: 1, statements: 0, eventStatements: 0 });
  });

  await t.test('a revoked token is one trip, and its address is counted in another', async (t) => {
    await expectStatus(200, meter.send({ url: '/api/auth/logout', ...post({ refresh: who.refresh }) }));
    const { result, ...cost } = await meter.measure(me);
    t.equal(result.statusCode, 401);
    t.equal(result.json().code, 'token_revoked');
    t.same(cost, { trips: 2, statements: 0, eventStatements: 0 });
  });
});

t.test('requests side by side share trips', async (t) => {
  const meter = await meteredApp(t);
  const people: SignedUp[] = [];
  for (let n = 0; n < 3; n++) people.push(await signIn(meter, await signUp(meter)));
  const AT_ONCE = 60;
  const { result, trips, statements } = await meter.measure(() =>
    Promise.all(
      Array.from({ length: AT_ONCE }, (_, n) =>
        meter.send({ url: '/api/auth/me', headers: bearer(people[n % people.length]!.access) }),
      ),
    ),
  );
  t.ok(result.every(({ statusCode }) => statusCode === 200));
  t.ok(trips <= AT_ONCE / 6, `${AT_ONCE} requests took ${trips} trips`);
  t.equal(statements, 0);
});

t.test('an account that is not there costs what a wrong password costs', async (t) => {
  const meter = await meteredApp(t);
  const known = await signUp(meter, { username: `u${newTokenId().slice(0, 8)}x` });
  const withoutPassword = await signUp(meter);
  await meter.app.database.db
    .updateTable('users')
    .set({ password_hash: null })
    .where('id', '=', withoutPassword.user.id)
    .execute();

  const verify = t.capture(argon2, 'verify', argon2.verify);
  const hash = t.capture(argon2, 'hash', argon2.hash);
  const tries = {
    'wrong password': { email: known.email, password: 'not the password' },
    'unknown address': { email: `nobody.${newTokenId()}@example.com`, password: 'not the password' },
    'unknown name': { username: `nobody${newTokenId()}`, password: 'not the password' },
    'no password set': { email: withoutPassword.email, password: 'not the password' },
    'empty password': { email: known.email, password: '' },
    'no address at all': { email: 'not an address', password: 'not the password' },
    'no name at all': { username: '+98912 345 67 89', password: 'not the password' },
  };
  const answers = new Set<string>();
  for (const [name, payload] of Object.entries(tries)) {
    verify();
    const { result, ...cost } = await meter.measure(() =>
      meter.send({ url: '/api/auth/login', ...post(payload) }),
    );
    t.same(cost, { trips: 1, statements: 1, eventStatements: 1 }, `${name}: cost`);
    const verified = verify();
    t.equal(verified.length, 1, `${name}: one verification`);
    t.match(
      String(verified[0]?.args[0]),
      /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/,
      `${name}: at the full price`,
    );
    t.equal(result.statusCode, 401, name);
    const { request_id, ...body } = result.json();
    t.type(request_id, 'string');
    const { 'x-request-id': _id, date: _date, ...headers } = result.headers;
    answers.add(JSON.stringify([body, Object.keys(headers).sort()]));
  }
  t.equal(answers.size, 1, 'and all answers are one');
  t.match([...answers][0], 'invalid_credentials');
  t.equal(hash().length, 0, 'nothing is hashed for them');
});

t.test('a refused login costs no hash; what was counted in vain is taken back', async (t) => {
  const meter = await meteredApp(t, { RATE_LIMIT_LOGIN: '1/hour' });
  const known = (await signUp(meter)).email;
  const verify = t.capture(argon2, 'verify', async () => false);
  for (const email of [known, `nobody.${known}`]) {
    const login = (remoteAddress: string) =>
      meter.send({ url: '/api/auth/login', remoteAddress, ...post({ email, password: 'wrong' }) });
    for (let n = 1; n <= 20; n += 1) {
      meter.advance(10_000);
      await expectStatus(401, login(`192.0.2.${n}`));
    }
    const refused = { account_delayed: '192.0.2.99', rate_limited: '192.0.2.1' };
    for (const [code, address] of Object.entries(refused)) {
      if (code === 'rate_limited') meter.advance(10_000);
      // Once to warm up: Redis learns its scripts.
      await expectStatus(429, login(address));
      verify();
      const { result, ...cost } = await meter.measure(() => login(address));
      t.equal(result.statusCode, 429);
      t.equal(result.json().code, code);
      t.same(cost, { trips: 2, statements: 1, eventStatements: 0 }, code);
      t.equal(verify().length, 0);
    }
  }
});

t.test('a known device costs no more than others', async (t) => {
  const meter = await meteredApp(t);
  const { email } = await signUp(meter);
  const passwords = t.capture(
    argon2,
    'verify',
    async (_hash: string, given: string | Buffer) => given === PASSWORD,
  );
  const login = (password: string, device = '') =>
    meter.send({
      url: '/api/auth/login',
      cookies: { latchkey_device: device },
      ...post({ email, password }),
    });
  const deviceOf = (answer: LightMyRequestResponse) => answer.cookies[0]?.value as string;
  const device = deviceOf(await expectStatus(200, login(PASSWORD)));
  const forged = device.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'));
  // Once to warm up: Redis learns its scripts.
  await expectStatus(401, login('wrong', device));

  const right = await meter.measure(() => login(PASSWORD, device));
  t.equal(deviceOf(right.result), device, 'it is known');
  t.match(right, { trips: 2, statements: 1 });
  t.match(await meter.measure(() => login(PASSWORD, forged)), { trips: 2, statements: 1 });
  t.match(await meter.measure(() => login('wrong', device)), { trips: 2, statements: 1 });
  t.match(await meter.measure(() => login('wrong', forged)), { trips: 1, statements: 1 });
  const { access } = right.result.json();
  await expectStatus(200, meter.send({ url: '/api/auth/logout-all', ...post({}, bearer(access)) }));
  const gone = await meter.measure(() => login(PASSWORD, device));
  t.match(gone, { trips: 2, statements: 1 });
  t.not(deviceOf(gone.result), device, 'it was forgotten');
  t.equal(passwords().length, 7, 'a password each');
});

t.test('events are stored many at a time, and none is lost', async (t) => {
  const meter = await meteredApp(t);
  const who = await signUp(meter);
  t.capture(argon2, 'verify', async () => true);
  const LOGINS = 100;
  const { result, eventStatements, trips } = await meter.measure(async () => {
    const answers: LightMyRequestResponse[] = [];
    // More at once might be guesses: whoever is not known waits until some of them turn out to be right.
    for (let n = 0; n < LOGINS; n += 10) {
      const some = Array.from({ length: 10 }, () =>
        meter.send({ url: '/api/auth/login', ...post({ email: who.email, password: PASSWORD }) }),
      );
      answers.push(...(await Promise.all(some)));
    }
    return answers;
  });
  t.ok(result.every(({ statusCode }) => statusCode === 200));
  t.ok(eventStatements <= 10, `${LOGINS} logins took ${eventStatements} statements for their events`);
  t.ok(trips < 2 * LOGINS, `and ${trips} trips`);
  const { count } = await meter.app.database.db
    .selectFrom('events')
    .select((e) => e.fn.countAll<number>().as('count'))
    .where('user_id', '=', who.user.id)
    .where('type', '=', 'login')
    .executeTakeFirstOrThrow();
  t.equal(Number(count), LOGINS);
});

t.test('codes by phone, limits included', async (t) => {
  const [known, another] = [freshNumber(), freshNumber()];
  const meter = await meteredApp(t, {
    ...(await phones(t)).env,
    OTP_TEST_NUMBERS: `${known.e164}:123456,${another.e164}:123456`,
    OTP_SENDS_PER_HOUR: '10000',
    OTP_SENDS_PER_DAY: '10000',
    OTP_SENDS_PER_IP_HOUR: '10000',
    ACCESS_TOKEN_LIFETIME_MINUTES: '5000',
  });
  const send = (phone: string, purpose: string) =>
    meter.send({ url: '/api/auth/otp/send', ...post({ phone, purpose }) });
  const login = (otp: string, phone = known.e164) =>
    meter.send({ url: '/api/auth/login', ...post({ phone, otp }) });
  const register = (phone: string) =>
    meter.send({ url: '/api/auth/register', ...post({ phone, otp: '123456' }) });
  const measure = async (status: number, ask: () => Promise<LightMyRequestResponse>) => {
    const { result, ...cost } = await meter.measure(ask);
    t.equal(result.statusCode, status, result.body.slice(0, 90));
    return cost;
  };
  // Once to warm up: Redis learns its scripts.
  await expectStatus(200, send(another.e164, 'register'));
  await expectStatus(400, login('654321'));
  await expectStatus(201, register(another.e164));
  await expectStatus(
    429,
    send(known.e164, 'register').then(() => send(known.e164, 'register')),
  );

  // Anonymous requests are counted in a trip of their own before the code is looked at; then the code, the session,
  // and the snapshot, for a store that knows nothing of the account yet.
  // The registration is stored with the account; that the code was right, with other routine events.
  t.same(await measure(201, () => register(known.e164)), { trips: 4, statements: 2, eventStatements: 2 });
  for (const phone of [known.e164, freshNumber().e164]) {
    for (const purpose of ['login', 'reset', 'verify']) {
      meter.advance(600_000);
      const cost = await measure(200, () => send(phone, purpose));
      t.same(cost, { trips: 2, statements: 1, eventStatements: 1 }, `send for ${purpose}`);
    }
    const refused = await measure(429, () => send(phone, 'login'));
    t.same(refused, { trips: 2, statements: 0, eventStatements: 0 }, 'a refused send');
  }

  meter.advance(600_000);
  await expectStatus(200, send(known.e164, 'login'));
  t.same(await measure(400, () => login('654321')), { trips: 1, statements: 1, eventStatements: 1 }, 'wrong');
  const { eventStatements, ...cost } = await measure(200, () => login('123456'));
  t.same(cost, { trips: 2, statements: 1 }, 'login');
  t.ok(
    eventStatements === 1 || eventStatements === 2,
    'two events: one batch, unless one leaves between them',
  );
  const unsent = await measure(400, () => login('123456', freshNumber().e164));
  t.same(unsent, { trips: 1, statements: 1, eventStatements: 1 }, 'a code that was never sent');
  t.same(await measure(400, () => login('x')), { trips: 0, statements: 0, eventStatements: 0 }, 'no code');
});

t.test('whether there is an account costs nothing that could be told', async (t) => {
  const mail = await mailboxes(t);
  const env = { ...mail.env, RATE_LIMIT_PASSWORD_RESET: '100000/minute' };
  const sameFor = async (
    t: Test,
    meter: Meter,
    emails: readonly string[],
    ask: (email: string) => Promise<LightMyRequestResponse>,
    expected: Cost,
  ) => {
    for (const email of emails) {
      const { result, ...cost } = await meter.measure(() => ask(email));
      t.equal(result.statusCode, 202, result.body.slice(0, 90));
      t.same(cost, expected);
    }
  };

  await t.test('for who has forgotten a password', async (t) => {
    const meter = await meteredApp(t, env);
    const { email } = await signUp(meter);
    const forgot = (address: string) =>
      meter.send({ url: '/api/auth/password/forgot', ...post({ email: address }) });
    // Once to warm up: Redis learns its scripts.
    await expectStatus(202, forgot(email));
    const emails = [email, 'nobody@example.com', email, 'nobody@example.com'];
    await sameFor(t, meter, emails, forgot, { trips: 3, statements: 1, eventStatements: 1 });
  });

  await t.test('for who registers where addresses must be confirmed', async (t) => {
    const redis = await countTrips(t, sharedRedisUrl());
    const sql = await countStatements(t, await freshDatabase(t));
    const { app, send } = await testApp(t, {
      stores: 'servers',
      env: { ...env, REDIS_URL: redis.url, DATABASE_URL: sql.url, EMAIL_VERIFICATION: 'required' },
    });
    const register = async (email: string) => {
      redis.reset();
      sql.reset();
      await expectStatus(202, send({ url: '/api/auth/register', ...post({ email, password: PASSWORD }) }));
      await app.events.flush();
      return { trips: redis.trips(), statements: sql.statements().length };
    };
    await register('known@example.com');
    const costs = [await register('known@example.com'), await register('new@example.com')];
    t.same(costs, Array(2).fill({ trips: 2, statements: 4 }));
  });
});
