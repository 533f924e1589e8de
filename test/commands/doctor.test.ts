import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import t, { type Test } from 'tap';
import { checkClientAddress } from '../../src/commands/checks/client-address.js';
import type { Finding } from '../../src/commands/checks/finding.js';
import { checkSpend } from '../../src/commands/checks/messages.js';
import { checkRedis } from '../../src/commands/checks/redis.js';
import { checkSql } from '../../src/commands/checks/sql.js';
import { asJson, asText, examine } from '../../src/commands/doctor.js';
import { type Config, loadConfig } from '../../src/config.js';
import type { TrustProxy } from '../../src/security/client-address.js';
import type { RedisInspection, RedisNode } from '../../src/stores/redis/inspect.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import type { SqlInspection } from '../../src/stores/sql/inspect.js';
import { generateKey } from '../../src/tokens/key-rotation.js';
import { freshNumber, phones, sendOf, UNLIMITED } from '../http/phones.js';
import { signUp, TEST_KEY, testApp } from '../support/app.js';
import { freePort } from '../support/free-port.js';
import { freshDatabase, withPostgres } from '../support/postgres-server.js';
import { makeTempDir } from '../support/process-records.js';
import { NODE_TIMEOUT_MS, withRedisCluster } from '../support/redis-cluster.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { withRedis } from '../support/redis-server.js';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

type Env = Record<string, string>;

/** What a colour begins with. */
const ESCAPE = String.fromCharCode(27);

const configOf = (env: Env = {}): Config =>
  loadConfig({ LATCHKEY_DATA_DIR: makeTempDir('doctor'), JWT_SIGNING_KEY: TEST_KEY, ...env });

/** The findings by name, as `status detail`; a name that stands there twice is a list. */
async function findingsOf(config: Config, now?: () => number) {
  const { findings, isHealthy } = await examine({ config }, now);
  const named = (name: string): Finding[] => findings.filter((finding) => finding.name === name);
  return {
    isHealthy,
    findings,
    names: findings.map(({ name }) => name),
    status: (name: string) =>
      named(name)
        .map(({ status }) => status)
        .join(),
    detail: (name: string) =>
      named(name)
        .map(({ detail }) => detail)
        .join('\n'),
    advice: (name: string) =>
      named(name)
        .map(({ advice }) => advice)
        .join('\n'),
  };
}

