import { once } from 'node:events';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import axios from 'axios';
import { build } from 'esbuild';
import t from 'tap';
import {
  type AuthClientOptions,
  type AuthError,
  type AuthStorage,
  createAuthClient,
  type SessionEnd,
} from '../../src/client/auth-client.js';
import { attach } from '../../src/client/axios.js';
import { type Mailboxes, mailboxes } from '../http/mailbox.js';
import { PASSWORD, type Stores, type TestApp, testApp } from '../support/app.js';
import { freePort } from '../support/free-port.js';
import { withRedis } from '../support/redis-server.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const QUARTER_OF_AN_HOUR = 15 * 60_000;

type Owner = Parameters<typeof testApp>[0];

interface Service extends TestApp {
  url: string;
  mail: Mailboxes;
}

async function service(t: Owner, env: Record<string, string> = {}, stores?: Stores): Promise<Service> {
  // What `console` shows on stdout would get in between the test's own lines.
  const mail = await mailboxes(t as never);
  const latchkey = await testApp(t, { env: { ...mail.env, ...env }, ...(stores && { stores }) });
  const url = await latchkey.app.listen({ host: '127.0.0.1', port: await freePort() });
  return { ...latchkey, url, mail };
}

let people = 0;
const newPerson = () => ({ email: `client${++people}@example.com`, password: PASSWORD });

/** A network that counts what is asked, and in which answers can be lost, late or forged. */
function network() {
  const asked: string[] = [];
  const interferences: ((path: string, real: () => Promise<Response>) => Promise<Response> | undefined)[] =
    [];
  const send = (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    asked.push(pathname);
    const real = () => fetch(input, init);
    for (const interfere of interferences) {
      const answer = interfere(pathname, real);
      if (answer) return answer;
    }
    return real();
  };
  return {
    fetch: send,
    count: (end: string) => asked.filter((path) => path.endsWith(end)).length,
    /** Once, for the next request to a path with this end. */
    next(end: string, answer: (real: () => Promise<Response>) => Promise<Response>) {
      const once: (typeof interferences)[number] = (path, real) => {
        if (!path.endsWith(end)) return undefined;
        interferences.splice(interferences.indexOf(once), 1);
        return answer(real);
      };
      interferences.push(once);
    },
    /** Holds the answer to the next request to such a path back until `open` is called. */
    gate(end: string) {
      let open = () => {};
      let arrived = () => {};
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      const reached = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      this.next(end, async (real) => {
        const answer = await real();
        arrived();
        await opened;
        return answer;
      });
      return { open, reached };
    },
  };
}

/** What tabs share, without a browser. */
function sharedStorage(): AuthStorage {
  let kept: string | null = null;
  return {
    shared: true,
    get: () => kept,
    set: (text) => {
      kept = text;
    },
  };
}

function open(t: Owner, { url }: { url: string }, options: AuthClientOptions = {}) {
  const net = network();
  const client = createAuthClient({ baseUrl: url, fetch: net.fetch, ...options });
  t.teardown(() => client.close());
  const ends: SessionEnd[] = [];
  client.on('ended', (end) => ends.push(end));
  return { client, net, ends };
}

const failure = (work: Promise<unknown>): Promise<AuthError> =>
  work.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: AuthError) => error,
  );

