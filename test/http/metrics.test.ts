import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import Fastify, { type InjectOptions } from 'fastify';
import t, { type Test } from 'tap';
import { EVENT_TYPES } from '../../src/audit/events.js';
import { CODES } from '../../src/contract/codes.js';
import latchkey from '../../src/index.js';
import { bearer, PASSWORD, STORES, type Stores, signUp, TEST_KEY, testApp } from '../support/app.js';
import { withRedis } from '../support/redis-server.js';
import { withServer } from '../support/server-process.js';
import { expectProblem, meOf, refreshWith } from './answers.js';
import { codeFor, freshNumber, loginBy, otherThan, phones, sendOf, signUpByPhone } from './phones.js';
import { watchedApp } from './watched-app.js';

const ALERTS = new URL('../../../docs/alerts.yml', import.meta.url);

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Every sample of a text in Prometheus's format; throws at a line that is not of it. */
function readSamples(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name, labels = '', value] = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (name === undefined) throw new Error(`not a sample: ${line}`);
      const pairs = Array.from(labels.matchAll(/(\w+)="([^"]*)",?/g), ([, label, text]) => [label, text]);
      return { name, labels: Object.fromEntries(pairs), value: Number(value) };
    });
}

type Ask = { send(options: InjectOptions): Promise<{ statusCode: number; body: string }> };

/** What `/metrics` says now: `at('events_total', { type: 'login' })` is that sample's value. */
async function scrape({ send }: Ask, url = '/metrics') {
  const answer = await send({ url });
  if (answer.statusCode !== 200) throw new Error(`${url} answered ${answer.statusCode} ${answer.body}`);
  const samples = readSamples(answer.body);
  return {
    text: answer.body,
    samples,
    at(name: string, labels: Record<string, string> = {}): number | undefined {
      const found = samples.filter(
        (sample) =>
          sample.name === `latchkey_${name}` &&
          Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      );
      if (found.length > 1) throw new Error(`${name} ${JSON.stringify(labels)} is ${found.length} samples`);
      return found[0]?.value;
    },
  };
}

const login = (email: string, password: string) =>
  ({ method: 'POST', url: '/api/auth/login', payload: { email, password } }) as const;

for (const stores of STORES) {
  t.test(stores, async (t) => {
    await t.test('counts what happens to accounts and sessions', (t) => countsEvents(t, stores));
    await t.test('counts codes and the spend guard', (t) => countsCodes(t, stores));
    await t.test('times requests by the pattern of their route', (t) => timesRequests(t, stores));
  });
}

async function countsEvents(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores });
  const { send, advance } = app;
  const before = await scrape(app);
  for (const type of EVENT_TYPES) t.equal(before.at('events_total', { type }), 0, `${type} is there at once`);
  for (const code of CODES) t.equal(before.at('failures_total', { code }), 0, `${code} too`);

  const { email, refresh } = await signUp(app);
  expectProblem(
    t,
    await send({ method: 'POST', url: '/api/auth/register', payload: { email, password: PASSWORD } }),
    409,
    'email_taken',
  );
  const signedIn = (await send(login(email, PASSWORD))).json();
  expectProblem(t, await send(login(email, 'not the password')), 401, 'invalid_credentials');
  const second = (await send(refreshWith(refresh))).json();
  await send(refreshWith(second.refresh));
  advance(61_000);
  expectProblem(t, await send(refreshWith(refresh)), 401, 'token_reused', { reason: 'reuse' });
  const headers = bearer(signedIn.access);
  const removed = await send({
    method: 'DELETE',
    url: '/api/auth/me',
    headers,
    payload: { password: PASSWORD },
  });
  t.equal(removed.statusCode, 204);

  const after = await scrape(app);
  const counted = Object.fromEntries(EVENT_TYPES.map((type) => [type, after.at('events_total', { type })]));
  t.strictSame(
    // A stolen token is told to the operator besides.
    Object.entries(counted).filter(([type, count]) => count !== 0 && type !== 'alert'),
    Object.entries({
      registered: 1,
      login: 1,
      login_failed: 1,
      token_refreshed: 2,
      token_reused: 1,
      account_deleted: 1,
    }).sort(([a], [b]) => EVENT_TYPES.indexOf(a as never) - EVENT_TYPES.indexOf(b as never)),
    'a registration that was refused is none',
  );
  t.equal(after.at('failures_total', { code: 'email_taken', status: '409' }), 1);
  t.equal(after.at('failures_total', { code: 'invalid_credentials', status: '401' }), 1);
  t.equal(after.at('failures_total', { code: 'token_reused', status: '401' }), 1);
  t.equal(after.at('events_dropped_total'), 0);
  t.equal(after.at('queue_waiting', { queue: 'password_hashes' }), 0);
  const { events } = app.app;
  await events.flush();
  for (let n = 0; n < 3; n += 1) events.record({ type: 'logout' });
  t.equal((await scrape(app)).at('queue_waiting', { queue: 'events' }), 3);
  await events.flush();
  t.equal((await scrape(app)).at('queue_waiting', { queue: 'events' }), 0);

  const used = stores === 'servers' ? ['redis', 'sql'] : ['sql'];
  for (const store of used) {
    const count = after.at('store_duration_seconds_count', { store })!;
    t.ok(count > 5, `${count} calls of ${store}`);
    t.equal(after.at('store_duration_seconds_bucket', { store, le: '+Inf' }), count);
    t.ok(after.at('store_duration_seconds_sum', { store })! > 0);
    t.equal(after.at('store_errors_total', { store }), 0);
  }

  for (const trace of [email, email.split('@')[0]!, refresh, '127.0.0.1'])
    t.notOk(after.text.includes(trace), 'nothing personal');
  t.notMatch(after.text, /[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{32}/, 'and no id');
}

