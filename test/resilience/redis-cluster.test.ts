import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { createKeys } from '../../src/stores/keys.js';
import { bearer, PASSWORD, type SignedUp, signUp, testApp } from '../support/app.js';
import { type Api, type ApiResponse, api } from '../support/http.js';
import { freshDatabase } from '../support/postgres-server.js';
import {
  countClusterTrips,
  NODE_TIMEOUT_MS,
  type RedisCluster,
  withRedisCluster,
} from '../support/redis-cluster.js';
import { withServer } from '../support/server-process.js';
import {
  assertAlive,
  assertAway,
  assertDead,
  claimsOf,
  eventually,
  fleet,
  isReady,
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
import { assertOneSuccessor, raceEnding } from './refresh-races.js';

const keys = createKeys('latchkey:');

const storesOf = async (t: Test, { url }: { url: string }): Promise<Record<string, string>> => ({
  ...PLAIN,
  REDIS_URL: url,
  REDIS_CLUSTER: '1',
  DATABASE_URL: await freshDatabase(t),
});

/** Registers people until each primary has one; the nth is on the nth. */
async function onePerPrimary<P extends { user: { id: string } }>(
  cluster: RedisCluster,
  make: () => Promise<P>,
): Promise<P[]> {
  const found = new Map<number, P>();
  while (found.size < cluster.primaries.length) {
    const person = await make();
    const { port } = await cluster.ownerOf(keys.user(person.user.id));
    if (!found.has(port)) found.set(port, person);
  }
  return cluster.primaries.map(({ port }) => found.get(port) as P);
}

/** How often each node has refused a command with this code (Redis 6.2: INFO errorstats). */
const refusals = async (admins: readonly Redis[], code: string): Promise<number[]> =>
  Promise.all(
    admins.map(async (admin) => {
      const found = new RegExp(`errorstat_${code}:count=(\\d+)`).exec(await admin.info('errorstats'));
      return Number(found?.[1] ?? 0);
    }),
  );

t.test('two processes on a cluster of three primaries', async (t) => {
  const cluster = await withRedisCluster(t);
  const { admins, nodes } = cluster;
  const servers = await fleet(t, 2, await storesOf(t, cluster));
  let turn = 0;
  const people = await onePerPrimary(cluster, () => register(pick(servers, turn++)));

  await t.test('fifty refreshes of one token at once have one successor', async (t) => {
    for (const person of people) await assertOneSuccessor(t, servers, person);
  });

  const endings: Record<string, (server: Api, victim: Tokens) => Promise<ApiResponse>> = {
    logout: (server, victim) => logout(server, victim.refresh),
    logout_all: (server, victim) => logoutAll(server, victim.access),
  };
  for (const [reason, end] of Object.entries(endings)) {
    await t.test(`what a racing refresh is handed dies with the session: ${reason}`, async (t) => {
      for (let turn = 0; turn < 9; turn++) {
        const server = pick(servers, turn);
        const victim = await login(server, pick(people, turn));
        const ended = async () => (await end(server, victim)).status;
        await raceEnding(t, servers, victim, ended, { reason, turn });
      }
    });
  }

  await t.test('the list of sessions and an account’s deletion', async (t) => {
    for (const [n, person] of people.entries()) {
      const [server, other] = [pick(servers, n), pick(servers, n + 1)];
      const [first, second] = [await login(server, person), await login(other, person)];
      const { body } = await server.get<{ sessions: object[] }>('/api/auth/sessions', {
        token: first.access,
      });
      t.equal(body.sessions.length, 2);
      const answer = await server.delete('/api/auth/me', {
        token: first.access,
        body: { password: PASSWORD },
      });
      t.equal(answer.status, 204, answer.text);
      const tokens = { access: [first.access, second.access], refresh: [first.refresh, second.refresh] };
      await assertDead(t, servers, tokens, 'account_deleted');
      const owner = admins[nodes.indexOf(await cluster.ownerOf(keys.user(person.user.id)))]!;
      const left = [first, second].map(({ access }) =>
        owner.exists(keys.session(person.user.id, claimsOf(access).sid)),
      );
      t.same(await Promise.all(left), [0, 0], 'no session is left behind');
    }
  });

  await t.test('while a slot moves to another node', async (t) => {
    const [mover, stayer] = await onePerPrimary(cluster, () => register(pick(servers, turn++)));
    const [from, to] = admins as [Redis, Redis];
    const [fromId, toId] = (await Promise.all([from.cluster('MYID'), to.cluster('MYID')])) as string[];
    const slot = await from.cluster('KEYSLOT', keys.user(mover!.user.id));
    const ask = async () => {
      const asked = servers.flatMap((server) => [
        me(server, mover!.access),
        server.post('/api/auth/verify', { token: mover!.refresh }),
      ]);
      return (await Promise.all(asked)).map(({ status, body }) => `${status} ${body.code ?? ''}`.trim());
    };
    t.same(new Set(await ask()), new Set(['200']));

    await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId!);
    await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId!);
    const during = new Set(await ask());
    const moving = (await from.call('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[];
    for (const key of moving) {
      await from.call('MIGRATE', '127.0.0.1', nodes[1]!.port, key, 0, 1000, 'AUTH', 'sesame');
      for (const answer of await ask()) during.add(answer);
    }
    t.same(
      [...during].filter((answer) => answer !== '200' && answer !== '503 store_unavailable'),
      [],
      `nobody is refused: ${[...during]}`,
    );
    for (const admin of [to, from, admins[2]!]) await admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId!);

    const at = servers.flatMap((server) => [me(server, mover!.access), me(server, stayer!.access)]);
    t.same(
      new Set((await Promise.all(at)).map(({ status }) => status)),
      new Set([200]),
      'moved: at once 200',
    );
    await assertOneSuccessor(t, servers, mover!);
  });

  t.same(await refusals(admins, 'CROSSSLOT'), [0, 0, 0], 'no command touched two slots');
});