t.test('the life of an account', async (t) => {
  const server = await service(t, {
    OTP_TEST_NUMBERS: '+989123456789:123456',
    OTP_RESEND: 'off',
  });
  const { client, ends } = open(t, server);
  const states: boolean[] = [];
  const off = client.on('change', ({ authenticated }) => states.push(authenticated));
  const person = newPerson();

  t.same(client.state, { authenticated: false, user: null, sessionId: null });
  t.match(await failure(client.me()), { code: 'token_missing', status: 401 });
  t.equal(await client.restore(), null);

  const { user } = await client.register({ ...person, first_name: 'Test' });
  t.equal(user?.email, person.email);
  t.equal(client.state.user?.first_name, 'Test');
  t.equal(client.state, client.state, 'the same object until something changes');
  t.equal((await client.updateProfile({ last_name: 'User' })).last_name, 'User');
  t.equal(client.state.user?.last_name, 'User');
  t.equal((await client.me()).email, person.email);
  t.equal((await client.exportAccount()).user.email, person.email);

  const other = open(t, server).client;
  await other.login(person);
  const sessions = await client.sessions();
  t.equal(sessions.length, 2);
  t.equal(sessions.find(({ current }) => current)?.id, client.state.sessionId);
  const { events, next_cursor } = await client.activity({ limit: 1 });
  t.equal(events.length, 1);
  t.equal((await client.activity({ cursor: next_cursor, limit: 1 })).events.length, 1);

  const before = client.state.sessionId;
  await client.changePassword({ current_password: PASSWORD, new_password: 'another testpass' });
  t.not(client.state.sessionId, before, 'goes on in a new session');
  t.equal((await client.me()).email, person.email);

  t.match(await client.sendOtp({ phone: '09123456789', purpose: 'verify' }), { expires_in: 300 });
  await client.changePhone({ password: 'another testpass', phone: '09123456789', otp: '123456' });
  t.equal((await client.me()).phone, '+989123456789');
  t.match(await client.forgotPassword({ email: person.email }), { message: /./ });
  const reset = await server.mail.token(person.email);
  t.match(await failure(client.resetPassword({ token: 'x', new_password: PASSWORD })), {
    code: 'ticket_invalid',
  });
  t.match(await client.resendEmail(), { message: /./ });
  t.match(await failure(client.verifyEmail('x')), { code: 'ticket_invalid' });
  await client.verifyEmail(await server.mail.token(person.email, 2));
  t.equal((await client.me()).email_verified, true);

  await client.logout();
  t.same(client.state, { authenticated: false, user: null, sessionId: null });
  await client.logout();
  await client.sendOtp({ phone: '09123456789', purpose: 'login' });
  await client.login({ phone: '09123456789', otp: '123456' });
  await client.logoutAll();
  t.match(await client.resetPassword({ token: reset, new_password: 'the third testpass' }), { message: /./ });
  await client.login({ email: person.email, password: 'the third testpass' });
  await client.deleteAccount({ password: 'the third testpass' });
  t.equal(client.state.authenticated, false);
  t.match(await failure(client.login({ email: person.email, password: 'the third testpass' })), {
    name: 'AuthError',
    code: 'invalid_credentials',
    status: 401,
    requestId: /./,
  });
  const refused = await failure(client.register({ ...newPerson(), password: 'short' }));
  t.match(refused, { code: 'weak_password', status: 400 });
  t.match(refused.errors, [{ field: 'password', code: 'too_short', message: /./ }]);

  t.same(ends, [], 'nothing ended that was not asked to');
  t.equal(states[0], true);
  const heard = states.length;
  off();
  await client.register(newPerson());
  t.equal(states.length, heard, 'a listener that left hears nothing');
});

for (const stores of ['embedded', 'servers'] as const) {
  t.test(`one refresh for all: ${stores}`, async (t) => {
    const server = await service(t, {}, stores);
    const { client, net } = open(t, server);
    await client.register(newPerson());
    server.advance(QUARTER_OF_AN_HOUR);

    const answers = await Promise.all(Array.from({ length: 20 }, () => client.fetch('/api/auth/me')));
    t.same([...new Set(answers.map(({ status }) => status))], [200]);
    t.equal(net.count('/refresh'), 1, 'however many were refused at once');
    t.ok(net.count('/me') <= 40, 'and each is sent again once');

    const token = await client.accessToken();
    const renewed = await Promise.all([client.renew(token as string), client.renew(token as string)]);
    t.equal(renewed[0], renewed[1]);
    t.not(renewed[0], token);
    t.equal(await client.renew(token as string), renewed[0], 'a token from before is no reason to ask again');
    t.equal(net.count('/refresh'), 2);
  });
}

t.test('ahead of expiry', async (t) => {
  const server = await service(t);
  const kept = sharedStorage();
  const { client, net } = open(t, server, { storage: kept });
  await client.register(newPerson());
  const age = (ms: number) => {
    const session = JSON.parse(kept.get() as string);
    kept.set(JSON.stringify({ ...session, receivedAt: Date.now() - ms }));
  };

  age(14 * 60_000);
  await client.me();
  t.equal(net.count('/refresh'), 0, 'a minute is left');
  age(14.75 * 60_000);
  await client.me();
  t.equal(net.count('/refresh'), 1, '15 seconds were left');
  t.equal(net.count('/me'), 2, 'and no request was refused');
  age(-3_600_000);
  await client.me();
  t.equal(net.count('/refresh'), 2, 'the clock was set back: nobody knows');
  t.equal(await client.accessToken(), JSON.parse(kept.get() as string).access);

  age(14.75 * 60_000);
  net.next('/refresh', async () => {
    throw new TypeError('offline');
  });
  t.equal((await client.me()).is_active, true, 'what is left will do while no other is to be had');
});