async function countsCodes(t: Test, stores: Stores): Promise<void> {
  const world = await phones(t);
  const env = { ...world.env, OTP_RESEND: 'off', OTP_DAILY_CAP: '2' };
  const app = await watchedApp(t, { stores, env });
  const person = await signUpByPhone(app, world);
  const code = await codeFor(app, world, person.e164);
  for (const typed of [otherThan(code), code, code]) await app.send(loginBy(person.typed, typed));
  const unknown = freshNumber();
  t.equal((await app.send(sendOf(unknown.typed))).statusCode, 200);
  const { user } = await signUp(app);
  const claimed = freshNumber();
  const users = app.app.database.db.updateTable('users');
  await users.set({ phone: claimed.e164 }).where('id', '=', user.id).execute();
  await app.send(loginBy(claimed.typed, await codeFor(app, world, claimed.e164)));

  const { at } = await scrape(app);
  const verified = (result: string) => at('otp_verifications_total', { result });
  t.strictSame(['right', 'wrong', 'none', 'spent'].map(verified), [3, 1, 1, 0]);
  t.equal(at('events_total', { type: 'otp_sent' }), 3);
  t.equal(at('events_total', { type: 'phone_verified' }), 1);
  t.equal(at('events_total', { type: 'otp_withheld' }), 1);
  t.equal(at('spend_guard_total', { kind: 'daily_cap', mode: 'record' }), 2);
  t.equal(at('spend_guard_total', { kind: 'daily_cap', mode: 'deny' }), 0);
  t.equal(at('messages_waiting', { channel: 'sms' }), 0);
  t.equal(at('delivery_breaker_open', { channel: 'sms' }), 0);

  const strict = await watchedApp(t, {
    stores,
    env: { ...env, OTP_SPEND_GUARD: 'deny', OTP_DAILY_CAP: '1' },
  });
  await codeFor(strict, world, unknown.e164, 'verify');
  expectProblem(t, await strict.send(sendOf(unknown.typed, 'verify')), 429, 'rate_limited');
  const denied = await scrape(strict);
  t.equal(denied.at('spend_guard_total', { kind: 'daily_cap', mode: 'deny' }), 1);
  t.equal(denied.at('spend_guard_total', { kind: 'daily_cap', mode: 'record' }), 0);

  world.provider.answer(500);
  const failing = await testApp(t, { stores, env: { ...world.env, OTP_RESEND: 'off' } });
  await failing.send(sendOf(unknown.typed, 'verify'));
  t.equal((await scrape(failing)).at('messages_waiting', { channel: 'sms' }), 1, 'it will be tried again');
}

