import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import pg from 'pg';
import t, { type Test } from 'tap';
import { databaseFile } from '../../src/stores/sql/database.js';
import { VERSION } from '../../src/version.js';
import { PASSWORD, TEST_KEY } from '../support/app.js';
import { freePort } from '../support/free-port.js';
import { type Api, api } from '../support/http.js';
import { withPostgres } from '../support/postgres-server.js';
import { makeTempDir, recordProcess } from '../support/process-records.js';
import { sharedRedisUrl } from '../support/redis-namespace.js';
import { withRedis } from '../support/redis-server.js';
import { withServer } from '../support/server-process.js';
import {
  assertAlive,
  eventually,
  fleet,
  login,
  me,
  ownStores,
  PLAIN,
  pick,
  refresh,
  register,
} from './people.js';

const MIGRATIONS = [
  '0001-accounts',
  '0002-embedded-state',
  '0003-oauth-clients',
  '0004-security-events',
  '0005-roles',
  '0006-legacy-tokens',
  '0007-password-costs',
];

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

interface Running {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Resolves to the exit code and how long it took from now on (ms). */
  ended(): Promise<{ code: number | null; took: number }>;
}

/** The command line as a process of its own, in an environment that has only what is said here. */
function start(t: Test, args: string[], env: Record<string, string> = {}): Running {
  const cwd = makeTempDir('cwd');
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd,
    env: { PATH, HOME, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (child.pid) recordProcess(child.pid);
  const exit = once(child, 'close');
  t.teardown(() => void child.kill('SIGKILL'));
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  }
  return {
    child,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    async ended() {
      const from = performance.now();
      const [code] = await exit;
      return { code, took: Math.round(performance.now() - from) };
    },
  };
}

async function run(t: Test, args: string[], env?: Record<string, string>) {
  const running = start(t, args, env);
  const { code, took } = await running.ended();
  return { code, took, stdout: running.stdout(), stderr: running.stderr() };
}

t.test('processes that start at the same moment', async (t) => {
  await t.test('on one fresh data directory', async (t) => {
    const { JWT_SIGNING_KEY: _, ...env } = PLAIN;
    const dataDir = t.testdir();
    const servers = await fleet(t, 2, { ...env, LATCHKEY_DATA_DIR: dataDir });
    const person = await register(pick(servers, 0));
    for (const server of servers) t.equal((await me(server, person.access)).status, 200, 'one signing key');
    await assertAlive(t, pick(servers, 0), await login(pick(servers, 1), person));
    t.equal(statSync(join(dataDir, 'signing-key')).mode & 0o777, 0o600, 'for its owner only');
  });

  await t.test('on one fresh PostgreSQL database', async (t) => {
    const stores = await ownStores(t);
    const servers = await fleet(t, 2, { ...PLAIN, ...stores });
    await assertAlive(t, pick(servers, 1), await register(pick(servers, 0)));
    const client = new pg.Client({ connectionString: stores.DATABASE_URL as string });
    await client.connect();
    t.teardown(() => client.end());
    const { rows } = await client.query('select name from kysely_migration');
    t.same(rows.map(({ name }) => name).sort(), MIGRATIONS, 'each ran once');
  });
});

t.test('a port that is taken', async (t) => {
  const taken = createServer();
  const PORT = String(await freePort());
  await once(taken.listen(Number(PORT), '127.0.0.1'), 'listening');
  t.teardown(() => void taken.close());
  const everywhere = { embedded: {}, 'on servers': await ownStores(t) };
  for (const [name, stores] of Object.entries(everywhere)) {
    const { code, took, stderr } = await run(t, ['serve'], { ...PLAIN, ...stores, PORT });
    t.equal(code, 1, name);
    t.equal(stderr, 'The port is taken: set PORT to another one.\n');
    t.ok(took < 15_000, `it ended in ${took} ms`);
  }
});

/** Every value is wrong, and easy to find in a text that should not have it. */
const WRONG = {
  PORT: '8zebra0',
  PUBLIC_URL: 'zebra://here',
  DATABASE_URL: 'mysql://zebra:stripes@db/x',
  REDIS_URL: 'http://:zebra@cache',
  MIGRATE: 'zebra',
  JWT_ALGORITHM: 'zebra',
  JWT_LEEWAY: 'zebra',
  JWT_USER_ID: 'zebra',
  ACCESS_TOKEN_LIFETIME_MINUTES: 'zebra',
  REFRESH_TOKEN_LIFETIME_DAYS: '-3zebra',
  SESSION_MAX_LIFETIME_DAYS: 'zebra',
  CORS_ORIGINS: 'https://zebra.example/path',
  TRUST_PROXY: 'zebra',
  RATE_LIMIT_LOGIN: '5/zebra',
  RATE_LIMIT_LOGIN_IP: 'zebra/minute',
  RATE_LIMIT_REFRESH: '0/minute zebra',
  RATE_LIMIT_ANON: 'zebra',
  RATE_LIMIT_USER: 'zebra',
  DEFAULT_LOCALE: 'zebra',
  REGISTRATION: 'zebra',
  PASSWORD_BLOCKLIST: 'zebra',
  LOG_LEVEL: 'zebra',
  REDIS_PREFIX: '{zebra}',
};