t.test('a wrong clock', async (t) => {
  const server = await service(t);
  const realNow = Date.now;
  const { client, net } = open(t, server);
  // This device believes it is a year later; all that is compared are durations.
  Date.now = () => realNow() + 365 * 86_400_000;
  t.teardown(() => {
    Date.now = realNow;
  });
  server.advance(-365 * 86_400_000);
  await client.register(newPerson());
  await client.me();
  t.equal(net.count('/refresh'), 0);
});

t.test('a lost answer', async (t) => {
  const server = await service(t);
  const { client, net, ends } = open(t, server);
  await client.register(newPerson());
  server.advance(QUARTER_OF_AN_HOUR);
  net.next('/refresh', async (real) => {
    await real();
    throw new TypeError('Failed to fetch');
  });
  t.match(await failure(client.me()), { code: 'network_error', status: 0 });
  t.equal(client.state.authenticated, true);
  server.advance(QUARTER_OF_AN_HOUR);
  t.ok(await client.me());
  t.same(ends, []);
});

t.test('what is no answer of Latchkey ends nothing', async (t) => {
  const server = await service(t);
  const { client, net, ends } = open(t, server);
  await client.register(newPerson());
  server.advance(QUARTER_OF_AN_HOUR);
  const portal = (status: number) => async () =>
    new Response('<h1>Welcome to our Wi-Fi</h1>', { status, headers: { 'content-type': 'text/html' } });
  for (const status of [200, 401, 403, 511]) {
    net.next('/refresh', portal(status));
    t.match(await failure(client.me()), { code: 'unexpected_answer', status });
  }
  net.next('/refresh', async () => Response.json({ error: 'proxy' }, { status: 401 }));
  t.match(await failure(client.fetch('/api/auth/me')), { code: 'unexpected_answer', status: 401 });
  for (const body of [{}, [], null, 'ok', { access: 'ok' }]) {
    for (const path of ['/refresh', '/login']) net.next(path, async () => Response.json(body));
    t.match(await failure(client.me()), { name: 'AuthError', code: 'unexpected_answer' });
    t.match(await failure(client.login(newPerson())), { name: 'AuthError', code: 'unexpected_answer' });
  }
  t.same(ends, []);
  t.ok(await client.me());
});

t.test('the store is away', async (t) => {
  const redis = await withRedis(t as never);
  const server = await service(t, { REDIS_URL: redis.url });
  const { client, net, ends } = open(t, server);
  await client.register(newPerson());
  server.advance(QUARTER_OF_AN_HOUR);
  redis.freeze();
  const away = await failure(client.fetch('/api/auth/me'));
  t.match(away, { code: 'store_unavailable', status: 503 });
  t.ok((away.retryAfter ?? 0) >= 1, 'says when to ask again');
  const asked = net.count('/refresh');
  t.equal((await failure(client.me())).code, 'store_unavailable');
  t.equal(net.count('/refresh'), asked, 'and nobody asks before that');
  t.match(await failure(client.logout()), { code: 'store_unavailable' });
  t.equal(client.state.authenticated, true, 'a logout is reported when it is stored');
  redis.thaw();
  const deadline = Date.now() + 10_000;
  const meOnce = () =>
    client.me().catch((error: AuthError) => (error.status === 503 ? null : Promise.reject(error)));
  let user = await meOnce();
  while (!user && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    user = await meOnce();
  }
  t.ok(user, 'the session is as it was');
  t.same(ends, []);

  redis.freeze();
  await client.logout({ local: true });
  t.equal(client.state.authenticated, false, 'forgotten here in any case');
  redis.thaw();
});