t.test('what requests cost on a cluster', async (t) => {
  const cluster = await withRedisCluster(t);
  const { url, counters } = await countClusterTrips(t, cluster);
  const on = '100000/minute';
  const app = await testApp(t, {
    stores: 'servers',
    env: {
      REDIS_URL: url,
      REDIS_CLUSTER: '1',
      LOG_LEVEL: 'silent',
      ...{ RATE_LIMIT_LOGIN: on, RATE_LIMIT_LOGIN_IP: on },
      ...{ RATE_LIMIT_REFRESH: on, RATE_LIMIT_ANON: on, RATE_LIMIT_USER: on },
    },
  });
  const { send } = app;
  const post = (path: string, payload: object, headers = {}) =>
    send({ method: 'POST', url: `/api/auth/${path}`, payload, headers });
  const signIn = async ({ email }: SignedUp): Promise<SignedUp> => ({
    email,
    ...(await post('login', { email, password: PASSWORD })).json(),
  });

  /** Trips to each node, and how many commands they were. */
  async function measure(t: Test, ask: () => ReturnType<typeof post>) {
    for (const counter of counters) counter.reset();
    const { statusCode } = await ask();
    t.equal(statusCode, 200);
    const trips = counters.map((counter) => counter.trips());
    const commands = counters.flatMap((counter) => counter.commands());
    return { trips: trips.reduce((sum, n) => sum + n), most: Math.max(...trips), commands };
  }

  const people = await onePerPrimary(cluster, () => signUp(app));
  const table: Record<string, (who: SignedUp) => ReturnType<typeof post>> = {
    'GET me': (who) => send({ url: '/api/auth/me', headers: bearer(who.access) }),
    'verify an access token': (who) => post('verify', { token: who.access }),
    'verify a refresh token': (who) => post('verify', { token: who.refresh }),
    refresh: (who) => post('refresh', { refresh: who.refresh }),
    logout: (who) => post('logout', { refresh: who.refresh }),
    'logout everywhere': (who) => post('logout-all', {}, bearer(who.access)),
  };
  for (const [name, ask] of Object.entries(table)) {
    await t.test(`${name}: one trip, one command`, async (t) => {
      for (const person of people) {
        // Once to warm up: the node learns its scripts.
        await ask(await signIn(person));
        const who = await signIn(person);
        t.same(await measure(t, () => ask(who)), { trips: 1, most: 1, commands: ['evalsha'] });
      }
    });
  }

  await t.test('login: two trips, the first to the nodes of address and account at once', async (t) => {
    for (const { email } of people) {
      const cost = await measure(t, () => post('login', { email, password: PASSWORD }));
      t.match(cost, { most: 2, commands: ['evalsha', 'evalsha', 'evalsha'] });
    }
  });

  await t.test('sessions of two people end in one trip to each of their nodes', async (t) => {
    const [one, other] = [await signIn(people[0]!), await signIn(people[1]!)];
    const cost = await measure(t, () => post('logout', { refresh: one.refresh }, bearer(other.access)));
    t.same(cost, { trips: 2, most: 1, commands: ['evalsha', 'evalsha'] });
  });

  await t.test('requests side by side share the trips to a node', async (t) => {
    const who = await Promise.all(people.map(signIn));
    for (const counter of counters) counter.reset();
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        send({ url: '/api/auth/me', headers: bearer(pick(who, n).access) }),
      ),
    );
    t.ok(answers.every(({ statusCode }) => statusCode === 200));
    const trips = counters.map((counter) => counter.trips());
    t.ok(Math.max(...trips) <= 60 / 6, `60 requests took ${trips} trips`);
  });
  t.same(await refusals(cluster.admins, 'CROSSSLOT'), [0, 0, 0]);
});

/** What clients saw: answers by status and code, and until when the last one was no 200. */
interface Seen {
  tally: Map<string, number>;
  lastRefusal: number;
}

