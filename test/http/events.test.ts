import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { EventType, SecurityEvent } from '../../src/audit/events.js';
import { AuthError } from '../../src/errors.js';
import { toIso } from '../../src/lib/clock.js';
import { newAccountId, newTokenId } from '../../src/lib/ids.js';
import { httpDouble } from '../delivery/http-double.js';
import {
  bearer,
  PASSWORD,
  type SignedUp,
  STORES,
  type Stores,
  signUp,
  type TestApp,
} from '../support/app.js';
import { expectProblem, meOf, refreshWith } from './answers.js';
import { mailboxes } from './mailbox.js';
import { codeFor, loginBy, phones, sendOf, signUpByPhone, UNLIMITED } from './phones.js';
import { watchedApp } from './watched-app.js';

const KEY = Buffer.from(Array.from({ length: 32 }, (_, n) => 250 - 3 * n)).toString('base64');
const NEXT_KEY = Buffer.from(Array.from({ length: 32 }, (_, n) => 7 * n + 1)).toString('base64');

interface EventBody {
  id: number;
  uid: string;
  type: string;
  at: string;
  user_id: string | null;
  actor_id: string | null;
  session_id: string | null;
  reason: string | null;
  ip: string | null;
  user_agent: string | null;
  detail?: Record<string, unknown>;
  unreadable?: boolean;
}

const get = (url: string, access: string) => ({ url, headers: bearer(access) });

const login = ({ email }: { email: string }, remoteAddress = '127.0.0.1', password = PASSWORD) =>
  ({ method: 'POST', url: '/api/auth/login', payload: { email, password }, remoteAddress }) as const;

/** Somebody with these columns, signed in after they were set. */
async function person(app: TestApp, columns: { is_staff?: number; role?: string } = {}): Promise<SignedUp> {
  const somebody = await signUp(app);
  const { db } = app.app.database;
  await db
    .updateTable('users')
    .set({ ...columns, version: 2 })
    .where('id', '=', somebody.user.id)
    .execute();
  return { ...somebody, ...(await app.send(login(somebody))).json() };
}

async function staffWith(app: TestApp, permissions: string[]): Promise<SignedUp> {
  const name = newTokenId();
  const role = { name, permissions: JSON.stringify(permissions), description: '' };
  await app.app.database.db.insertInto('roles').values(role).execute();
  await app.app.roles.renew();
  return person(app, { is_staff: 1, role: name });
}