t.test('too many refreshes keep the session', async (t) => {
  const server = await service(t, { RATE_LIMIT_REFRESH: '1/minute' });
  const { client, net } = open(t, server);
  await client.register(newPerson());
  const first = (await client.accessToken()) as string;
  const second = await client.renew(first);
  t.match(await failure(client.renew(second)), { code: 'rate_limited', status: 429 });
  t.match(await failure(client.renew(second)), { code: 'rate_limited' });
  t.equal(net.count('/refresh'), 2, 'Retry-After is minded');
  t.ok(await client.me());
});

t.test('a refresh that lands after a logout', async (t) => {
  const server = await service(t);
  const kept = sharedStorage();
  const { client, net, ends } = open(t, server, { storage: kept });
  await client.register(newPerson());
  const gate = net.gate('/refresh');
  const renewing = failure(client.renew((await client.accessToken()) as string));
  await gate.reached;
  await client.logout();
  gate.open();
  t.match(await renewing, { code: 'session_ended', reason: 'logout' });
  t.equal(client.state.authenticated, false);
  t.equal(kept.get(), null, 'is thrown away');
  t.equal(await client.accessToken(), null);
  t.same(ends, []);

  // And after the next login it is not that one's either.
  await client.register(newPerson());
  const gate2 = net.gate('/refresh');
  const renewing2 = failure(client.renew((await client.accessToken()) as string));
  await gate2.reached;
  await client.logout();
  const { user } = await client.register(newPerson());
  gate2.open();
  t.match(await renewing2, { code: 'session_ended' });
  t.equal((await client.me()).id, user?.id);
});

t.test('why a session ended', async (t) => {
  const server = await service(t);
  const person = newPerson();
  const { client, ends, net } = open(t, server);
  const other = open(t, server).client;
  await client.register(person);
  await other.login(person);
  const id = client.state.sessionId as string;
  await other.endSession(id);
  const error = await failure(client.fetch('/api/auth/me'));
  t.match(error, { code: 'session_ended', status: 401, reason: 'session_deleted' });
  t.match(ends, [{ reason: 'session_deleted', sessionId: id, error: { code: 'session_ended' } }]);
  t.equal(client.state.authenticated, false);
  t.equal((await client.fetch('/api/auth/me')).status, 401, 'now a request is one without a token');
  t.equal(net.count('/refresh'), 1);

  await client.login(person);
  await other.changePassword({ current_password: PASSWORD, new_password: 'another testpass' });
  t.match(await failure(client.me()), { reason: 'password_change' });
  await client.login({ email: person.email, password: 'another testpass' });
  await other.logoutAll();
  t.match(await failure(client.sessions()), { reason: 'logout_all' });
  await client.login({ email: person.email, password: 'another testpass' });
  server.advance(8 * 86_400_000);
  t.match(await failure(client.me()), { code: 'token_expired' });
  t.match(ends.slice(1), [{ reason: 'password_change' }, { reason: 'logout_all' }, { reason: 'expired' }]);
  t.equal(ends.length, 4);
});

t.test('a 401 that is not about the token', async (t) => {
  const server = await service(t);
  const { client, net, ends } = open(t, server);
  await client.register(newPerson());
  const change = { current_password: 'not the password', new_password: 'another testpass' };
  t.match(await failure(client.changePassword(change)), { code: 'invalid_credentials' });
  t.equal(net.count('/refresh'), 0);

  // An API of somebody else's, which refuses everybody without a word.
  const api = createServer((_request, response) => {
    seen.push(_request.headers.authorization);
    response.writeHead(401).end();
  });
  const seen: (string | undefined)[] = [];
  api.listen(await freePort(), '127.0.0.1');
  await once(api, 'listening');
  t.teardown(() => api.close());
  const { port } = api.address() as { port: number };
  const theirs = `http://127.0.0.1:${port}/`;
  t.equal((await client.fetch(theirs)).status, 401);
  t.same(seen, [undefined], 'a token is shown to nobody but those who are named');

  const { client: naming, net: asked } = open(t, server, { origins: [theirs] });
  await naming.register(newPerson());
  t.equal((await naming.fetch(theirs)).status, 401);
  t.equal((await naming.fetch(theirs)).status, 401);
  t.equal(asked.count('/refresh'), 1, 'a new token did not help: no other is asked for');
  t.equal(seen.length, 1 + 3);
  t.equal(new Set(seen).size, 3, 'twice with the second one');
  t.equal((await naming.fetch(theirs, { headers: { authorization: 'Basic x' } })).status, 401);
  t.equal(seen.at(-1), 'Basic x', 'who brings a header of their own keeps it');
  t.ok(await naming.me());
  t.same(ends, []);
});