/** Each is refused for all that is wrong with it, so a few starts show many reasons. */
const REFUSED: Record<string, { env: Record<string, string>; names: string[] }> = {
  'unknown values': { env: WRONG, names: Object.keys(WRONG) },
  contradictions: {
    env: {
      CORS_ORIGINS: '*',
      DATABASE_URL: 'postgres://zebra:stripes@db/zebra',
      JWT_SIGNING_KEY: `zebra1${TEST_KEY}`,
      JWT_SECRET_KEY: `zebra2${TEST_KEY}`,
      ACCESS_TOKEN_LIFETIME_MINUTES: '15',
      JWT_ACCESS_TOKEN_LIFETIME: '60',
    },
    names: [
      'CORS_ORIGINS',
      'REDIS_URL',
      'JWT_SIGNING_KEY',
      'JWT_SECRET_KEY',
      'ACCESS_TOKEN_LIFETIME_MINUTES',
      'JWT_ACCESS_TOKEN_LIFETIME',
    ],
  },
  'production without servers and key': {
    env: { NODE_ENV: 'production', CORS_ORIGINS: 'https://zebra.example,null' },
    names: ['DATABASE_URL', 'REDIS_URL', 'JWT_SIGNING_KEY', 'CORS_ORIGINS'],
  },
  'production with a short key': {
    env: {
      NODE_ENV: 'production',
      DATABASE_URL: 'postgres://db/zebra',
      REDIS_URL: 'redis://zebra',
      JWT_SIGNING_KEY: 'zebra',
      PASSWORD_BLOCKLIST: 'off',
    },
    names: ['JWT_SIGNING_KEY', 'PASSWORD_BLOCKLIST'],
  },
};

t.test('settings that cannot be used stop the start', async (t) => {
  await Promise.all(
    Object.entries(REFUSED).map(async ([name, { env, names }]) => {
      const { code, stdout, stderr } = await run(t, ['serve'], env);
      await t.test(name, async (t) => {
        t.equal(code, 2);
        t.equal(stdout, '', 'nothing is said to be ready');
        t.same(
          names.filter((variable) => !stderr.includes(variable)),
          [],
          'every variable is named',
        );
        t.notMatch(stderr, 'zebra', 'and no value');
        t.notMatch(stderr, /^ +at /m, 'without a stack');
      });
    }),
  );
});

t.test('stores that cannot be used stop the start in a sentence', async (t) => {
  await t.test('a data directory that is a file', async (t) => {
    const file = join(t.testdir(), 'zebra');
    writeFileSync(file, '');
    const { code, stderr } = await run(t, ['serve'], { LATCHKEY_DATA_DIR: file });
    t.equal(code, 2);
    t.match(stderr, 'LATCHKEY_DATA_DIR');
    t.notMatch(stderr, 'zebra');
    t.notMatch(stderr, /^ +at /m, 'without a stack');
  });

  await t.test('a PostgreSQL that nobody answers for', async (t) => {
    const DATABASE_URL = `postgres://someone:zebra@127.0.0.1:${await freePort()}/none`;
    const { code, took, stderr } = await run(t, ['serve'], {
      ...PLAIN,
      REDIS_URL: sharedRedisUrl(),
      DATABASE_URL,
    });
    t.equal(code, 1);
    t.match(stderr, 'DATABASE_URL');
    t.notMatch(stderr, 'zebra');
    t.ok(took < 20_000, `it ended in ${took} ms`);
  });
});