async function list(app: TestApp, access: string, query = ''): Promise<EventBody[]> {
  await app.app.events.flush();
  const answer = await app.send(get(`/api/admin/events?limit=100&${query}`, access));
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${answer.body}`);
  return answer.json().events;
}

for (const stores of STORES) {
  t.test(stores, async (t) => {
    const app = await watchedApp(t, { stores, env: { DATA_ENCRYPTION_KEY: KEY } });
    await t.test('who may read', (t) => guards(t, app));
    await t.test('events', (t) => events(t, app));
    await t.test('stats', (t) => stats(t, app));
    await t.test('an export of many events', (t) => exporting(t, app));
    await t.test('a flood', (t) => flood(t, app));
    await t.test('the last login, which comes with them', (t) => lastLogins(t, app));
    await t.test('alerts', (t) => alerts(t, stores));
    await t.test('why a session ended', (t) => reasons(t, stores));
    await t.test('encryption from one start to the next', (t) => restarts(t, stores));
  });
}

async function guards(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const somebody = await person(app);
  const civilian = await person(app, { role: 'admin' });
  const [reader, counter] = [await staffWith(app, ['events.read']), await staffWith(app, ['stats.read'])];
  for (const [url, allowed, other] of [
    ['/api/admin/events', reader, counter],
    ['/api/admin/stats', counter, reader],
  ] as const) {
    expectProblem(t, await send({ url }), 401, 'token_missing');
    for (const { access } of [somebody, civilian, other]) {
      expectProblem(t, await send(get(url, access)), 403, 'forbidden');
    }
    t.equal((await send(get(url, allowed.access))).statusCode, 200);
  }
}

async function events(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const reader = await staffWith(app, ['events.read']);
  const somebody = await signUp(app);
  const other = await signUp(app);
  await send(login(somebody, '2001:db8::1'));
  await send(login(somebody, '203.0.113.9', 'a wrong one'));
  await send(login(other, '2001:db8::2'));
  const from = '203.0.113.10';
  await send({ ...login({ email: 'nobody@example.com' }, from), headers: { 'user-agent': 'Curious <b>' } });
  const userId = somebody.user.id;

  await t.test('each with all that is known of it', async (t) => {
    const [event] = await list(app, reader.access, `ip=${from}`);
    t.strictSame(event, {
      ...{ id: event?.id, uid: event?.uid, type: 'login_failed', at: event?.at },
      ...{ user_id: null, actor_id: null, session_id: null, reason: null },
      ...{ ip: from, user_agent: 'Curious <b>' },
    });
    t.match(event, { id: Number, uid: /^[0-9a-f-]{36}$/, at: /^20.*Z$/ });
  });

  await t.test('filters', async (t) => {
    const types = async (query: string) => (await list(app, reader.access, query)).map(({ type }) => type);
    t.same(await types(`user=${userId}`), ['login_failed', 'login', 'registered']);
    t.same(await types(`user=${userId}&type=login`), ['login']);
    t.same(await types(`user=${userId}&type=login,registered`), ['login', 'registered']);
    t.same(await types(`user=${userId}&ip=203.0.113.9`), ['login_failed']);
    t.same(await types('ip=2001:db8:0:0:ffff::'), ['login', 'login'], 'an IPv6 address stands for its /64');
    const [signedIn] = await list(app, reader.access, `user=${userId}&type=login`);
    t.same(await types(`session=${signedIn?.session_id}`), ['login']);
    t.same(await types(`actor=${reader.user.id}`), []);
    t.same(await types(`user=${newAccountId()}`), []);
    const all = await list(app, reader.access, 'type=login_failed');
    t.ok(all.length >= 2 && all.every(({ type }) => type === 'login_failed'));
    const hour = 3_600_000;
    const [past, future] = [-hour, hour].map((ms) =>
      new Date(Date.now() + ms).toISOString().replace('Z', '%2B00:00'),
    );
    t.equal((await types(`user=${userId}&from=${past}&to=${future}`)).length, 3);
    t.same(await types(`user=${userId}&from=${future}`), []);
    t.same(await types(`user=${userId}&to=${past}`), []);
  });

  await t.test('page by page', async (t) => {
    const all = (await list(app, reader.access, 'type=login,registered')).map(({ id }) => id);
    const seen: number[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = `limit=3&type=login,registered${cursor && `&cursor=${cursor}`}`;
      const page = (await send(get(`/api/admin/events?${query}`, reader.access))).json();
      seen.push(...page.events.map(({ id }: EventBody) => id));
      cursor = page.next_cursor;
    }
    t.ok(all.length > 6);
    t.same(seen, all);
  });

  await t.test('what is no filter', async (t) => {
    const refused: [query: string, fields: string[]][] = [
      ['type=nonsense', ['type:invalid_value']],
      ['type=login,nonsense', ['type:invalid_value']],
      ['type=login&type=logout', ['type:invalid_type']],
      ['type=LOGIN', ['type:invalid_format']],
      ['ip=300.1.1.1', ['ip:invalid_format']],
      ['ip=10.0.0.0/8', ['ip:invalid_format']],
      ['from=2026-11-21', ['from:invalid_format']],
      ['from=2026-11-21T00:00:00', ['from:invalid_format']],
      ['from=2026-13-45T00:00:00Z', ['from:invalid_format']],
      ['to=1999-12-31T23:59:59Z', ['to:too_small']],
      ['to=9999-12-31T23:59:59Z', ['to:too_large']],
      ['cursor=x', ['cursor:invalid_format']],
      ['limit=101', ['limit:too_large']],
      ['secret=1', ['secret:unknown']],
      [
        'type=nonsense&ip=x&from=1999-01-01T00:00Z',
        ['type:invalid_value', 'ip:invalid_format', 'from:too_small'],
      ],
    ];
    for (const [query, fields] of refused) {
      const answer = await send(get(`/api/admin/events?${query}`, reader.access));
      expectProblem(t, answer, 400, 'invalid_request', { fields });
    }
  });

  await t.test('the database holds nothing of it in the clear', async (t) => {
    const rows = await app.app.database.db.selectFrom('events').selectAll().execute();
    t.notMatch(JSON.stringify(rows), /203\.0\.113|2001:db8|Curious|lightMyRequest|127\.0\.0\.1/);
    const answer = await send(get('/api/auth/activity', somebody.access));
    t.match(answer.json().events[0], {
      type: 'login_failed',
      ip: '203.0.113.9',
      user_agent: 'lightMyRequest',
    });
  });
}

async function stats(t: Test, app: TestApp): Promise<void> {
  const { send, app: fastify } = app;
  const { access } = await staffWith(app, ['stats.read']);
  const ask = async (query: string) => {
    const answer = await send(get(`/api/admin/stats?${query}`, access));
    if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${answer.body}`);
    return answer.json();
  };
  const happen = (type: EventType, ...times: string[]) =>
    fastify.database.events.insert(times.map((time): SecurityEvent => ({ type, at: Date.parse(time) })));
  await happen('login', '2026-03-28T22:59:59.999Z', '2026-03-28T23:00:00Z', '2026-03-29T21:59:59Z');
  await happen('login', '2026-03-29T22:00:00Z', '2026-03-29T23:59:59Z', '2026-03-30T00:00:00Z');
  await happen('token_reused', '2026-03-29T20:30:00Z');
  await happen('logout', '2026-03-29T20:29:59Z');
  await happen('otp_sent', '2026-03-29T20:00:00Z');
  await happen('otp_verified', '2026-03-29T20:01:00Z');

  await t.test('days, where midnight is', async (t) => {
    const range = 'from=2026-03-28T12:00:00Z&to=2026-03-30T12:00:00Z&interval=day';
    const utc = await ask(range);
    t.strictSame(utc.buckets, ['2026-03-28T00:00:00Z', '2026-03-29T00:00:00Z', '2026-03-30T00:00:00Z']);
    t.match(utc, { interval: 'day', time_zone: 'UTC', end: '2026-03-31T00:00:00Z' });
    t.same(utc.series.logins, [2, 3, 1]);
    t.strictSame(Object.keys(utc.series), [
      ...['registrations', 'logins', 'failures', 'refreshes'],
      ...['otp_sends', 'otp_verifications', 'otp_failures', 'revocations', 'alerts'],
    ]);
    t.same(utc.series.failures, [0, 0, 0]);

    const berlin = await ask(`${range}&time_zone=Europe/Berlin`);
    t.strictSame(
      [...berlin.buckets, berlin.end],
      ['2026-03-27T23:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z', '2026-03-30T22:00:00Z'],
      'a day of 23 hours',
    );
    t.same(berlin.series.logins, [1, 2, 3]);

    const tehran = await ask(`${range}&time_zone=Asia/Tehran`);
    t.equal(tehran.buckets[1], '2026-03-28T20:30:00Z');
    t.same(tehran.series.revocations, [0, 1, 1], 'to the quarter of an hour');
    t.same(
      [tehran.series.otp_sends, tehran.series.otp_verifications],
      [
        [0, 1, 0],
        [0, 1, 0],
      ],
    );
  });

  await t.test('hours', async (t) => {
    const { buckets, series } = await ask('from=2026-03-29T19:59:00Z&to=2026-03-29T23:00:00Z');
    t.equal(buckets.length, 4);
    t.same(series.logins, [0, 0, 1, 1]);
    t.same(series.revocations, [0, 2, 0, 0]);
  });

  await t.test('they outlive the events', async (t) => {
    await fastify.database.db
      .deleteFrom('events')
      .where('at', '<', Date.parse('2026-04-01T00:00:00Z'))
      .execute();
    const { series } = await ask('from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z&interval=day');
    t.equal(
      series.logins.reduce((sum: number, count: number) => sum + count, 0),
      6,
    );
  });

  await t.test('what happened just now', async (t) => {
    await fastify.events.flush();
    for (const query of ['', 'interval=day', 'interval=hour&time_zone=Asia/Kathmandu']) {
      const { series, buckets } = await ask(query);
      t.ok(series.registrations.at(-1) > 0 && series.logins.at(-1) > 0, query);
      t.equal(buckets.length, query === 'interval=day' ? 31 : 25);
    }
  });

  await t.test('what cannot be asked', async (t) => {
    const refused: [query: string, fields: string[]][] = [
      ['interval=minute', ['interval:invalid_value']],
      ['time_zone=Mars/Olympus', ['time_zone:invalid_value']],
      ['time_zone=%2B03:30', ['time_zone:invalid_format']],
      ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', ['from:too_large']],
      ['from=2026-01-01T00:00:00Z&to=2026-01-20T00:00:00Z', ['from:too_small']],
      ['from=2024-01-01T00:00:00Z&to=2026-01-01T00:00:00Z&interval=day', ['from:too_small']],
      ['from=yesterday', ['from:invalid_format']],
    ];
    for (const [query, fields] of refused) {
      const answer = await send(get(`/api/admin/stats?${query}`, access));
      expectProblem(t, answer, 400, 'invalid_request', { fields });
    }
  });
}