t.test('bodies that are sent again', async (t) => {
  const server = await service(t);
  const { client } = open(t, server);
  await client.register(newPerson());
  const patch = (name: string) => ({
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ first_name: name }),
  });
  server.advance(QUARTER_OF_AN_HOUR);
  const request = new Request(`${server.url}/api/auth/me`, patch('Request'));
  t.match(await (await client.fetch(request)).json(), { first_name: 'Request' });
  server.advance(QUARTER_OF_AN_HOUR);
  const text = await client.fetch(new URL('/api/auth/me', server.url), patch('Text'));
  t.match(await text.json(), { first_name: 'Text' });

  server.advance(QUARTER_OF_AN_HOUR);
  const stream = () => ({
    ...patch(''),
    body: new Blob([JSON.stringify({ first_name: 'Stream' })]).stream(),
    duplex: 'half',
  });
  t.match(await failure(client.fetch('/api/auth/me', stream() as RequestInit)), {
    code: 'body_not_replayable',
  });
  const again = await client.fetch('/api/auth/me', stream() as RequestInit);
  t.match(await again.json(), { first_name: 'Stream' }, 'the token is new by then');

  const aborted = client.fetch('/api/auth/me', { signal: AbortSignal.abort() });
  t.equal((await failure(aborted)).name, 'AbortError', 'the own signal is minded');
});

t.test('tabs', async (t) => {
  const server = await service(t);
  const kept = sharedStorage();
  const options = { storage: kept, name: 'tabs' };
  const [a, b] = [open(t, server, options), open(t, server, options)];
  const person = newPerson();
  /** Until the other tab has heard of it. */
  const heard = (tab: typeof a, is: () => boolean) =>
    new Promise<void>((resolve) => {
      if (is()) return resolve();
      const off = tab.client.on('change', () => {
        if (!is()) return;
        off();
        resolve();
      });
    });

  await a.client.register(person);
  await heard(b, () => b.client.state.authenticated);
  t.same(b.client.state, a.client.state, 'a login is everybody’s');

  server.advance(QUARTER_OF_AN_HOUR);
  const [gate, token] = [a.net.gate('/refresh'), (await a.client.accessToken()) as string];
  const first = a.client.renew(token);
  await gate.reached;
  const second = b.client.renew(token);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(b.net.count('/refresh'), 0, 'one at a time');
  gate.open();
  t.equal(await second, await first, 'and what it brings is for both');
  t.equal(b.net.count('/refresh'), 0);

  await a.client.updateProfile({ first_name: 'Other' });
  await heard(b, () => b.client.state.user?.first_name === 'Other');
  await a.client.logout();
  await heard(b, () => !b.client.state.authenticated);
  t.match(b.ends, [{ reason: 'logout' }]);
  t.same(a.ends, []);

  // Without a word from the other tab: by the storage.
  const [c, d] = [open(t, server, { ...options, name: 'c' }), open(t, server, { ...options, name: 'd' })];
  await d.client.ready;
  await c.client.login(person);
  t.equal((await d.client.me()).email, person.email);
  t.equal((await d.client.fetch('/api/auth/me')).status, 200);
  t.equal(d.client.state.authenticated, true);
  await c.client.logout();
  t.equal(await d.client.accessToken(), null);
  t.match(d.ends, [{ reason: 'logout' }]);

  // An answer that is late must not bring back the tokens of before.
  await c.client.login(person);
  await d.client.me();
  const late = d.net.gate('/me');
  const saved = d.client.updateProfile({ first_name: 'Late' });
  await late.reached;
  const newest = await c.client.renew((await c.client.accessToken()) as string);
  late.open();
  await saved;
  t.equal(await d.client.accessToken(), newest);
  t.equal(await c.client.accessToken(), newest);
  t.equal(d.client.state.user?.first_name, 'Late');
});