/** The command line as a process of its own, in an environment that has only what is said here. */
function run(env: Env, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { PATH, HOME } = process.env;
  return new Promise((resolve) => {
    const options = { cwd: env.LATCHKEY_DATA_DIR, env: { PATH, HOME, NODE_OPTIONS: '', ...env } };
    execFile(process.execPath, [CLI, 'doctor', ...args], options, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

async function migrated(t: Test): Promise<string> {
  const url = await freshDatabase(t);
  const database = openDatabase({ url, dataDir: '' });
  await database.migrate();
  await database.close();
  return url;
}

t.test('servers that are as they should be', async (t) => {
  const redis = await withRedis(t, {
    args: ['--appendonly', 'yes', '--maxmemory', '64mb', '--requirepass', 'sesame'],
  });
  const env = {
    LATCHKEY_DATA_DIR: makeTempDir('doctor'),
    JWT_SIGNING_KEY: TEST_KEY,
    DATABASE_URL: await migrated(t),
    REDIS_URL: redis.url.replace('//', '//:sesame@'),
  };
  const app = await testApp(t, { env });
  const people = [await signUp(app), await signUp(app)];
  await app.app.events.flush();

  const { isHealthy, status, detail, names } = await findingsOf(loadConfig(env));
  t.ok(isHealthy);
  t.strictSame(names, [
    'settings',
    'signing key',
    'clock',
    'client address',
    'sms',
    'email',
    'spend guard',
    'redis',
    'redis eviction',
    'redis persistence',
    'redis memory',
    'redis keys',
    'sql',
    'sql schema',
    'sql indexes',
    'sql durability',
  ]);
  // The tests' PostgreSQL writes nothing to the disk.
  const others = names.filter((name) => name !== 'sql durability');
  t.strictSame(
    others.filter((name) => status(name) !== 'ok'),
    [],
  );
  t.match(detail('sql durability'), /^fsync off/);
  t.match(detail('clock'), /^agrees with that of Redis and PostgreSQL$/);
  t.match(detail('redis keys'), /^\d+ keys looked at, each with a TTL$/);
  t.match(
    detail('redis memory'),
    /of 64 MiB; here a session and its user take [5-9]\d\d bytes: room for \d{2,3},\d{3} more$/,
  );
  t.equal(detail('sql indexes'), 'all there');

  const text = await run(env);
  t.equal(text.code, 0, text.stdout);
  t.equal(text.stderr, '');
  const lines = text.stdout.trimEnd().split('\n');
  t.ok(lines.length > 15);
  for (const line of lines.slice(0, -2))
    t.match(line, /^((ok {2}|warn|fail) {2}[a-z]+| {21,}\S)/, 'aligned, advice below');
  t.equal(lines.at(-1), 'Nothing must be put right.');
  t.notOk(text.stdout.includes(ESCAPE), 'no colours where nobody looks');

  const json = await run(env, '--json');
  t.equal(json.code, 0);
  const { healthy, checks } = JSON.parse(json.stdout);
  t.equal(healthy, true);
  t.strictSame(
    checks.map(({ name }: Finding) => name),
    names,
  );
  for (const check of checks) {
    t.strictSame(
      Object.keys(check),
      check.status === 'ok' ? ['name', 'status', 'detail'] : ['name', 'status', 'detail', 'advice'],
    );
  }
  const secrets = [TEST_KEY, 'sesame', '127.0.0.1', ...people.flatMap(({ email, user }) => [email, user.id])];
  for (const secret of secrets)
    t.notOk(`${text.stdout}${json.stdout}`.includes(secret), 'nothing secret or personal');
});

t.test('a Redis that forgets', async (t) => {
  const redis = await withRedis(t, {
    args: ['--save', '3600', '1', '--maxmemory-policy', 'allkeys-lru', '--maxmemory', '3mb'],
  });
  const env = {
    LATCHKEY_DATA_DIR: makeTempDir('doctor'),
    JWT_SIGNING_KEY: TEST_KEY,
    DATABASE_URL: await migrated(t),
    REDIS_URL: redis.url,
  };
  const admin = new Redis(redis.url);
  t.teardown(() => admin.disconnect());
  await admin.set('latchkey:{somebody}:s:0123', 'x');
  await admin.set('latchkey:another', 'x');
  await admin.set('latchkey:{somebody}:u', 'x', 'EX', 100);
  await admin.set('not-ours', 'x');

  const { isHealthy, status, detail, advice } = await findingsOf(loadConfig(env));
  t.notOk(isHealthy);
  t.equal(status('redis eviction'), 'fail');
  t.equal(
    detail('redis eviction'),
    'maxmemory-policy is allkeys-lru: when memory runs short revocations are thrown away',
  );
  t.match(advice('redis eviction'), /noeviction/);
  t.equal(status('redis persistence'), 'fail');
  t.match(
    detail('redis persistence'),
    /^snapshots and no append-only file: a crash brings back what was revoked/,
  );
  t.equal(status('redis keys'), 'fail');
  t.equal(detail('redis keys'), '2 of 3 keys looked at have no TTL (kinds: other, s)');
  t.notOk(detail('redis keys').includes('somebody'), 'whose they are is not told');
  t.equal(status('redis'), 'ok');
  const text = await run(env);
  t.equal(text.code, 1);
  t.match(text.stdout, /^fail {2}redis keys/m);
  t.match(text.stdout, /Something must be put right\.\n$/);

  const pipeline = admin.pipeline();
  for (let n = 0; n < 3000; n += 1) pipeline.set(`latchkey:{${n}}:l:anon`, 'x'.repeat(1000), 'EX', 100);
  await pipeline.exec();
  const later = await findingsOf(loadConfig(env));
  t.match(later.detail('redis eviction'), /and [\d,]+ keys went already$/);
  t.match(later.status('redis memory'), /warn|fail/);
  t.match(later.advice('redis memory'), /^Raise maxmemory/);

  await admin.config('SET', 'save', '');
  t.match(
    (await findingsOf(loadConfig(env))).findings.find(({ name }) => name === 'redis persistence'),
    { status: 'warn', detail: 'none: when Redis stops everybody must sign in again' },
    'one that forgets all brings nothing back',
  );
});

t.test('a Redis that keeps things to itself', async (t) => {
  const redis = await withRedis(t, { args: ['--rename-command', 'CONFIG', '', '--appendonly', 'yes'] });
  const env = { DATABASE_URL: await migrated(t), REDIS_URL: redis.url };
  const { status, detail } = await findingsOf(configOf(env));
  t.equal(status('redis'), 'ok');
  t.equal(detail('redis persistence'), 'append-only file; a crash loses the last second at most');
});

t.test('a Redis that does not answer', async (t) => {
  const redis = await withRedis(t, { args: ['--requirepass', 'sesame'] });
  const replica = await withRedis(t, {
    args: ['--replicaof', '127.0.0.1', String(redis.port), '--masterauth', 'sesame'],
  });
  const databaseUrl = await migrated(t);
  const away = async (redisUrl: string, more: Env = {}) => {
    const startedAt = performance.now();
    const found = await findingsOf(configOf({ DATABASE_URL: databaseUrl, REDIS_URL: redisUrl, ...more }));
    const ms = performance.now() - startedAt;
    t.ok(ms < 5000, `it took ${ms.toFixed(0)} ms`);
    t.equal(found.status('redis'), 'fail');
    t.strictSame(
      found.names.filter((name) => name.startsWith('redis')),
      ['redis'],
    );
    t.equal(found.status('sql'), 'ok', 'the rest is looked at');
    t.notMatch(found.findings, /sesame|127\.0\.0\.1/);
    return `${found.detail('redis')} ${found.advice('redis')}`;
  };
  const withPassword = redis.url.replace('//', '//:sesame@');

  t.match(await away(redis.url), /^away \(NOAUTH\): .*put it into REDIS_URL/);
  t.match(await away(redis.url.replace('//', '//:open-sesame@')), /^away \(WRONGPASS\)/);
  t.match(await away(withPassword, { REDIS_CLUSTER: '1' }), /^away \(not a cluster\): .*REDIS_CLUSTER=0/);
  t.match(await away(`redis://127.0.0.1:${await freePort()}`), /^away \(ECONNREFUSED\): /);
  t.match(await away(`redis://127.0.0.1:${await freePort()}`, { REDIS_CLUSTER: '1' }), /^away \(/);
  t.match(await away('redis://nowhere.invalid'), /^away \(E(NOTFOUND|AI_AGAIN)\): /);

  const ofReplica = await findingsOf(configOf({ DATABASE_URL: databaseUrl, REDIS_URL: replica.url }));
  t.match(ofReplica.detail('redis'), /a replica: it takes no writes/);
  t.equal(ofReplica.status('redis'), 'fail');

  redis.freeze();
  t.match(await away(withPassword), /^away \(no answer in time\): callers are answered 503 See that it runs/);
  t.match(await away(withPassword, { REDIS_CLUSTER: '1' }), /^away \(no answer in time\)/);
  redis.thaw();
});

t.test('a cluster', async (t) => {
  const { url, primaries } = await withRedisCluster(t);
  const databaseUrl = await migrated(t);
  const env = { DATABASE_URL: databaseUrl, REDIS_URL: url, REDIS_CLUSTER: '1' };
  const found = await findingsOf(configOf(env));
  t.match(found.detail('redis'), /^version [\d.]+, 3 primaries$/);
  t.equal(found.status('redis cluster'), 'warn');
  t.equal(found.detail('redis cluster'), '3 of 3 primaries without a replica');
  t.equal(found.status('spend guard'), 'ok');

  const single = url.split(',')[0]!;
  const asOne = await findingsOf(configOf({ DATABASE_URL: databaseUrl, REDIS_URL: single }));
  t.equal(asOne.status('redis'), 'fail');
  t.match(asOne.advice('redis'), /REDIS_CLUSTER=1/);

  await primaries[2]!.kill();
  const config = configOf(env);
  const deadline = Date.now() + 20 * NODE_TIMEOUT_MS;
  let broken = await findingsOf(config);
  while (broken.isHealthy && Date.now() < deadline) broken = await findingsOf(config);
  t.notOk(broken.isHealthy);
});

t.test('a database that lacks something', async (t) => {
  const url = await freshDatabase(t);
  const database = openDatabase({ url, dataDir: '' });
  t.teardown(() => database.close());
  const env = { DATABASE_URL: url, REDIS_URL: sharedRedisUrl(), REDIS_PREFIX: freshPrefix(t) };
  const look = (more: Env = {}) => findingsOf(configOf({ ...env, ...more }));

  const empty = await look();
  t.equal(empty.status('sql schema'), 'warn');
  t.match(empty.detail('sql schema'), /^\d migrations to run \(0001-accounts, /);
  t.match(empty.advice('sql schema'), /latchkey migrate/);
  t.equal(empty.status('sql indexes'), 'ok', 'none is missing of tables that have yet to come');
  t.match((await look({ MIGRATE: 'off' })).status('sql schema'), 'fail');

  await database.migrate();
  t.equal((await look()).detail('sql schema'), 'up to date');
  const anyIndex = (await indexesOf(database.db)).find((name) => name.startsWith('events_by'))!;
  await sql`alter table users drop constraint users_email_unique`.execute(database.db);
  await sql.raw(`drop index ${anyIndex}`).execute(database.db);

  const lacking = await look();
  t.equal(lacking.status('sql indexes'), 'fail');
  t.equal(lacking.isHealthy, false);
  t.equal(lacking.detail('sql indexes'), `missing or broken: users_email_unique, ${anyIndex}`);
  const statements = lacking.advice('sql indexes').split('then run: ')[1]!.split(/;\s*/).filter(Boolean);
  for (const statement of statements) await sql.raw(statement).execute(database.db);
  t.equal((await look()).detail('sql indexes'), 'all there', 'what it advises puts it right');

  await sql`update pg_index set indisvalid = false where indexrelid = ${anyIndex}::regclass`.execute(
    database.db,
  );
  t.equal((await look()).detail('sql indexes'), `missing or broken: ${anyIndex}`);
  await sql`update pg_index set indisvalid = true where indexrelid = ${anyIndex}::regclass`.execute(
    database.db,
  );

  const { rows } = await sql<{ name: string }>`
    delete from kysely_migration where name = (select max(name) from kysely_migration) returning name`.execute(
    database.db,
  );
  t.match((await look()).detail('sql schema'), `1 migration to run (${rows[0]!.name})`);
  await sql`insert into kysely_migration (name, timestamp) values ('9999-to-come', 'now')`.execute(
    database.db,
  );
  const newer = await look();
  t.equal(newer.status('sql schema'), 'fail');
  t.equal(newer.detail('sql schema'), 'made by a newer release (9999-to-come)');
});

async function indexesOf(db: ReturnType<typeof openDatabase>['db']): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid
    where pg_table_is_visible(i.indrelid) order by 1`.execute(db);
  return rows.map(({ name }) => name);
}

t.test('a database that does not answer', async (t) => {
  const server = await withPostgres(t);
  const look = (databaseUrl: string) =>
    findingsOf(
      configOf({ DATABASE_URL: databaseUrl, REDIS_URL: sharedRedisUrl(), REDIS_PREFIX: freshPrefix(t) }),
    );
  const nobody = await look(`postgres://secret-name:secret-word@127.0.0.1:${await freePort()}/none`);
  t.equal(nobody.status('sql'), 'fail');
  t.match(nobody.detail('sql'), /^away \(ECONNREFUSED\)/);
  t.match(nobody.advice('sql'), /DATABASE_URL/);
  t.notMatch(nobody.findings, /secret/);
  t.equal(nobody.status('redis'), 'ok', 'the rest is looked at');
  t.match((await look(server.url.replace(/postgres$/, 'nothing'))).detail('sql'), /\(3D000\)/);

  server.freeze();
  const startedAt = performance.now();
  t.match((await look(server.url)).detail('sql'), /^away \(no answer/);
  t.ok(performance.now() - startedAt < 5000);
  server.thaw();
});

t.test('the embedded stores', async (t) => {
  const dataDir = makeTempDir('doctor');
  const env = { LATCHKEY_DATA_DIR: dataDir };
  const fresh = await run(env, '--json');
  t.equal(fresh.code, 0, fresh.stdout);
  const names = (text: string) => JSON.parse(text).checks.map(({ name }: Finding) => name);
  t.strictSame(names(fresh.stdout), ['settings', 'signing key', 'sms', 'email', 'sql']);
  t.match(JSON.parse(fresh.stdout), {
    healthy: true,
    checks: [{}, { detail: /none yet/ }, {}, {}, { detail: /no embedded database yet/ }],
  });
  t.strictSame(readdirSync(dataDir), [], 'it makes nothing: the service may run as somebody else');

  const world = await phones(t);
  const app = await testApp(t, { env: { ...env, ...world.env } });
  await app.send(sendOf(freshNumber().typed, 'register'));
  const used = await run(env, '--json');
  t.equal(used.code, 0);
  t.strictSame(names(used.stdout), [
    ...['settings', 'signing key', 'client address', 'sms', 'email', 'spend guard'],
    ...['sql', 'sql schema', 'sql indexes'],
  ]);
  t.match(used.stdout, /"detail": "record: 1 code sent today, nothing suspicious"/);
  t.match(used.stdout, /"detail": "SQLite 3[\d.]+, embedded"/);

  const database = openDatabase({ url: undefined, dataDir });
  await sql`drop index state_by_expiry`.execute(database.db);
  await database.close();
  const lacking = await run(env);
  t.equal(lacking.code, 1);
  t.match(lacking.stdout, /^fail {2}sql indexes .*missing or broken: state_by_expiry$/m);
  t.match(lacking.stdout, /create index "state_by_expiry" on "state" \("expires_at"\);$/m);

  writeFileSync(join(dataDir, 'latchkey.db'), 'this is no database'.repeat(100));
  const broken = await run(env);
  t.equal(broken.code, 1);
  t.match(broken.stdout, /^fail {2}sql .*away \(SQLITE_\w+\)/m);
  t.match(broken.stdout, /LATCHKEY_DATA_DIR is no database: restore it/);
  const [word, option, help] = await Promise.all(
    ['everything', '--deep', '--help'].map((arg) => run(env, arg)),
  );
  t.strictSame([word?.code, option?.code, help?.code], [2, 2, 0]);
  t.match(help?.stdout, /doctor +Examine .*exit code 1.*--json/);
});

t.test('settings', async (t) => {
  const dataDir = makeTempDir('doctor');
  const path = join(dataDir, 'set');
  writeFileSync(path, JSON.stringify({ keys: [generateKey('ES256', 0)] }));
  const faulty = await run(
    { LATCHKEY_DATA_DIR: dataDir, PORT: 'a-secret', JWT_ALGORITHM: 'none', NODE_ENV: 'production' },
    '--json',
  );
  t.equal(faulty.code, 1);
  const { healthy, checks } = JSON.parse(faulty.stdout);
  t.equal(healthy, false);
  t.ok(
    checks.length >= 3 &&
      checks.every(({ name, status }: Finding) => name === 'settings' && status === 'fail'),
  );
  t.match(faulty.stdout, /PORT must be a whole number/);
  t.notMatch(faulty.stdout, /a-secret/);

  const weak = await findingsOf(
    configOf({ JWT_SIGNING_KEY: 'change-me', OTP_LENGTH: '4', SMS_PROVIDER: 'console' }),
  );
  t.equal(weak.status('signing key'), 'warn');
  t.match(weak.detail('signing key'), /shorter than 32 bytes/);
  t.match(weak.advice('signing key'), /openssl rand/);
  t.match(weak.detail('settings'), /^OTP_LENGTH is below 6/);
  t.ok(weak.isHealthy, 'that is good enough for trying it out');
  const example = await findingsOf(configOf({ JWT_SIGNING_KEY: `your-secret-key-${'x'.repeat(40)}` }));
  t.match(example.detail('signing key'), /example out of documentation/);

  const alone = await findingsOf(
    configOf({ NODE_ENV: 'production', LATCHKEY_ALLOW_EMBEDDED: '1', RATE_LIMIT_LOGIN: 'off' }),
  );
  t.match(alone.detail('settings'), /^LATCHKEY_ALLOW_EMBEDDED=1/m);
  t.match(alone.detail('settings'), /^PUBLIC_URL is not https/m);
  t.match(alone.detail('settings'), /^These limits are off: RATE_LIMIT_LOGIN, RATE_LIMIT_LOGIN_IP\.$/m);
  t.equal(alone.status('settings'), 'warn,warn,warn');
  t.equal(`${alone.status('sms')} ${alone.status('email')}`, 'warn warn');
  t.match(alone.advice('sms'), /^Set SMS_PROVIDER/);
  t.equal(alone.detail('spend guard'), '');

  chmodSync(path, 0o644);
  const open = await findingsOf(configOf({ JWT_KEYSET: path, JWT_SIGNING_KEY: '' }));
  t.equal(open.status('signing key'), 'fail');
  t.notMatch(open.findings, /"d"/);
  chmodSync(path, 0o640);
  const closed = await findingsOf(configOf({ JWT_KEYSET: path, JWT_SIGNING_KEY: '' }));
  t.equal(`${closed.status('signing key')} ${closed.detail('signing key')}`, 'ok a key set');
  const given = {
    JWT_SIGNING_KEY: '',
    JWT_KEYSET: readFileSync(path, 'utf8'),
    SMS_PROVIDER: 'sns',
    HOST: '0.0.0.0',
  };
  const asText = await findingsOf(configOf(given));
  t.equal(asText.status('signing key'), 'ok');
  t.equal(`${asText.status('sms')} ${asText.detail('sms')}`, 'ok sns');
  const shown = await findingsOf(configOf({ SMS_PROVIDER: 'console', HOST: '0.0.0.0' }));
  t.equal(shown.status('sms'), 'warn', 'whoever is elsewhere is sent nothing');
});

t.test('clocks', async (t) => {
  const env = { DATABASE_URL: await migrated(t), REDIS_URL: sharedRedisUrl(), REDIS_PREFIX: freshPrefix(t) };
  const look = (ms: number) => findingsOf(configOf(env), () => Date.now() + ms);
  const cases: [number, string, RegExp][] = [
    [0, 'ok', /^agrees with/],
    [3000, 'warn', /^[23]\.\d s ahead of that of (Redis|PostgreSQL)$/],
    [-3000, 'warn', /^[23]\.\d s behind that of (Redis|PostgreSQL)$/],
    [60_000, 'fail', /^(60|59)\.\d s ahead of/],
  ];
  for (const [ms, status, detail] of cases) {
    const found = await look(ms);
    t.equal(found.status('clock'), status, `${ms} ms`);
    t.match(found.detail('clock'), detail);
  }
  t.match((await look(3000)).advice('clock'), /NTP/);
});

t.test('where callers seem to come from', async (t) => {
  const publicUrl = new URL('https://auth.example.com');
  const check = (trust: TrustProxy | string, addresses: Record<string, number>, more: object = {}) => {
    const trustProxy = typeof trust === 'string' ? ({ mode: trust } as TrustProxy) : trust;
    const counts = Object.entries(addresses).map(([address, events]) => ({ address, events }));
    const { status, detail, advice } = checkClientAddress(
      { trustProxy, publicUrl, production: true, ...more },
      counts,
    );
    const told = `${detail} ${advice ?? ''}`;
    for (const address of Object.keys(addresses))
      if (/^[12]\d\d?\./.test(address)) t.notOk(told.includes(address), told);
    return `${status} ${told}`;
  };
  const people = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`198.51.100.${n}`, 3]));
  const subnet = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`10.1.0.${n}`, 3]));
  const own: TrustProxy = { mode: 'networks', networks: ['172.16.0.0/12'] };

  t.equal(check('none', people), 'ok TRUST_PROXY=none; 60 addresses in the last 180 events ');
  t.equal(check('alb', people), 'ok TRUST_PROXY=alb; 60 addresses in the last 180 events ');
  t.match(check('none', { '10.1.2.3': 49 }), /^ok .*too few/);
  t.match(
    check('none', { '172.31.7.7': 990, '198.51.100.9': 10 }),
    /^fail 99 % of the last 1,000 events come from private .*TRUST_PROXY=alb/,
  );
  t.match(check('none', subnet), /^warn 100 % .*TRUST_PROXY=alb or apigateway/);
  t.match(
    check('none', { '127.0.1.1': 500, '::1': 500 }),
    /^fail 100 % .* come from this machine.*Set TRUST_PROXY=127\.0\.0\.0\/8/,
  );
  t.match(check('none', { '198.51.100.9': 100 }), /^warn 100 % .*one public address.*TRUST_PROXY=cloudfront/);
  t.match(check(own, { '10.9.9.9': 100 }), /^fail .*TRUST_PROXY=networks.*add its networks to TRUST_PROXY/);
  t.match(check('alb', { unknown: 30, '198.51.100.9': 70 }), /^fail 30 % .*have no address/);
  const local = { publicUrl: new URL('http://localhost:8000'), production: false };
  t.match(check('none', { '127.0.0.1': 900 }, local), /^ok .*this machine only/);
  t.match(
    check('none', { '::1': 900 }, { ...local, publicUrl: new URL('http://[::1]:8000') }),
    /^ok .*this machine only/,
  );

  const env = {
    PUBLIC_URL: 'https://auth.example.com',
    DATABASE_URL: await migrated(t),
    REDIS_URL: sharedRedisUrl(),
    REDIS_PREFIX: freshPrefix(t),
  };
  const database = openDatabase({ url: env.DATABASE_URL, dataDir: '' });
  t.teardown(() => database.close());
  const rows = (events: number, ip: string | null) =>
    Array.from({ length: events }, () => ({ at: 1, type: 'login', ip }));
  for (const batch of [rows(1000, '198.51.100.7'), rows(1000, '10.0.0.9'), rows(300, null)]) {
    await database.db.insertInto('events').values(batch).execute();
  }
  const behind = { TRUST_PROXY: 'cloudfront', HOST: '0.0.0.0' };
  t.match(
    (await findingsOf(configOf({ ...env, ...behind }))).detail('client address'),
    /can forge the address/,
  );

  const found = await findingsOf(configOf(env));
  t.equal(found.status('client address'), 'fail');
  t.match(
    found.detail('client address'),
    /^100 % of the last 700 events come from private/,
    'only the last thousand are looked at',
  );

  const keys = [randomBytes(32), randomBytes(32)].map((key) => key.toString('base64')) as [string, string];
  const app = await testApp(t, { env: { ...env, DATA_ENCRYPTION_KEY: keys[0] } });
  const client = { ip: '172.16.5.5', userAgent: '' };
  for (let n = 0; n < 1000; n += 1) app.app.events.record({ type: 'login', client });
  await app.app.events.flush();
  const encrypted = await findingsOf(app.config);
  t.match(encrypted.detail('client address'), /^100 % of the last 1,000 events come from private/);
  t.equal(encrypted.status('sql encryption'), '');
  const locked = await findingsOf(configOf({ ...env, DATA_ENCRYPTION_KEY: keys[1] }));
  t.equal(locked.status('sql encryption'), 'fail');
  t.match(locked.detail('sql encryption'), /^1,000 recent events cannot be read/);
  t.match(locked.detail('client address'), /too few events/);
});