async function exporting(t: Test, app: TestApp): Promise<void> {
  const { app: fastify, send } = app;
  const somebody = await signUp(app);
  const userId = somebody.user.id;
  await fastify.database.events.insert(
    Array.from(
      { length: 1200 },
      (_, n) => ({ type: 'token_refreshed', at: n + 1, userId, ip: '192.0.2.1' }) as const,
    ),
  );
  const answer = await send(get('/api/auth/me/export', somebody.access));
  t.equal(answer.statusCode, 200);
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
  const { user, sessions, events: all, devices, staff_actions, ...rest } = answer.json();
  t.same([user.id, sessions.length, devices.length, rest], [userId, 1, 1, {}]);
  t.same(staff_actions, []);
  t.equal(all.length, 1201);
  t.equal(new Set(all.map(({ id }: EventBody) => id)).size, 1201);

  await t.test('a database that goes away in the middle cuts it short', async (t) => {
    const base = await fastify.listen({ port: 0, host: '127.0.0.1' });
    const { list: real } = fastify.database.events;
    let pages = 0;
    fastify.database.events.list = async (...asked) => {
      pages += 1;
      // The first of what happened to them and the first of what they did, before there is an answer.
      if (pages > 2) throw new AuthError('store_unavailable');
      return real(...asked);
    };
    t.teardown(() => {
      fastify.database.events.list = real;
    });
    const broken = await fetch(`${base}/api/auth/me/export`, { headers: bearer(somebody.access) });
    t.equal(broken.status, 200);
    await t.rejects(broken.text(), 'half a document does not look like a whole one');
    const none = await fetch(`${base}/api/auth/me/export`, { headers: bearer(somebody.access) });
    t.equal(none.status, 503, 'before the first page it is an answer');
    t.match(await none.json(), { code: 'store_unavailable' });
  });

  const head = await send({ ...get('/api/auth/me/export', somebody.access), method: 'HEAD' });
  t.same([head.statusCode, head.body], [200, '']);
}