async function timesRequests(t: Test, stores: Stores): Promise<void> {
  const app = await watchedApp(t, { stores });
  const { access } = await signUp(app);
  const id = '0'.repeat(32);
  for (let n = 0; n < 3; n += 1) await app.send(meOf(access));
  await app.send({ ...meOf(access), url: '/api/auth/me/' });
  await app.send({ url: '/api/auth/me?access_token=a-secret' });
  await app.send({ method: 'DELETE', url: `/api/auth/sessions/${id}`, headers: bearer(access) });
  for (const url of ['/nothing', '/api/auth/nobody', '/%zz', '/.env']) await app.send({ url });
  await app.send({ method: 'PROPFIND' as 'GET', url: '/nothing' });

  const { at, text, samples } = await scrape(app);
  const count = (method: string, route: string, status: string) =>
    at('http_request_duration_seconds_count', { method, route, status });
  t.equal(count('GET', '/api/auth/me', '2xx'), 4, 'a slash at the end makes no other route');
  t.equal(count('GET', '/api/auth/me', '4xx'), 1);
  t.equal(count('POST', '/api/auth/register', '2xx'), 1);
  t.equal(count('DELETE', '/api/auth/sessions/:id', '4xx'), 1);
  t.equal(count('GET', 'unmatched', '4xx'), 4);
  t.equal(count('other', 'unmatched', '4xx'), 1);
  const ofMe = { method: 'GET', route: '/api/auth/me', status: '2xx' };
  t.equal(at('http_request_duration_seconds_bucket', { ...ofMe, le: '+Inf' }), 4);
  const sum = at('http_request_duration_seconds_sum', ofMe)!;
  t.ok(sum > 0 && sum < 10, `${sum} s`);
  for (const trace of ['a-secret', id, 'nobody', '.env', 'PROPFIND']) t.notOk(text.includes(trace), trace);

  const buckets = samples.filter(
    ({ name, labels }) => name.endsWith('_bucket') && labels.route === ofMe.route,
  );
  for (const status of ['2xx', '4xx']) {
    const values = buckets.filter(({ labels }) => labels.status === status).map(({ value }) => value);
    t.strictSame(
      values,
      [...values].sort((a, b) => a - b),
      'buckets add up',
    );
  }
}

t.test('a store that is away is counted as such', async (t) => {
  const redis = await withRedis(t);
  const app = await testApp(t, { stores: 'servers', env: { REDIS_URL: redis.url } });
  const { access } = await signUp(app);
  await redis.kill();
  for (let n = 0; n < 2; n += 1) expectProblem(t, await app.send(meOf(access)), 503, 'store_unavailable');
  await app.app.database.db.schema.dropTable('events').execute();
  await t.rejects(app.app.database.events.insert([{ type: 'login', at: 1 }]), /events/);

  const { at } = await scrape(app);
  t.equal(at('store_errors_total', { store: 'redis' }), 2);
  t.equal(
    at('store_errors_total', { store: 'sql' }),
    0,
    'what SQL says about a statement is no failure of it',
  );
  t.equal(at('failures_total', { code: 'store_unavailable', status: '503' }), 2);

  const alone = await testApp(t, {
    areAway: true,
    env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none', REDIS_URL: redis.url, MIGRATE: 'off' },
  });
  await t.rejects(alone.app.database.ping(), { code: 'store_unavailable' });
  const away = await scrape(alone);
  t.ok(away.at('store_errors_total', { store: 'sql' })! >= 1);
  t.equal(
    away.at('store_duration_seconds_count', { store: 'sql' }),
    away.at('store_errors_total', { store: 'sql' }),
  );
});

t.test('events that are given up are counted', async (t) => {
  const app = await testApp(t);
  await app.app.database.db.schema.alterTable('events').dropColumn('user_agent').execute();
  app.app.events.record({ type: 'login' });
  await app.app.events.flush();
  t.equal((await scrape(app)).at('events_dropped_total'), 1);
});