t.test('the spend guard', async (t) => {
  const open = (env: Env) => configOf({ SMS_PROVIDER: 'console', ...env });
  const day = (total: number, ...countries: [string, number, number][]) => ({
    total,
    countries: countries.map(([country, sends, verified]) => ({ country, sends, verified })),
  });
  const check = (env: Env, report: ReturnType<typeof day>, suspected = 0) => {
    const { status, detail, advice = '' } = checkSpend(open(env), report, suspected);
    return `${status} ${detail} ${advice}`;
  };
  const fraud = day(400, ['IR', 200, 100], ['LV', 150, 3], ['DE', 50, 0]);
  t.match(
    check({}, fraud),
    /^warn Suspicious today: LV \(150 sent, 3 typed\); sent all the same\. Set OTP_SPEND_GUARD=deny/,
  );
  t.match(check({ OTP_SPEND_GUARD: 'deny' }, fraud), /^warn Suspicious today: LV .*refused until tomorrow/);
  t.match(check({ OTP_SPEND_GUARD: 'off' }, fraud), /^warn off: 400 codes were sent today, and nobody looks/);
  t.match(
    check({ OTP_DAILY_CAP: '400' }, fraud),
    /^warn 400 codes sent today, and OTP_DAILY_CAP is 400: they go out/,
  );
  t.match(
    check({ OTP_DAILY_CAP: '300', OTP_SPEND_GUARD: 'deny' }, fraud),
    /^fail 400 codes sent today.*nobody is sent one any more/,
  );
  t.match(
    check({ OTP_DAILY_CAP: 'off' }, day(1e6, ['IR', 1e6, 1e6])),
    /^ok record: 1,000,000 codes sent today/,
  );
  t.match(check({ HOST: '0.0.0.0', SMS_PROVIDER: '' }, day(0)), /^ok no codes are sent/);
  t.match(
    check({}, day(40), 20),
    /^warn record: 40 codes sent today; 20 requests for codes looked suspicious.*nothing was refused/,
  );
  t.match(check({ OTP_SPEND_GUARD: 'deny' }, day(20), 1), /^warn deny: .*1 request for codes looked/);

  const embedded = await testApp(t, {
    env: { ...UNLIMITED, OTP_SPEND_GUARD: 'deny', ...(await phones(t)).env },
  });
  for (let n = 0; n < 22; n += 1) await embedded.send(sendOf(freshNumber().typed, 'login'));
  await embedded.app.events.flush();
  const ofAddress = await findingsOf(embedded.config);
  t.equal(ofAddress.status('spend guard'), 'warn', 'one address asks, and nobody proves');
  t.match(
    ofAddress.detail('spend guard'),
    /^deny: 20 codes sent today; 2 requests for codes looked suspicious/,
  );

  const env = {
    REDIS_URL: sharedRedisUrl(),
    REDIS_PREFIX: freshPrefix(t),
    ...UNLIMITED,
    OTP_SPEND_GUARD: 'record',
    ...(await phones(t)).env,
  };
  const app = await testApp(t, { env });
  for (let n = 0; n < 100; n += 1) await app.send(sendOf(freshNumber().typed, 'register'));
  const found = await findingsOf(app.config);
  t.equal(found.status('spend guard'), 'warn');
  t.match(found.detail('spend guard'), /^Suspicious today: IR \(100 sent, 0 typed\)/);
});