async function flood(t: Test, app: TestApp): Promise<void> {
  const { app: fastify, send } = app;
  const somebody = await signUp(app);
  const reader = await staffWith(app, ['events.read']);
  await fastify.events.flush();
  for (let n = 0; n < 20_000; n++) {
    fastify.events.record({
      type: 'login_failed',
      client: { ip: `198.51.100.${n % 250}`, userAgent: 'flood' },
    });
  }
  const startedAt = performance.now();
  t.equal((await send(login(somebody))).statusCode, 200);
  const loginMs = performance.now() - startedAt;
  await fastify.events.store({ type: 'role_changed', userId: somebody.user.id });
  const storeMs = performance.now() - startedAt - loginMs;
  t.comment(`login ${Math.round(loginMs)} ms, an event that matters ${Math.round(storeMs)} ms`);
  t.ok(loginMs < 2000 && storeMs < 2000);
  const mine = await list(app, reader.access, `user=${somebody.user.id}`);
  t.same(mine.map(({ type }) => type).sort(), ['login', 'registered', 'role_changed']);
  const [summary] = await list(app, reader.access, 'type=events_dropped');
  t.match(summary?.detail, { of: 'login_failed' });
  t.ok((summary?.detail?.count as number) > 17_000);
  await t.test('all of it is counted', async (t) => {
    const [{ count } = { count: 0 }] = await fastify.database.events.count(
      [{ from: 0, to: Date.now() + 3_600_000 }],
      ['login_failed'],
    );
    t.ok(count >= 20_000);
  });
}