t.test('the loser of a race', async (t) => {
  const server = await service(t);
  const kept = sharedStorage();
  const person = newPerson();
  const [a, b] = [
    open(t, server, { storage: kept, name: 'a' }),
    open(t, server, { storage: kept, name: 'b' }),
  ];
  await a.client.register(person);
  const old = (await a.client.accessToken()) as string;
  const staff = open(t, server).client;
  await staff.login(person);
  await staff.endSession(a.client.state.sessionId as string);

  const gate = a.net.gate('/refresh');
  const losing = a.client.fetch('/api/auth/me');
  await gate.reached;
  await b.client.login(person);
  gate.open();
  t.equal((await losing).status, 200, 'goes on with what the winner has');
  t.same(a.ends, []);
  t.equal(a.client.state.sessionId, b.client.state.sessionId);
  t.not(await b.client.accessToken(), old);
  t.ok(await b.client.me());

  // Somebody else signs in meanwhile: a request of the one is not repeated as the other.
  server.advance(QUARTER_OF_AN_HOUR);
  const late = a.net.gate('/me');
  const asked = a.client.fetch('/api/auth/me');
  await late.reached;
  await b.client.register(newPerson());
  late.open();
  t.equal((await asked).status, 401);
  t.equal(a.net.count('/refresh'), 1);
});

t.test('storages', async (t) => {
  const server = await service(t);
  const person = newPerson();
  let kept: string | null = null;
  const slow: AuthStorage = {
    get: async () => kept,
    set: async (text) => {
      await new Promise((resolve) => setImmediate(resolve));
      kept = text;
    },
  };
  const first = open(t, server, { storage: slow });
  await first.client.register(person);
  await first.client.me();
  const second = open(t, server, { storage: slow });
  t.equal(second.client.state.authenticated, false);
  await second.client.ready;
  t.equal(second.client.state.user?.email, person.email);
  t.equal((await second.client.restore())?.email, person.email);
  await second.client.logout();
  await second.client.accessToken();
  t.equal(await open(t, server, { storage: slow }).client.restore(), null);

  const broken: AuthStorage = {
    get: () => 'not JSON',
    set: () => Promise.reject(new Error('full')),
  };
  const third = open(t, server, { storage: broken });
  await third.client.login(person);
  t.ok(await third.client.me(), 'a storage that is full is as good as memory');
  t.equal(
    open(t, server, { storage: 'localStorage' }).client.state.authenticated,
    false,
    'there is none here',
  );
});

t.test('a storage that is full, or breaks', async (t) => {
  const server = await service(t);
  let kept: string | null = null;
  let isFull = true;
  let isBroken = false;
  const storage: AuthStorage = {
    shared: true,
    get() {
      if (isBroken) throw new Error('broken');
      return kept;
    },
    set(text) {
      if (isFull) throw new Error('full');
      kept = text;
    },
  };
  const { client, ends } = open(t, server, { storage });
  await client.register(newPerson());
  t.ok(await client.me(), 'full from the beginning: the session lives as long as the page');

  isFull = false;
  await client.login({ ...newPerson(), email: client.state.user?.email as string });
  isFull = true;
  const renewed = await client.renew((await client.accessToken()) as string);
  t.ok(await client.me());
  t.equal(await client.accessToken(), renewed, 'what could not be stored is not overtaken by what was');
  isBroken = true;
  t.ok(await client.me());
  t.same(ends, []);
});

t.test('the cookie alone knows of a session', async (t) => {
  const server = await service(t);
  const { client, net } = open(t, server, { transport: 'cookie' });
  await client.logout();
  t.equal(net.count('/logout'), 1, 'signing out asks, though nobody has restored anything');

  const other = open(t, server);
  await other.client.register(newPerson());
  const access = (await other.client.accessToken()) as string;
  let answer = (_: Response) => {};
  net.next('/refresh', () => new Promise((resolve) => (answer = resolve)));
  const restored = client.restore();
  while (net.count('/refresh') === 0) await new Promise((resolve) => setImmediate(resolve));
  const person = newPerson();
  await client.register(person);
  answer(Response.json({ access, expires_in: 900 }));
  t.equal((await restored)?.email, person.email, 'whoever signs in meanwhile stays signed in');
});

t.test('a tab that was just opened', async (t) => {
  const server = await service(t);
  const options = { storage: sharedStorage(), transport: 'cookie', name: 'opened' } as const;
  const [a, b] = [open(t, server, options), open(t, server, options)];
  const person = newPerson();
  await a.client.register(person);
  const access = (await a.client.accessToken()) as string;
  const c = open(t, server, options);
  const users: unknown[] = [];
  b.client.on('change', ({ user }) => users.push(user?.email));
  a.client.on('change', ({ user }) => users.push(user?.email));
  c.net.next('/refresh', async () => Response.json({ access, expires_in: 900 }));
  t.equal((await c.client.restore())?.email, person.email);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.notOk(users.includes(undefined), 'does not make the others forget who it is');
});