t.test('who may read them', async (t) => {
  await t.test('without a token this machine, and nobody through it', async (t) => {
    const { send } = await watchedApp(t, { env: { RATE_LIMIT_ANON: '1/hour' } });
    const ask = (headers: Record<string, string> = {}, remoteAddress = '127.0.0.1') =>
      send({ url: '/metrics', headers, remoteAddress });
    const allowed = [
      await ask(),
      await ask({ host: '127.0.0.1:8000' }),
      await ask({ host: '[::1]:8000' }, '::1'),
      await ask({ host: 'LOCALHOST:8000' }, '::ffff:127.0.0.1'),
      await ask({ host: '127.0.0.2' }, '127.9.9.9'),
      await ask(bearer('nonsense')),
      await send({ url: '/metrics/' }),
      await send({ method: 'HEAD', url: '/metrics' }),
    ];
    for (const answer of allowed) {
      t.equal(answer.statusCode, 200, 'never limited');
      t.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
      t.equal(answer.headers['cache-control'], 'no-store');
      t.equal(answer.headers['ratelimit-limit'], undefined);
    }
    const forwarding = [
      'forwarded',
      'via',
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-real-ip',
      'x-client-ip',
      'cf-connecting-ip',
      'true-client-ip',
    ];
    for (const name of forwarding) expectProblem(t, await ask({ [name]: '127.0.0.1' }), 403, 'forbidden');
    for (const host of ['auth.example.com', 'localhost.example.com', '10.0.0.1:8000', '[2001:db8::1]'])
      expectProblem(t, await ask({ host }), 403, 'forbidden');
    for (const peer of ['192.0.2.7', '10.0.0.1', '2001:db8::1', '::ffff:192.0.2.7'])
      expectProblem(t, await ask({}, peer), 403, 'forbidden');
    expectProblem(t, await ask({ 'x-forwarded-for': '127.0.0.1' }, '192.0.2.7'), 403, 'forbidden');
  });

  await t.test('with a token whoever shows it, from anywhere', async (t) => {
    const token = 'a-token-for-the-scraper';
    const { send } = await watchedApp(t, { env: { METRICS_TOKEN: token, RATE_LIMIT_ANON: '1/hour' } });
    const ask = (headers: Record<string, string>, remoteAddress = '192.0.2.7') =>
      send({ url: '/metrics', headers, remoteAddress });
    t.equal((await ask(bearer(token))).statusCode, 200);
    t.equal(
      (await ask({ authorization: `bearer  ${token}`, 'x-forwarded-for': '192.0.2.9' })).statusCode,
      200,
    );
    const refused = [
      {},
      bearer('x'),
      bearer(`${token}x`),
      bearer(token.slice(0, -1)),
      bearer(token.toUpperCase()),
      { authorization: `Basic ${Buffer.from(`metrics:${token}`).toString('base64')}` },
      { authorization: token },
    ];
    for (const headers of refused) expectProblem(t, await ask(headers), 403, 'forbidden');
    expectProblem(t, await ask({ host: 'localhost' }, '127.0.0.1'), 403, 'forbidden');
    expectProblem(t, await send({ url: `/metrics?token=${token}` }), 403, 'forbidden');
  });

  await t.test('not by HTTP/1.0, which is how proxies speak that add nothing', async (t) => {
    const { port } = await withServer(t);
    const ask = async (version: string): Promise<string> => {
      const socket = connect(port, '127.0.0.1');
      socket.write(`GET /metrics HTTP/${version}\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`);
      let answer = '';
      for await (const chunk of socket.setEncoding('utf8')) answer += chunk;
      return answer.split('\r\n', 1)[0]!;
    };
    t.equal(await ask('1.1'), 'HTTP/1.1 200 OK');
    t.equal(await ask('1.0'), 'HTTP/1.1 403 Forbidden');
  });
});

t.test('in an application that is not ours', async (t) => {
  const settings = () => ({ jwtSigningKey: TEST_KEY, dataDir: t.testdir(), rateLimitAnon: 'off' as const });
  const app = Fastify();
  t.teardown(() => app.close());
  app.decorate('metrics', 'theirs');
  await app.register(async (scope) => {
    await scope.register(latchkey, { ...settings(), prefix: '/one', metrics: true });
  });
  await app.register(async (scope) => {
    await scope.register(latchkey, {
      ...settings(),
      prefix: '/two',
      metrics: true,
      metricsToken: 'x'.repeat(16),
    });
  });
  await app.register(async (scope) => {
    await scope.register(latchkey, { ...settings(), prefix: '/three' });
  });
  app.get('/theirs', async () => 'theirs');
  await app.ready();
  const send = (options: InjectOptions) => app.inject(options);

  await send({ url: '/theirs' });
  await send({ url: '/nothing' });
  for (const url of ['/one/api/auth/me', '/one/api/auth/me/', '/two/api/auth/me']) await send({ url });
  const one = await scrape({ send }, '/one/metrics');
  const ofMe = { name: 'latchkey_http_request_duration_seconds_count', status: '4xx' };
  const counts = one.samples.filter(({ name }) => name === ofMe.name);
  t.strictSame(
    counts.map(({ labels, value }) => ({ ...labels, value })),
    [{ method: 'GET', route: '/one/api/auth/me', status: '4xx', value: 2 }],
    'its own requests, in both spellings, and no others',
  );
  t.equal(one.at('failures_total', { code: 'token_missing' }), 2);
  t.notOk(
    one.samples.some(({ name }) => /^(process|nodejs)_/.test(name)),
    'the process is not ours',
  );

  t.equal((await send({ url: '/two/metrics' })).statusCode, 403);
  const two = await send({ url: '/two/metrics/', headers: bearer('x'.repeat(16)) });
  t.match(two.body, /failures_total\{code="token_missing",status="401"\} 1\n/, 'each counts for itself');
  t.equal((await send({ url: '/three/metrics' })).statusCode, 404, 'nothing where it was not asked for');
});