async function lastLogins(t: Test, app: TestApp): Promise<void> {
  const { send } = app;
  const { database, events } = app.app;
  const who = await signUp(app);
  const signIn = async () => (await send(login(who))).json();
  const stored = async () => {
    const { lastLogin } = (await database.accounts.findById(who.user.id))!;
    return lastLogin && toIso(lastLogin);
  };
  const before = await stored();
  app.advance(2000);

  let release: () => void = () => undefined;
  await t.test('shows before SQL has heard of it, also on an account that changes', async (t) => {
    const { insert } = database.events;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    t.capture(database.events, 'insert', async (batch: readonly SecurityEvent[]) => {
      await released;
      await insert(batch);
    });
    const { access, user } = await signIn();
    t.equal(await stored(), before);
    t.not(user.last_login, before);
    const payload = { first_name: 'Ada' };
    const changed = await send({ method: 'PATCH', ...get('/api/auth/me', access), payload });
    t.strictSame(changed.json(), { ...user, first_name: 'Ada' });
    t.strictSame((await send(meOf(access))).json(), changed.json());

    // Whose an unconfirmed account is turns on this.
    await database.db.updateTable('users').set({ last_login: null }).where('id', '=', who.user.id).execute();
    const { user: first } = await signIn();
    t.equal(await stored(), first.last_login, 'the first of all is stored at once');
    release();
    await events.flush();
  });

  await t.test('nobody signs in by a database that stores none', async (t) => {
    await t.test('away', async (t) => {
      t.capture(database.events, 'insert', async () => {
        throw new AuthError('store_unavailable');
      });
      t.equal((await send(login(who))).statusCode, 200, 'this one is yet to be stored');
      await t.rejects(events.flush(), { code: 'store_unavailable' });
      expectProblem(t, await send(login(who)), 503, 'store_unavailable');
    });
    t.equal((await send(login(who))).statusCode, 200, 'and at once when it is back');
    t.equal(events.isBehind(), false);
  });

  app.advance(2000);
  const { user } = await signIn();
  await events.flush();
  t.equal(await stored(), user.last_login);
}