t.test('who gives up need not wait for the token', async (t) => {
  const server = await service(t);
  const { client, net } = open(t, server);
  await client.register(newPerson());
  server.advance(QUARTER_OF_AN_HOUR);
  for (const asRequest of [false, true]) {
    const stop = new AbortController();
    const gate = net.gate('/refresh');
    const { signal } = stop;
    const asked = asRequest
      ? client.fetch(new Request(`${server.url}/api/auth/me`, { signal }))
      : client.fetch('/api/auth/me', { signal });
    await gate.reached;
    stop.abort();
    t.match(await failure(asked), { name: 'AbortError' });
    gate.open();
    t.ok(await client.me(), 'and the others get it');
    server.advance(QUARTER_OF_AN_HOUR);
  }
});

t.test('where Latchkey is', async (t) => {
  for (const [baseUrl, asked] of [
    ['https://id.example.com', 'https://id.example.com/api/auth/login'],
    ['https://example.com/id/', 'https://example.com/id/api/auth/login'],
    // As an URL that is put together by hand may look; two slashes would name another host.
    ['https://id.example.com//', 'https://id.example.com/api/auth/login'],
    ['https://id.example.com//id/', 'https://id.example.com/id/api/auth/login'],
  ] as const) {
    const urls: string[] = [];
    const client = createAuthClient({
      baseUrl,
      fetch: async (input) => {
        urls.push(String(input));
        return new Response('', { status: 500 });
      },
    });
    await failure(client.login(newPerson()));
    t.same(urls, [asked]);
  }
});

t.test('an address that has to be confirmed', async (t) => {
  const server = await service(t, { EMAIL_VERIFICATION: 'required' });
  const { client } = open(t, server, { locale: 'fa' });
  const answer = await client.register(newPerson());
  t.match(answer, { user: null, message: /[\u0600-\u06ff]/ });
  t.equal(client.state.authenticated, false);
});

t.test('Axios', async (t) => {
  const server = await service(t);
  const { client, net, ends } = open(t, server);
  const instance = axios.create({ baseURL: server.url });
  const detach = attach(instance, client);
  t.match(await failure(instance.get('/api/auth/me')), { response: { status: 401 } });
  const person = newPerson();
  await client.register(person);
  t.equal((await instance.get('/api/auth/me')).data.email, person.email);

  server.advance(QUARTER_OF_AN_HOUR);
  const all = await Promise.all([
    ...Array.from({ length: 10 }, () => instance.get('/api/auth/me')),
    instance.patch('/api/auth/me', { first_name: 'Again' }),
  ]);
  t.same([...new Set(all.map(({ status }) => status))], [200]);
  t.equal(all.at(-1)?.data.first_name, 'Again');
  t.equal(net.count('/refresh'), 1);

  const own = { headers: { Authorization: 'Bearer x' } };
  t.match(await failure(instance.get('/api/auth/me', own)), {
    response: { data: { code: 'token_invalid' } },
  });
  t.equal(net.count('/refresh'), 1);
  const change = { current_password: 'not the password', new_password: 'another testpass' };
  t.match(await failure(instance.post('/api/auth/password/change', change)), {
    response: { data: { code: 'invalid_credentials' } },
  });

  const other = open(t, server).client;
  await other.login(person);
  await other.logoutAll();
  t.match(await failure(instance.get('/api/auth/me')), { name: 'AuthError', reason: 'logout_all' });
  t.equal(ends.length, 1);
  detach();
  await client.login(person);
  t.match(await failure(instance.get('/api/auth/me')), { response: { data: { code: 'token_missing' } } });
});

t.test('how large it is', async (t) => {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/client/auth-client.ts'],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    metafile: true,
  });
  const size = gzipSync(outputFiles[0]!.contents).length;
  t.ok(size < 6 * 1024, `${size} bytes`);
  const parts = Object.keys(metafile.inputs);
  t.same(
    parts.filter((path) => !path.startsWith('src/client/')),
    [],
    'and stands on nothing',
  );
});
