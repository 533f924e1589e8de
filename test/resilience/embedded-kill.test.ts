import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { PASSWORD } from '../support/app.js';
import { type Api, type ApiResponse, api } from '../support/http.js';
import { type ServerProcess, startServer, withServer } from '../support/server-process.js';
import {
  assertAlive,
  assertDead,
  claimsOf,
  login,
  logout,
  logoutAll,
  me,
  type Person,
  PLAIN,
  pick,
  refresh,
  register,
  type Tokens,
} from './people.js';

const CLIENTS = 6;
const KILLS = 3;

/** What one client was told in so many words; what it was not told it does not count on. */
interface Ledger {
  email: string;
  /** Newest tokens of sessions that nobody tried to end. */
  live: Tokens[];
  /** Sessions whose end was answered, and why they ended. */
  dead: { tokens: Tokens; reason: string }[];
}

const isAnswered = <Body>({ status }: ApiResponse<Body>): boolean => status === 200;

/** One person's busy life on one server, until a request finds nobody there. */
async function live(server: Api, ledgers: Ledger[], odd: string[]): Promise<void> {
  const ask = async <Body>(asked: Promise<ApiResponse<Body>>): Promise<ApiResponse<Body>> => {
    const answer = await asked;
    if (answer.status !== 200) odd.push(`${answer.status} ${answer.text}`);
    return answer;
  };
  try {
    for (;;) {
      const person: Person = await register(server);
      const ledger: Ledger = { email: person.email, live: [person], dead: [] };
      ledgers.push(ledger);
      const signIn = async () => ledger.live.push(await login(server, ledger));

      for (let turn = 0; turn < 12; turn++) await rotateNewest(ask, server, ledger);
      await signIn();
      for (let turn = 0; turn < 4; turn++) await rotateNewest(ask, server, ledger);
      await end(ledger, 1, 'logout', (tokens) => ask(logout(server, tokens.refresh)));
      await rotateNewest(ask, server, ledger);
      await signIn();
      await end(ledger, 0, 'logout_all', (tokens) => ask(logoutAll(server, tokens.access)));
      await signIn();
      await rotateNewest(ask, server, ledger);
    }
  } catch (error) {
    // The kill: fetch fails, or the connection breaks in the middle of an answer.
    if (!(error instanceof TypeError)) throw error;
  }
}

type Asker = <Body>(asked: Promise<ApiResponse<Body>>) => Promise<ApiResponse<Body>>;

async function rotateNewest(ask: Asker, server: Api, ledger: Ledger): Promise<void> {
  const newest = ledger.live.length - 1;
  const answer = await ask(refresh(server, ledger.live[newest]!.refresh));
  if (isAnswered(answer)) ledger.live[newest] = answer.body;
}

/** From the moment it is asked for, an end may have happened: only an answer makes it certain. */
async function end(
  ledger: Ledger,
  from: number,
  reason: string,
  ask: (tokens: Tokens) => Promise<ApiResponse>,
): Promise<void> {
  const ending = ledger.live.splice(from);
  if (isAnswered(await ask(ending[0]!))) ledger.dead.push(...ending.map((tokens) => ({ tokens, reason })));
}

/** Until some sessions have ended that had not before: how long that takes is the machine's affair. */
async function enoughToLose(ledgers: Ledger[]): Promise<void> {
  const ended = () => ledgers.reduce((sum, { dead }) => sum + dead.length, 0);
  const before = ended();
  const until = Date.now() + 15_000;
  while (ended() < before + 3 && Date.now() < until) await delay(20);
}

t.test('what was answered holds after a kill -9', async (t) => {
  const env = { ...PLAIN, LATCHKEY_DATA_DIR: t.testdir() };
  const ledgers: Ledger[] = [];
  const odd: string[] = [];
  let process: ServerProcess = await startServer({ env });
  t.teardown(() => process.stop());

  for (let kill = 0; kill < KILLS; kill++) {
    const clients = Array.from({ length: CLIENTS }, () => live(api(process.url), ledgers, odd));
    await enoughToLose(ledgers);
    await delay(150 * kill);
    await process.kill();
    await Promise.all(clients);
    process = await startServer({ env });
  }
  const server = api(process.url);
  t.same(odd, [], 'until it died every answer was the right one');
  const count = (list: 'live' | 'dead') => ledgers.reduce((sum, ledger) => sum + ledger[list].length, 0);
  t.comment(`${ledgers.length} accounts, ${count('live')} live sessions, ${count('dead')} dead ones`);
  t.ok(ledgers.length >= CLIENTS && count('dead') > 0 && count('live') > 0, 'there was something to lose');

  for (const { email, live, dead } of ledgers) {
    for (const tokens of live) await assertAlive(t, server, await assertAlive(t, server, tokens));
    for (const { tokens, reason } of dead)
      await assertDead(t, [server], { access: [tokens.access], refresh: [tokens.refresh] }, reason);
    if (live.length === 0) t.ok((await login(server, { email })).access, 'the account is there');
  }
  t.ok((await login(server, ledgers[0]!)).access, 'and so is the password');
});