t.test('a server tells of its process, through a socket', async (t) => {
  const server = await withServer(t, { env: { METRICS_TOKEN: 'a-token-of-a-server' } });
  const ask = (token: string) =>
    fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  t.equal((await ask('another-token-of-it')).status, 403);
  const names = namesIn(await (await ask('a-token-of-a-server')).text());
  for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds'])
    t.ok(names.has(name), name);
});

const namesIn = (text: string): Set<string> => new Set(readSamples(text).map(({ name }) => name));

/** What a file of rules says that no sample of ours answers to: names, and values of labels. */
function unknownIn(rules: string, samples: readonly Sample[]): string[] {
  const expressions = Array.from(rules.matchAll(/^ +expr:(.*(?:\n {10,}.*)*)/gm), ([, text]) => text!);
  return expressions.flatMap((expression) => {
    const named = Array.from(expression.matchAll(/\b((?:latchkey|nodejs|process)_\w+)(?:\{([^}]*)\})?/g));
    if (named.length === 0) return [`no metric in${expression}`];
    return named.flatMap(([, name, matchers = '']) => {
      const found = samples.filter((sample) => sample.name === name);
      if (found.length === 0) return [name!];
      return Array.from(matchers.matchAll(/(\w+)(=~?)"([^"]*)"/g)).flatMap(([matcher, label, , value]) => {
        const wanted = new RegExp(`^(?:${value})$`);
        return found.some(({ labels }) => wanted.test(labels[label!] ?? '')) ? [] : [`${name}{${matcher}}`];
      });
    });
  });
}

t.test('the alerts speak of metrics that there are', async (t) => {
  const rules = readFileSync(fileURLToPath(ALERTS), 'utf8');
  const app = await testApp(t, { env: { SMS_PROVIDER: 'console' } });
  // So that there is a sample of a request.
  await app.send({ url: '/healthz' });
  const { samples } = await scrape(app);
  t.strictSame(unknownIn(rules, samples), []);
  const broken = rules
    .replace('latchkey_store_errors_total', 'latchkey_store_faults_total')
    .replace('type="token_reused"', 'type="token_stolen"')
    .replace('wrong|none|spent', 'wrog');
  t.strictSame(unknownIn(broken, samples).sort(), [
    'latchkey_events_total{type="token_stolen"}',
    'latchkey_otp_verifications_total{result=~"wrog"}',
    'latchkey_store_faults_total',
  ]);

  const blocks = rules.split(/^ +- alert: /m).slice(1);
  t.ok(blocks.length > 12, `${blocks.length} rules`);
  t.equal(new Set(blocks.map((block) => block.split('\n', 1)[0])).size, blocks.length, 'each has its name');
  for (const block of blocks) {
    const name = block.split('\n', 1)[0]!;
    t.match(block, /^ {8}expr: \S/m, name);
    t.match(block, /^ {10}severity: (warning|critical)$/m, name);
    t.match(block, /^ {10}summary: \S/m, name);
    t.match(block, /^ {10}description: \S/m, name);
  }
  const series = [
    'token_reused',
    'login_failed',
    'store_errors',
    '5\\.\\.',
    'otp_sent',
    'spend_guard',
    'queue_waiting',
    'events_dropped',
  ];
  for (const each of series) t.match(rules, new RegExp(`expr:[^]*${each}`), `there is one about ${each}`);
});