t.test('what only other servers show', async (t) => {
  const node: RedisNode = {
    version: '7.2.4',
    isReplica: false,
    isInCluster: false,
    replicas: 1,
    clockAheadMs: 0,
    memoryUsed: 2 ** 30,
    memoryAllowed: 2 ** 31,
    evictionPolicy: 'noeviction',
    evictedKeys: 0,
    appendOnly: true,
    appendFsync: 'everysec',
    isAppendFailing: false,
    hasSnapshots: true,
  };
  const keys = {
    looked: 0,
    total: 0,
    withoutTtl: 0,
    kindsWithoutTtl: [],
    sessionBytes: undefined,
    userBytes: undefined,
  };
  const ofRedis = (name: string, change: Partial<RedisNode>, more: Partial<RedisInspection> = {}) => {
    const found = { nodes: [{ ...node, ...change }], keys, cluster: undefined, ...more };
    const { status, detail } = checkRedis({ redisCluster: true }, found).find((each) => each.name === name)!;
    return `${status} ${detail}`;
  };
  t.equal(ofRedis('redis', {}), 'ok version 7.2.4');
  t.equal(ofRedis('redis', { version: '6.0.16' }), 'fail version 6.0.16');
  t.equal(ofRedis('redis', { version: '6.2' }), 'ok version 6.2');
  t.equal(ofRedis('redis', { version: '10.0.1' }), 'ok version 10.0.1');
  t.match(ofRedis('redis eviction', { evictionPolicy: undefined }), /^warn the server does not tell/);
  t.match(ofRedis('redis persistence', { appendFsync: 'always' }), /^ok .*loses nothing$/);
  t.match(ofRedis('redis persistence', { appendFsync: undefined }), /^ok .*the last second at most$/);
  t.match(ofRedis('redis persistence', { appendFsync: 'no' }), /^warn .*half a minute$/);
  t.match(ofRedis('redis persistence', { isAppendFailing: true }), /^fail /);
  t.match(
    ofRedis('redis persistence', { appendOnly: false, hasSnapshots: undefined }),
    /^warn no append-only/,
  );
  t.match(
    ofRedis('redis memory', {}),
    /^ok 1,024 MiB used by 0 keys, of 2,048 MiB; .*about 956 bytes: room for 1,123,/,
  );
  t.match(ofRedis('redis memory', { memoryUsed: 1.8 * 2 ** 30 }), /^warn /);
  t.match(ofRedis('redis memory', { memoryUsed: 2 ** 31 }), /^fail .*room for 0 more$/);
  t.match(ofRedis('redis memory', { memoryAllowed: 0 }), /^warn .*no maxmemory is set/);
  const cluster = { isOk: true, slotsServed: 16_384 };
  t.match(ofRedis('redis cluster', {}, { cluster }), /^ok every slot is served/);
  t.match(ofRedis('redis cluster', {}, { cluster: { ...cluster, isOk: false } }), /^fail /);
  t.match(
    ofRedis('redis cluster', {}, { cluster: { isOk: true, slotsServed: 10_923 } }),
    /^fail 10,923 of 16,384/,
  );

  const database: SqlInspection = {
    dialect: 'postgres',
    version: '15.8',
    clockAheadMs: 0,
    migrations: { pending: [], unknown: [] },
    missingIndexes: [],
    durability: { fsync: true, synchronousCommit: true },
    addresses: { counts: [], unreadable: 0 },
    suspectedSends: 0,
  };
  const ofSql = (change: Partial<SqlInspection>) =>
    checkSql({ migrate: true }, { ...database, ...change }).map(
      ({ status, detail }) => `${status} ${detail}`,
    );
  t.strictSame(ofSql({}), [
    'ok PostgreSQL 15.8',
    'ok up to date',
    'ok all there',
    'ok what was answered survives a crash',
  ]);
  t.equal(ofSql({ version: '12.20' })[0], 'fail PostgreSQL 12.20');
  t.match(
    ofSql({ durability: { fsync: true, synchronousCommit: false } })[3],
    /^warn synchronous_commit off/,
  );
});

t.test('how it is told', async (t) => {
  const findings: Finding[] = [
    { name: 'one', status: 'ok', detail: 'well' },
    { name: 'another', status: 'fail', detail: 'not well', advice: 'Do something.' },
  ];
  const plain = ['ok    one      well', 'fail  another  not well', '               Do something.'];
  t.equal(
    asText({ findings, isHealthy: false }, { hasColours: false }),
    [...plain, '', 'Something must be put right.'].join('\n'),
  );
  const coloured = asText({ findings, isHealthy: false }, { hasColours: true });
  t.ok(coloured.startsWith(`${ESCAPE}[32mok  ${ESCAPE}[39m  one`));
  t.ok(coloured.includes(`${ESCAPE}[31mfail${ESCAPE}[39m`));
  t.strictSame(JSON.parse(asJson({ findings, isHealthy: false })), { healthy: false, checks: findings });
});