async function alerts(t: Test, stores: Stores): Promise<void> {
  const receiver = await httpDouble(t);
  const hook = { ALERT_WEBHOOK_URL: `${receiver.url}/`, ALERT_WEBHOOK_SECRET: `whsec_${KEY}` };
  const app = await watchedApp(t, { stores, env: hook });
  const { app: fastify, send, advance } = app;
  const users = await Promise.all(Array.from({ length: 10 }, () => signUp(app)));
  for (const user of users) await send(login(user, '203.0.113.66', 'a wrong one'));
  const answeredAt = performance.now();
  receiver.answer(503);
  while (receiver.received.length < 1) await new Promise((next) => setTimeout(next, 10));
  t.comment(`told ${Math.round(performance.now() - answeredAt)} ms after the last failure`);
  t.match(JSON.parse(receiver.received[0]?.body as string).data, {
    ...{ alert: 'password_spraying', accounts: 10, ip: '203.0.113.66', user_id: null },
  });
  const types = async () =>
    (await fastify.database.events.list({ types: ['alert', 'alert_undelivered'] }, { limit: 9 })).map(
      ({ type }) => type,
    );
  t.same(await types(), ['alert']);
  const answer = await send(get('/api/auth/activity', (users[0] as SignedUp).access));
  t.same(
    answer.json().events.map(({ type }: EventBody) => type),
    ['login_failed', 'registered'],
  );

  advance(24 * 3_600_000 + 60_000);
  t.equal(await fastify.alertWebhooks?.deliver(), 0);
  await fastify.events.flush();
  t.same(await types(), ['alert_undelivered', 'alert'], 'that nobody took it is an event');
  t.match(app.logs(), /an alert was given up/);

  await t.test('what cannot be looked at is told', async (t) => {
    fastify.database.events.insert = async () => undefined;
    await fastify.database.close();
    fastify.events.record({ type: 'login_failed', client: { ip: '192.0.2.1' } });
    await fastify.events.flush();
    while (!app.logs().includes('events could not be looked at'))
      await new Promise((next) => setTimeout(next, 10));
    t.pass('and nothing else fails');
  });
}

async function reasons(t: Test, stores: Stores): Promise<void> {
  const [phone, mail] = [await phones(t), await mailboxes(t)];
  const app = await watchedApp(t, { stores, env: { ...phone.env, ...mail.env, ...UNLIMITED } });
  const { send, app: fastify } = app;
  const post = (path: string, { access }: Pick<SignedUp, 'access'>, payload = {}) =>
    send({ method: 'POST', url: `/api/auth/${path}`, headers: bearer(access), payload });
  const ended = async (name: string, reason: string, { refresh }: Pick<SignedUp, 'refresh'>) =>
    t.test(name, async (t) => {
      expectProblem(t, await send(refreshWith(refresh)), 401, 'session_ended', { reason });
    });
  const eventOf = async ({ user }: SignedUp, type: EventType) => {
    await fastify.events.flush();
    return (await fastify.database.events.list({ userId: user.id, types: [type] }, { limit: 1 }))[0];
  };

  const out = await signUp(app);
  await post('logout', out);
  await ended('logout', 'logout', out);

  const everywhere = await signUp(app);
  await post('logout-all', everywhere);
  await ended('logout everywhere', 'logout_all', everywhere);

  const [first, second] = [await signUp(app), { access: '', refresh: '' }];
  Object.assign(second, (await send(login(first))).json());
  const { sessions } = (await send(get('/api/auth/sessions', first.access))).json();
  const other = sessions.find(({ current }: { current: boolean }) => !current);
  await send({ method: 'DELETE', url: `/api/auth/sessions/${other.id}`, headers: bearer(first.access) });
  await ended('one of several', 'session_deleted', second);

  const robbed = await signUp(app);
  let last = robbed as Pick<SignedUp, 'access' | 'refresh'>;
  for (let n = 0; n < 2; n++) last = (await send(refreshWith(last.refresh))).json();
  expectProblem(t, await send(refreshWith(robbed.refresh)), 401, 'token_reused', { reason: 'reuse' });
  await ended('theft', 'reuse', last);
  t.match(await eventOf(robbed, 'token_reused'), { reason: 'reuse', sessionId: String });
  t.match(await eventOf(robbed, 'alert'), { detail: { alert: 'token_reuse' }, ip: '127.0.0.1' });

  const disabled = await signUp(app);
  await fastify.accounts.setActive(disabled.user.id, false);
  await ended('an account shut out', 'account_disabled', disabled);
  t.match(await eventOf(disabled, 'account_disabled'), { reason: 'account_disabled' });
  await fastify.accounts.setActive(disabled.user.id, true);
  t.equal((await eventOf(disabled, 'account_enabled'))?.reason, undefined);

  const deleted = await signUp(app);
  await send({
    ...{ method: 'DELETE', url: '/api/auth/me', headers: bearer(deleted.access) },
    payload: { password: PASSWORD },
  });
  await ended('an account that is gone', 'account_deleted', deleted);

  const changed = await signUp(app);
  const newPassword = { current_password: PASSWORD, new_password: 'wrong donkey charger' };
  t.equal((await post('password/change', changed, newPassword)).statusCode, 200);
  await ended('a new password', 'password_change', changed);
  t.match(await eventOf(changed, 'password_changed'), { reason: 'password_change' });

  const holder = await signUpByPhone(app, phone);
  const { e164 } = holder;
  const code = await codeFor(app, phone, e164, 'reset');
  const reset = { phone: e164, otp: code, new_password: 'wrong donkey charger' };
  t.equal((await send({ method: 'POST', url: '/api/auth/password/reset', payload: reset })).statusCode, 200);
  await ended('a forgotten password', 'password_reset', holder);

  const staff = await staffWith(app, ['users.read', 'users.sessions']);
  const managed = await signUp(app);
  await send({
    ...{ method: 'POST', url: `/api/admin/users/${managed.user.id}/logout-all`, payload: {} },
    headers: bearer(staff.access),
  });
  await ended('staff', 'admin', managed);
  t.match(await eventOf(managed, 'sessions_ended_by_staff'), { reason: 'admin', actorId: staff.user.id });

  const squatter = await signUp(app);
  const number = '+989350000001';
  await fastify.database.db
    .updateTable('users')
    .set({ phone: number, phone_verified: 0 })
    .where('id', '=', squatter.user.id)
    .execute();
  await send(sendOf(number));
  const { code: proof } = await phone.newest(number, 1);
  t.equal((await send(loginBy(number, proof))).statusCode, 200);
  await ended('somebody else proved the number', 'identity_verified', squatter);
  await fastify.events.flush();
  const verified = await fastify.database.events.list({ types: ['otp_verified'] }, { limit: 5 });
  t.ok(verified.length >= 2, 'codes that were right are counted');
}