t.test('the command line', async (t) => {
  const env = { ...PLAIN };
  const asked: Record<string, string[]> = {
    '--version': ['--version'],
    'no command': [],
    'an unknown command': ['toString'],
    'an unknown option': ['serve', '--port=1'],
    openapi: ['openapi'],
  };
  const answers = Object.fromEntries(
    await Promise.all(
      Object.entries(asked).map(async ([name, args]) => [name, await run(t, args, env)] as const),
    ),
  );
  t.match(answers['--version'], { code: 0, stdout: `${VERSION}\n`, stderr: '' });
  const help = /^Latchkey .*\bserve\b.*\bmigrate\b.*\bopenapi\b/s;
  t.match(answers['no command'], { code: 0, stdout: help, stderr: '' });
  for (const name of ['an unknown command', 'an unknown option']) {
    t.match(answers[name], { code: 2, stdout: '', stderr: /latchkey --help/ }, name);
    t.notMatch(answers[name]?.stderr, /^ +at /m);
  }
  const { code, stdout } = answers.openapi!;
  t.equal(code, 0);
  const { openapi, paths } = JSON.parse(stdout);
  t.equal(openapi, '3.1.0', 'prints the document and nothing else');
  t.ok(paths['/api/auth/refresh']?.post);

  await t.test('migrate', async (t) => {
    const stores = { ...PLAIN, ...(await ownStores(t)), LATCHKEY_DATA_DIR: t.testdir() };
    const both = await Promise.all([run(t, ['migrate'], stores), run(t, ['migrate'], stores)]);
    t.same(
      both.map((each) => each.code),
      [0, 0],
      'two at once',
    );
    t.same(both.map((each) => each.stdout).sort(), [
      `Ran ${MIGRATIONS.join(', ')}.\n`,
      'The schema is up to date.\n',
    ]);
    const server = api((await withServer(t, { env: { ...stores, MIGRATE: 'off' } })).url);
    t.ok((await register(server)).access, 'and a server that must not migrate can work');
  });
});

t.test('SIGTERM', async (t) => {
  async function serve(
    t: Test,
    env: Record<string, string>,
  ): Promise<{ running: Running; server: Api; port: number }> {
    const port = await freePort();
    const running = start(t, ['serve'], { ...PLAIN, ...env, PORT: String(port) });
    const server = api(`http://127.0.0.1:${port}`);
    const up = () =>
      server.get('/healthz').then(
        ({ status }) => status === 200,
        () => false,
      );
    await eventually(t, 'it is up', 15, up);
    return { running, server, port };
  }

  async function assertEnds(t: Test, { child, ended, stderr }: Running): Promise<void> {
    child.kill('SIGTERM');
    const { code, took } = await ended();
    t.equal(code, 0, `ends well ${stderr()}`);
    t.ok(took < 5000, `within 5 s: ${took} ms`);
  }

  await t.test('requests under way are finished, and what they did is on record', async (t) => {
    const LATCHKEY_DATA_DIR = t.testdir();
    const { running, server, port } = await serve(t, { LATCHKEY_DATA_DIR });
    const person = await register(server);
    const body = { email: person.email, password: PASSWORD };
    const logins = Array.from({ length: 10 }, () => server.post('/api/auth/login', body));
    const rotations = Array.from({ length: 10 }, () => refresh(server, person.refresh));
    const slow = connect(port, '127.0.0.1');
    slow.on('error', () => undefined);
    slow.write(
      'POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
    );
    await Promise.race(logins);
    const ends = assertEnds(t, running);
    const answers = await Promise.all([...logins, ...rotations]);
    t.same(new Set(answers.map(({ status }) => status)), new Set([200]), 'all were answered');
    await ends;
    slow.destroy();

    const again = await serve(t, { LATCHKEY_DATA_DIR });
    const { body: told } = await again.server.get<{ events: { type: string }[] }>(
      '/api/auth/activity?limit=100',
      {
        token: person.access,
      },
    );
    const count = (type: string) => told.events.filter((event) => event.type === type).length;
    t.same([count('registered'), count('login')], [1, 10]);
    const counts = new Database(databaseFile(LATCHKEY_DATA_DIR)).prepare(
      "select sum(count) as count from event_counts where type = 'token_refreshed'",
    );
    t.match(counts.get(), { count: 10 }, 'nor is what is only counted lost');
    await assertEnds(t, again.running);
  });

  await t.test('while both stores are frozen', async (t) => {
    const [redis, postgres] = await Promise.all([withRedis(t), withPostgres(t)]);
    const { running, server } = await serve(t, { REDIS_URL: redis.url, DATABASE_URL: postgres.url });
    const person = await register(server);
    t.equal((await me(server, person.access)).status, 200);
    await refresh(server, person.refresh);
    redis.freeze();
    postgres.freeze();
    const asked = [
      me(server, person.access),
      server.post('/api/auth/login', { email: 'a@b.co', password: 'x' }),
    ];
    t.same(
      (await Promise.all(asked)).map(({ status }) => status),
      [503, 503],
    );
    await assertEnds(t, running);
    redis.thaw();
    postgres.thaw();
  });
});
