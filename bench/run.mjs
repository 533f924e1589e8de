// npm run bench: requests per second, p99 and CPU per request of Fastify's hello, of the ceiling and of Latchkey,
// in one run and in turn, so that the ratios mean something on a noisy machine; then what Latchkey keeps in Redis.
import { closedLoop, request } from './load.mjs';
import { measureMemory } from './memory.mjs';
import {
  cpuMicros,
  describePinning,
  rawArgon2,
  residentMib,
  startCeiling,
  startLatchkey,
  startPostgres,
  startRedis,
  stop,
  stopAll,
} from './servers.mjs';

// Many short turns: whatever else the machine does meets both sides of a ratio alike.
const MS = Number(process.env.BENCH_MS ?? 500);
const LANES = Number(process.env.BENCH_LANES ?? 64);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 21);
/** Two processes of one build differ by up to a tenth: each round has its turn with one pair of several. */
const PAIRS = 3;
/** Rounds of a pair before those that count: until the compiler has seen enough. */
const WARM_UPS = 2;
/** A login takes as long as thousands of other requests, and from one second to the next by a tenth more or less. */
const LOGIN_MS = 8 * MS;
/**
 * Logins of a pair before those that count. There are fifty a second where the other requests are twenty thousand, so
 * the compiler takes a minute for them: beside its hash a login takes 2.6 ms of the main thread among the first 700 and
 * 1.7 ms from the 3,000th on.
 */
const LOGIN_WARM_UPS = Number(process.env.BENCH_LOGINS ?? 3000);
const LOGIN_LANES = 8;

const redis = await startRedis();
const postgres = await startPostgres();
process.once('SIGINT', () => stopAll(redis.dir).then(() => process.exit(130)));
const results = new Map();
const password = 'a long bench password';

try {
  console.log(
    `node ${process.version}, ${describePinning()}, ${LANES} lanes, ${ROUNDS} rounds of ${MS} ms each, by ${PAIRS} pairs of processes\n`,
  );
  let told;
  for (let pair = 0; pair < PAIRS; pair++) told = await comparePair(pair);
  report();
  console.log(`\n${told}`);
  await measureMemory();
} finally {
  await stopAll(redis.dir);
  await postgres.stop();
}

async function comparePair(pair) {
  const credentials = { email: `bench${pair}@example.com`, password };
  const latchkey = await startLatchkey(redis, postgres.url);
  const session = await post(latchkey.port, '/api/auth/register', credentials);
  const refreshTokens = await openSessions(latchkey.port, credentials);
  const ceiling = await startCeiling(redis);
  const other = await pairOf(ceiling.port, '/login');
  const otherTokens = await Promise.all(
    Array.from({ length: LANES }, async () => (await pairOf(ceiling.port, '/login')).refresh),
  );

  const getting = (path, token) => fixed(request('GET', path, { token }));
  const posting = (path, body) => fixed(request('POST', path, { body }));
  const turns = [
    ['hello Fastify hello', ceiling, getting('/hello')],
    ['me ceiling', ceiling, getting('/me', other.access)],
    ['me Latchkey', latchkey, getting('/api/auth/me', session.access)],
    ['verify ceiling', ceiling, posting('/verify', { token: other.access })],
    ['verify Latchkey', latchkey, posting('/api/auth/verify', { token: session.access })],
    ['refresh ceiling', ceiling, refreshing('/refresh', otherTokens)],
    ['refresh Latchkey', latchkey, refreshing('/api/auth/refresh', refreshTokens)],
  ];
  for (let round = 0; round < WARM_UPS; round++)
    for (const [, server, next] of turns) await measure(server, next);
  for (let round = pair; round < ROUNDS; round += PAIRS)
    for (const [key, server, next] of turns) note(key, await measure(server, next));
  await warmUpLogins(latchkey, credentials);
  for (let round = pair; round < ROUNDS; round += PAIRS) await measureLogins(latchkey, credentials);
  const told = `Latchkey: start to first connection ${latchkey.startMs.toFixed(0)} ms, RSS after load ${residentMib(latchkey.child.pid).toFixed(0)} MiB`;
  await stop(latchkey.child);
  await stop(ceiling.child);
  return told;
}

function fixed(bytes) {
  return () => bytes;
}

/** Every lane refreshes its own session, with the newest token it holds. */
function refreshing(path, tokens) {
  return (lane, answer) => {
    if (answer) tokens[lane] = JSON.parse(answer.body()).refresh;
    return request('POST', path, { body: { refresh: tokens[lane] } });
  };
}

function loggingIn(credentials) {
  return fixed(request('POST', '/api/auth/login', { body: credentials }));
}

async function warmUpLogins(latchkey, credentials) {
  let done = LANES;
  while (done < LOGIN_WARM_UPS)
    done += (await measure(latchkey, loggingIn(credentials), { lanes: LOGIN_LANES, ms: LOGIN_MS })).requests;
}

/** Logins wait for argon2, so their yardstick is argon2 alone on the server's core. */
async function measureLogins(latchkey, credentials) {
  const perSecond = await rawArgon2(LOGIN_MS);
  note('login argon2', { perSecond, p99: 0, micros: 1e6 / perSecond });
  note(
    'login Latchkey',
    await measure(latchkey, loggingIn(credentials), { lanes: LOGIN_LANES, ms: LOGIN_MS }),
  );
}

async function measure({ port, child }, next, { lanes = LANES, ms = MS } = {}) {
  const before = cpuMicros(child.pid);
  const run = await closedLoop({ port, lanes, ms, next });
  return { ...run, micros: (cpuMicros(child.pid) - before) / run.requests };
}

function note(key, run) {
  results.set(key, [...(results.get(key) ?? []), run]);
}

function report() {
  const middle = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const median = (key, field) => middle(results.get(key).map((run) => run[field]));
  /** Of each turn beside the one before it, not of medians that the machine may have met at different hours. */
  const ratio = (over, under, field) =>
    middle(results.get(over).map((run, turn) => run[field] / results.get(under)[turn][field]));
  console.log('                          requests/s   p99 ms   CPU µs');
  for (const key of results.keys()) {
    const [rate, p99, micros] = ['perSecond', 'p99', 'micros'].map((field) => median(key, field));
    console.log(
      `${key.padEnd(24)} ${rate.toFixed(0).padStart(11)} ${p99.toFixed(1).padStart(8)} ${micros.toFixed(1).padStart(8)}`,
    );
  }
  console.log('\nratios to the ceiling   requests/s   of CPU     goal');
  for (const [what, yardstick, goal] of [
    ['me', 'ceiling', 0.75],
    ['verify', 'ceiling', 0.75],
    ['refresh', 'ceiling', 0.7],
    ['login', 'argon2', 0.95],
  ]) {
    const [ours, theirs] = [`${what} Latchkey`, `${what} ${yardstick}`];
    const rate = ratio(ours, theirs, 'perSecond');
    const cpu = ratio(theirs, ours, 'micros');
    console.log(
      `${what.padEnd(24)} ${rate.toFixed(2).padStart(10)} ${cpu.toFixed(2).padStart(8)} ${goal.toFixed(2).padStart(8)}`,
    );
  }
}

async function post(port, path, body) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

async function openSessions(port, credentials) {
  const refreshTokens = [];
  for (let lane = 0; lane < LANES; lane++)
    refreshTokens.push((await post(port, '/api/auth/login', credentials)).refresh);
  return refreshTokens;
}

function pairOf(port, path) {
  return post(port, path, {});
}