async function restarts(t: Test, stores: Stores): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-keys-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const env = (keys: string | undefined): Record<string, string> => ({
    LATCHKEY_DATA_DIR: dataDir,
    ...(keys && { DATA_ENCRYPTION_KEY: keys }),
  });
  const first = await watchedApp(t, { stores, env: env(KEY) });
  const { config } = first;
  const shared: Record<string, string> = config.databaseUrl
    ? { DATABASE_URL: config.databaseUrl, REDIS_PREFIX: config.redisPrefix }
    : {};
  const somebody = await signUp(first);
  const newest = async (app: TestApp): Promise<EventBody[]> => {
    const answer = await app.send(get('/api/auth/activity', somebody.access));
    t.equal(answer.statusCode, 200);
    return answer.json().events;
  };
  t.match(await newest(first), [{ type: 'registered', ip: '127.0.0.1', user_agent: 'lightMyRequest' }]);
  await first.app.close();

  const rotated = await watchedApp(t, { stores, env: { ...env(`${NEXT_KEY}, ${KEY}`), ...shared } });
  await rotated.send(login(somebody));
  t.match(await newest(rotated), [
    { type: 'login', ip: '127.0.0.1' },
    { type: 'registered', ip: '127.0.0.1' },
  ]);
  t.notOk((await newest(rotated)).some((event) => 'unreadable' in event));
  await rotated.app.close();

  const lacking = await watchedApp(t, { stores, env: { ...env(NEXT_KEY), ...shared } });
  t.match(await newest(lacking), [
    { type: 'login', ip: '127.0.0.1' },
    { type: 'registered', ip: null, user_agent: null, unreadable: true },
  ]);
  const exported = await lacking.send(get('/api/auth/me/export', somebody.access));
  t.match(exported.json().events.at(-1), { ip: null, unreadable: true });
  await lacking.app.close();
}