t.test('two processes on one data directory, under load', async (t) => {
  const env = { ...PLAIN, LATCHKEY_DATA_DIR: t.testdir() };
  const servers = (await Promise.all([withServer(t, { env }), withServer(t, { env })])).map(({ url }) =>
    api(url),
  );
  const until = Date.now() + 3000;
  const seen = new Map<number, number>();
  let slowest = 0;
  async function note<Body>(ask: () => Promise<ApiResponse<Body>>): Promise<ApiResponse<Body>> {
    const start = performance.now();
    const answer = await ask();
    slowest = Math.max(slowest, performance.now() - start);
    seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
    return answer;
  }
  async function work(n: number): Promise<void> {
    for (let turn = n; Date.now() < until; turn++) {
      const [one, other] = [pick(servers, turn), pick(servers, turn + 1)];
      const person = await register(one);
      let tokens: Tokens = person;
      for (let round = 0; round < 5; round++) {
        const answers = await Promise.all([
          note(() => refresh(one, tokens.refresh)),
          note(() => refresh(other, tokens.refresh)),
          note(() => me(one, tokens.access)),
          note(() => me(other, tokens.access)),
        ]);
        t.equal(
          claimsOf(answers[0].body.refresh).jti,
          claimsOf(answers[1].body.refresh).jti,
          'one successor',
        );
        tokens = answers[0].body;
      }
      await note(() => other.patch('/api/auth/me', { first_name: 'Busy' }, { token: tokens.access }));
      t.equal(
        (await note(() => me(one, tokens.access))).body.first_name,
        'Busy',
        'a change shows everywhere',
      );
      await note(() => logout(other, tokens.refresh));
      await assertDead(t, [one], { access: [tokens.access] }, 'logout');
    }
  }
  await Promise.all(Array.from({ length: 8 }, (_, n) => work(n)));
  t.comment(`${[...seen.values()].reduce((a, b) => a + b, 0)} requests, slowest ${Math.round(slowest)} ms`);
  t.same([...seen.keys()], [200], 'nothing was refused for want of a lock');
});

t.test('two processes on one data directory count together', async (t) => {
  const env = {
    ...PLAIN,
    LATCHKEY_DATA_DIR: t.testdir(),
    RATE_LIMIT_LOGIN: '5/hour',
    RATE_LIMIT_REFRESH: '10/hour',
    RATE_LIMIT_USER: '20/hour',
    RATE_LIMIT_ANON: '15/hour',
  };
  const servers = (await Promise.all([withServer(t, { env }), withServer(t, { env })])).map(({ url }) =>
    api(url),
  );
  const person = await register(pick(servers, 0));

  async function count(times: number, ask: (server: Api) => Promise<ApiResponse<unknown>>) {
    const answers = await Promise.all(Array.from({ length: times }, (_, n) => ask(pick(servers, n))));
    const tally: Record<number, number> = {};
    for (const { status } of answers) tally[status] = (tally[status] ?? 0) + 1;
    return tally;
  }
  const wrong = { email: person.email, password: `not ${PASSWORD}` };
  t.same(await count(16, (server) => server.post('/api/auth/login', wrong)), { 401: 5, 429: 11 }, 'logins');
  t.same(await count(30, (server) => refresh(server, person.refresh)), { 200: 10, 429: 20 }, 'refreshes');
  t.same(await count(40, (server) => me(server, person.access)), { 200: 20, 429: 20 }, 'requests of a user');
  // Registering was the first.
  t.same(await count(30, (server) => server.get('/nowhere')), { 404: 14, 429: 16 }, 'anonymous requests');
});