interface Load {
  seen: Seen;
  /** Resolves after so many more answers. */
  answered(count: number): Promise<void>;
  /** What everybody holds in the end. */
  stop(): Promise<Tokens[]>;
}

/** Calls /me and refreshes for everybody until told to stop. */
function startLoad(server: Api, people: readonly Person[]): Load {
  const seen: Seen = { tally: new Map(), lastRefusal: 0 };
  let on = true;
  function note({ status, body, headers }: ApiResponse<object>): boolean {
    const { code = '' } = body as { code?: string };
    const answer = `${status} ${code} ${headers.get('retry-after') ?? ''}`.trim();
    seen.tally.set(answer, (seen.tally.get(answer) ?? 0) + 1);
    if (status !== 200) seen.lastRefusal = Date.now();
    return status === 200;
  }
  async function callMe({ access }: Tokens): Promise<void> {
    while (on) {
      note(await me(server, access));
      await delay(10);
    }
  }
  async function keepRefreshing(held: Tokens): Promise<Tokens> {
    let last = held;
    while (on) {
      const answer = await refresh(server, last.refresh);
      if (note(answer)) last = answer.body;
      // Two rotations of one second are more than a failover may lose.
      await delay(answer.status === 200 ? 1100 : 50);
    }
    return last;
  }
  const loops = people.map((person) => Promise.all([keepRefreshing(person), callMe(person)]));
  const total = (): number => [...seen.tally.values()].reduce((sum, n) => sum + n, 0);
  return {
    seen,
    async answered(count) {
      const enough = total() + count;
      while (total() < enough) await delay(10);
    },
    async stop() {
      on = false;
      return (await Promise.all(loops)).map(([held]) => held);
    },
  };
}

/** Detection, an election and the clients' notice of it: 2 to 3 s are usual at this node timeout. */
const RECOVERY_MS = 8 * NODE_TIMEOUT_MS;

t.test('a failover under load', async (t) => {
  const cluster = await withRedisCluster(t, { replicas: true });
  const { admins, primaries } = cluster;
  const env = await storesOf(t, cluster);
  const process = await withServer(t, { env });
  const server = api(process.url);
  let people = await onePerPrimary(cluster, () => register(server));

  /** What was written before this is on the replicas. */
  const replicated = async (): Promise<void> => {
    const roles = await Promise.all(admins.map((admin) => admin.role()));
    await Promise.all(
      admins.filter((_, n) => roles[n]?.[0] === 'master').map((admin) => admin.wait(1, 2000)),
    );
  };

  const failures: Record<string, { strike(): unknown; undo(): unknown }> = {
    killed: { strike: () => primaries[0]!.kill(), undo: () => primaries[0]!.restart() },
    frozen: { strike: () => primaries[1]!.freeze(), undo: () => primaries[1]!.thaw() },
  };
  for (const [name, { strike, undo }] of Object.entries(failures)) {
    await t.test(`a primary is ${name}`, async (t) => {
      const victim = people[name === 'killed' ? 0 : 1]!;
      await replicated();
      const { seen, answered, stop } = startLoad(server, people);
      await answered(50);
      const start = Date.now();
      await strike();
      await eventually(t, 'its users are told so', 5, async () => seen.lastRefusal > 0);
      const isBack = async () => (await me(server, victim.access)).status === 200;
      await eventually(t, 'its replica took over', RECOVERY_MS / 1000, isBack);
      const calm = async () => Date.now() - seen.lastRefusal > 1500;
      await eventually(t, 'nobody is refused any more', 10, calm);
      const took = seen.lastRefusal - start;
      t.ok(took < RECOVERY_MS, `the last 503 came ${took} ms after the failure`);

      await undo();
      await cluster.settled();
      await answered(50);
      const held = await stop();
      const kinds = [...seen.tally.keys()].sort();
      t.same(kinds, ['200', '503 store_unavailable 1'], `only these were seen: ${[...seen.tally].join(' ')}`);
      people = await Promise.all(
        people.map(async (person, n) => ({ ...person, ...(await assertAlive(t, server, held[n]!)) })),
      );
    });
  }

  await t.test('every node is killed, and a process starts meanwhile', async (t) => {
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    const late = api((await withServer(t, { env })).url);
    for (const each of [server, late]) {
      await assertAway(t, 'me', () => me(each, people[0]!.access));
      await assertAway(t, 'readyz', () => each.get('/readyz'));
      t.equal((await each.get('/healthz')).status, 200, 'alive');
    }
    await Promise.all(cluster.nodes.map((node) => node.restart()));
    await cluster.settled();
    for (const each of [server, late]) {
      await eventually(t, 'ready again', 10, () => isReady(each));
      const person = await login(each, people[0]!);
      await assertAlive(t, each, person);
    }
  });
  const astray = /uncaught|unhandled|CROSSSLOT/i.exec(process.output());
  t.equal(astray?.[0], undefined, 'nothing went astray');
});
