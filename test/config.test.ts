import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { ConfigError, loadConfig } from '../src/config.js';

const KEY = 'vQ3x8LmN0pRs7TuW2yZa5BcD9eFg4HiJ';
const DATABASE = 'postgres://latchkey@127.0.0.1/latchkey';
const REDIS = 'redis://127.0.0.1:6379';
const SERVERS = { DATABASE_URL: DATABASE, REDIS_URL: REDIS, JWT_SIGNING_KEY: KEY };
const PRODUCTION = { ...SERVERS, NODE_ENV: 'production' };

type Env = Record<string, string>;

function tempDir(t: Pick<Test, 'teardown'>): string {
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-config-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const dataDir = tempDir(t);
const load = (env: Env = {}) => loadConfig({ LATCHKEY_DATA_DIR: dataDir, JWT_SIGNING_KEY: KEY, ...env });

/** What `env` is refused for; fails when it is not. */
function faultsOf(t: Test, env: Env): readonly string[] {
  try {
    loadConfig({ LATCHKEY_DATA_DIR: dataDir, ...env });
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  t.fail(`accepted ${JSON.stringify(env)}`);
  return [];
}

t.test('defaults are those of the contract', async (t) => {
  const { publicUrl, ...config } = load();
  t.equal(publicUrl.href, 'http://localhost:8000/');
  t.strictSame(config, {
    production: false,
    host: '127.0.0.1',
    port: 8000,
    databaseUrl: undefined,
    redisUrl: undefined,
    redisCluster: false,
    redisPrefix: 'latchkey:',
    dataDir,
    embedded: true,
    migrate: true,
    jwt: {
      signingKey: KEY,
      algorithm: 'HS256',
      keySet: undefined,
      issuer: 'latchkey',
      audience: undefined,
      leeway: 0,
      userIdClaim: 'id',
    },
    accessLifetime: 900,
    refreshLifetime: 604_800,
    sessionMaxLifetime: 7_776_000,
    corsOrigins: [],
    trustedProxies: [],
    limits: {
      login: { max: 5, windowMs: 60_000 },
      loginIp: { max: 30, windowMs: 300_000 },
      refresh: { max: 10, windowMs: 60_000 },
      anon: { max: 100, windowMs: 3_600_000 },
      user: { max: 1000, windowMs: 3_600_000 },
    },
    defaultLocale: 'en',
    registration: 'open',
    defaultRole: 'viewer',
    userTypes: ['individual', 'business'],
    passwordBlocklist: true,
    logLevel: 'info',
    warnings: [],
  });
  t.equal(
    load({ PORT: '9000' }).publicUrl.origin,
    'http://localhost:9000',
    'the port shows in the default URL',
  );
});

t.test('an empty or blank variable is an unset one', async (t) => {
  const names = readFileSync(new URL('../../src/config.ts', import.meta.url), 'utf8').match(
    /'[A-Z]+(_[A-Z]+)+'/g,
  );
  const settings = [...new Set(names?.map((name) => name.slice(1, -1))), 'HOST', 'PORT', 'NODE_ENV'];
  t.ok(settings.length > 25, `${settings.length} settings`);
  for (const blank of ['', '   ']) {
    const env = Object.fromEntries(settings.map((name) => [name, blank]));
    t.strictSame(load({ ...env, LATCHKEY_DATA_DIR: dataDir, JWT_SIGNING_KEY: KEY }), load());
  }
});

t.test('each setting is read', async (t) => {
  const table: [env: Env, expected: object][] = [
    [
      { HOST: '0.0.0.0', PORT: ' 8080 ' },
      { host: '0.0.0.0', port: 8080 },
    ],
    [{ PUBLIC_URL: 'https://auth.example.com/' }, { publicUrl: new URL('https://auth.example.com') }],
    [SERVERS, { databaseUrl: DATABASE, redisUrl: REDIS, embedded: false }],
    [{ ...SERVERS, DATABASE_URL: 'postgresql://h/d' }, { databaseUrl: 'postgresql://h/d' }],
    [{ REDIS_URL: 'rediss://h' }, { redisUrl: 'rediss://h', embedded: false, databaseUrl: undefined }],
    [{ REDIS_PREFIX: 'auth:' }, { redisPrefix: 'auth:' }],
    [
      { REDIS_URL: 'redis://u:p@h:1, redis://[::1]:2/0,redis://u:p@i', REDIS_CLUSTER: '1' },
      { redisUrl: 'redis://u:p@h:1, redis://[::1]:2/0,redis://u:p@i', redisCluster: true },
    ],
    [{ REDIS_URL: 'rediss://h', REDIS_CLUSTER: '1' }, { redisCluster: true }],
    [{ REDIS_URL: 'redis://h', REDIS_CLUSTER: '0' }, { redisCluster: false }],
    [{ MIGRATE: 'off' }, { migrate: false }],
    [
      {
        JWT_ALGORITHM: 'HS512',
        JWT_ISSUER: 'https://i',
        JWT_AUDIENCE: 'a',
        JWT_LEEWAY: '5',
        JWT_USER_ID: 'legacy_id',
      },
      {
        jwt: { algorithm: 'HS512', issuer: 'https://i', audience: 'a', leeway: 5, userIdClaim: 'legacy_id' },
      },
    ],
    [{ JWT_SIGNING_KEY: '', JWT_SECRET_KEY: `${KEY}2` }, { jwt: { signingKey: `${KEY}2` } }],
    [{ JWT_SECRET_KEY: KEY }, { jwt: { signingKey: KEY } }],
    [{ SESSION_MAX_LIFETIME_DAYS: '30' }, { sessionMaxLifetime: 30 * 86_400 }],
    [
      { CORS_ORIGINS: 'https://a.example, http://localhost:5173,' },
      { corsOrigins: ['https://a.example', 'http://localhost:5173'] },
    ],
    [{ TRUST_PROXY: 'none' }, { trustedProxies: [] }],
    [{ TRUST_PROXY: '10.0.0.0/8, ::1' }, { trustedProxies: ['10.0.0.0/8', '::1'] }],
    [
      { DEFAULT_LOCALE: 'fa', LOG_LEVEL: 'silent' },
      { defaultLocale: 'fa', logLevel: 'silent' },
    ],
    [
      { REGISTRATION: 'closed', DEFAULT_ROLE: 'member' },
      { registration: 'closed', defaultRole: 'member' },
    ],
    [{ USER_TYPES: ' buyer , seller' }, { userTypes: ['buyer', 'seller'] }],
    [{ PASSWORD_BLOCKLIST: 'off' }, { passwordBlocklist: false }],
  ];
  for (const [env, expected] of table) t.match(load(env), expected, JSON.stringify(env));
  t.equal(load({ LATCHKEY_DATA_DIR: 'some/where' }).dataDir, join(process.cwd(), 'some/where'));
  t.ok(isAbsolute(load({ LATCHKEY_DATA_DIR: '' }).dataDir));
});

t.test('lifetimes have two spellings', async (t) => {
  const table: [env: Env, access: number, refresh: number][] = [
    [{ ACCESS_TOKEN_LIFETIME_MINUTES: '5' }, 300, 604_800],
    [{ JWT_ACCESS_TOKEN_LIFETIME: '90' }, 90, 604_800],
    [{ ACCESS_TOKEN_LIFETIME_MINUTES: '2', JWT_ACCESS_TOKEN_LIFETIME: '120' }, 120, 604_800],
    [{ REFRESH_TOKEN_LIFETIME_DAYS: '14' }, 900, 14 * 86_400],
    [{ JWT_REFRESH_TOKEN_LIFETIME: '3600' }, 900, 3600],
    [{ REFRESH_TOKEN_LIFETIME_DAYS: '1', JWT_REFRESH_TOKEN_LIFETIME: '86400' }, 900, 86_400],
  ];
  for (const [env, accessLifetime, refreshLifetime] of table) {
    t.match(load(env), { accessLifetime, refreshLifetime }, JSON.stringify(env));
  }
});

t.test('limits', async (t) => {
  const table: [raw: string, limit: { max: number; windowMs: number } | undefined][] = [
    ['7/second', { max: 7, windowMs: 1000 }],
    ['7/minute', { max: 7, windowMs: 60_000 }],
    ['7/hour', { max: 7, windowMs: 3_600_000 }],
    ['7/day', { max: 7, windowMs: 86_400_000 }],
    ['30/5minute', { max: 30, windowMs: 300_000 }],
    ['30/10seconds', { max: 30, windowMs: 10_000 }],
    ['off', undefined],
  ];
  const names = { refresh: 'RATE_LIMIT_REFRESH', anon: 'RATE_LIMIT_ANON', user: 'RATE_LIMIT_USER' } as const;
  for (const [raw, limit] of table) {
    for (const [field, name] of Object.entries(names)) {
      t.strictSame(load({ [name]: raw }).limits[field as keyof typeof names], limit, `${name}=${raw}`);
    }
    t.strictSame(load({ RATE_LIMIT_LOGIN: raw }).limits.login, limit);
    t.strictSame(load({ RATE_LIMIT_LOGIN_IP: raw }).limits.loginIp, limit);
  }
  const { login, loginIp } = load({ RATE_LIMIT_LOGIN: 'off', RATE_LIMIT_LOGIN_IP: '9/minute' }).limits;
  t.strictSame([login, loginIp], [undefined, undefined], 'RATE_LIMIT_LOGIN=off ends both');
  for (const raw of [
    '0/minute',
    '-1/minute',
    '5',
    '5/',
    '/minute',
    '5/0minute',
    '5/year',
    '5 per minute',
    '1e3/day',
  ]) {
    for (const name of [...Object.values(names), 'RATE_LIMIT_LOGIN', 'RATE_LIMIT_LOGIN_IP']) {
      t.match(faultsOf(t, { [name]: raw }), [new RegExp(`^${name} must be N/`)], `${name}=${raw}`);
    }
  }
});

t.test('what cannot be used is refused by name, and its value is not repeated', async (t) => {
  const table: [env: Env, ...named: string[]][] = [
    [{ PORT: '70707' }, 'PORT'],
    [{ PORT: '8o8o' }, 'PORT'],
    [{ PORT: '80.5' }, 'PORT'],
    [{ PUBLIC_URL: 'ftp://zq9.example' }, 'PUBLIC_URL'],
    [{ PUBLIC_URL: 'zq9.example' }, 'PUBLIC_URL'],
    [{ PUBLIC_URL: 'https://zq9@x.example' }, 'PUBLIC_URL'],
    [{ PUBLIC_URL: 'https://:zq9@x.example' }, 'PUBLIC_URL'],
    [{ ...SERVERS, DATABASE_URL: 'mysql://zq9' }, 'DATABASE_URL'],
    [{ ...SERVERS, REDIS_URL: 'http://zq9' }, 'REDIS_URL'],
    [{ ...SERVERS, REDIS_URL: 'redis://zq9,redis://zq8' }, 'REDIS_URL', 'REDIS_CLUSTER'],
    [{ REDIS_CLUSTER: '1' }, 'REDIS_CLUSTER', 'REDIS_URL'],
    [{ REDIS_URL: 'redis://h', REDIS_CLUSTER: 'zq9' }, 'REDIS_CLUSTER'],
    [{ REDIS_URL: 'redis://h,zq9', REDIS_CLUSTER: '1' }, 'REDIS_URL'],
    [{ REDIS_URL: 'redis://h,http://zq9', REDIS_CLUSTER: '1' }, 'REDIS_URL'],
    [{ REDIS_URL: 'redis://h,rediss://zq9', REDIS_CLUSTER: '1' }, 'REDIS_URL'],
    [{ REDIS_URL: 'redis://h,redis://:zq9@i', REDIS_CLUSTER: '1' }, 'REDIS_URL'],
    [{ REDIS_URL: 'redis://h,redis://zq9:@i', REDIS_CLUSTER: '1' }, 'REDIS_URL'],
    [{ REDIS_URL: 'redis://zq9/1', REDIS_CLUSTER: '1' }, 'REDIS_URL'],
    [{ DATABASE_URL: 'postgres://zq9', JWT_SIGNING_KEY: KEY }, 'DATABASE_URL', 'REDIS_URL'],
    [{ REDIS_PREFIX: 'a{zq9}' }, 'REDIS_PREFIX'],
    [{ MIGRATE: 'zq9' }, 'MIGRATE'],
    [{ MIGRATE: 'constructor' }, 'MIGRATE'],
    [{ PASSWORD_BLOCKLIST: 'true' }, 'PASSWORD_BLOCKLIST'],
    [{ JWT_ALGORITHM: 'none' }, 'JWT_ALGORITHM'],
    [{ JWT_ALGORITHM: 'hs256' }, 'JWT_ALGORITHM'],
    [{ JWT_LEEWAY: '301' }, 'JWT_LEEWAY'],
    [{ JWT_LEEWAY: '-7' }, 'JWT_LEEWAY'],
    [{ JWT_USER_ID: 'zq9' }, 'JWT_USER_ID'],
    [{ JWT_SIGNING_KEY: KEY, JWT_SECRET_KEY: 'zq9' }, 'JWT_SIGNING_KEY', 'JWT_SECRET_KEY'],
    [{ ACCESS_TOKEN_LIFETIME_MINUTES: '1.5' }, 'ACCESS_TOKEN_LIFETIME_MINUTES'],
    [{ ACCESS_TOKEN_LIFETIME_MINUTES: '0' }, 'ACCESS_TOKEN_LIFETIME_MINUTES'],
    [{ JWT_ACCESS_TOKEN_LIFETIME: 'zq9' }, 'JWT_ACCESS_TOKEN_LIFETIME'],
    [
      { ACCESS_TOKEN_LIFETIME_MINUTES: '17', JWT_ACCESS_TOKEN_LIFETIME: '18' },
      'ACCESS_TOKEN_LIFETIME_MINUTES',
      'JWT_ACCESS_TOKEN_LIFETIME',
    ],
    [{ REFRESH_TOKEN_LIFETIME_DAYS: '9999' }, 'REFRESH_TOKEN_LIFETIME_DAYS'],
    [{ REFRESH_TOKEN_LIFETIME_DAYS: '91' }, 'REFRESH_TOKEN_LIFETIME_DAYS', 'SESSION_MAX_LIFETIME_DAYS'],
    [{ SESSION_MAX_LIFETIME_DAYS: '6' }, 'JWT_REFRESH_TOKEN_LIFETIME', 'SESSION_MAX_LIFETIME_DAYS'],
    [{ JWT_ACCESS_TOKEN_LIFETIME: '604801' }, 'ACCESS_TOKEN_LIFETIME_MINUTES', 'JWT_ACCESS_TOKEN_LIFETIME'],
    [{ SESSION_MAX_LIFETIME_DAYS: '3651' }, 'SESSION_MAX_LIFETIME_DAYS'],
    [{ CORS_ORIGINS: '*' }, 'CORS_ORIGINS'],
    [{ CORS_ORIGINS: 'null' }, 'CORS_ORIGINS'],
    [{ CORS_ORIGINS: 'https://ok.example,null' }, 'CORS_ORIGINS'],
    [{ CORS_ORIGINS: 'https://zq9.example/' }, 'CORS_ORIGINS'],
    [{ CORS_ORIGINS: 'zq9.example' }, 'CORS_ORIGINS'],
    [{ TRUST_PROXY: 'true' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '1' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '10/8' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '10.0.0.0/8,zq9' }, 'TRUST_PROXY'],
    [{ DEFAULT_LOCALE: 'zq9' }, 'DEFAULT_LOCALE'],
    [{ REGISTRATION: 'zq9' }, 'REGISTRATION'],
    [{ USER_TYPES: ' , ' }, 'USER_TYPES'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL'],
  ];
  for (const [env, ...named] of table) {
    const label = JSON.stringify(env);
    const faults = faultsOf(t, env);
    t.equal(faults.length, 1, `${label}: one fault`);
    for (const name of named) t.ok(faults[0]?.includes(name), `${label} names ${name}`);
    const values = named
      .map((name) => env[name])
      .filter((value) => value && value.length > 2 && value !== 'null');
    for (const value of values) t.notOk(faults[0]?.includes(value as string), `${label} keeps its value`);
  }
});

t.test('all that is wrong is told at once', async (t) => {
  const faults = faultsOf(t, {
    PORT: 'zq1',
    MIGRATE: 'zq2',
    JWT_ALGORITHM: 'zq3',
    RATE_LIMIT_USER: 'zq4',
    CORS_ORIGINS: '*',
    JWT_SIGNING_KEY: 'zq5',
    JWT_SECRET_KEY: 'zq6',
  });
  const named = ['PORT', 'MIGRATE', 'JWT_ALGORITHM', 'RATE_LIMIT_USER', 'CORS_ORIGINS', 'JWT_SIGNING_KEY'];
  t.equal(faults.length, named.length);
  for (const name of named)
    t.ok(
      faults.some((fault) => fault.startsWith(name)),
      name,
    );
  const { message } = new ConfigError(faults);
  for (const fault of faults) t.match(message, fault);
  t.notMatch(message, /zq\d/);
});

t.test('production takes no default that is only for trying things out', async (t) => {
  t.match(loadConfig(PRODUCTION), { production: true, embedded: false, warnings: [] });
  const refused: [env: Env, fault: RegExp][] = [
    [{ ...PRODUCTION, DATABASE_URL: '' }, /^DATABASE_URL and REDIS_URL are required in production/],
    [{ NODE_ENV: 'production', JWT_SIGNING_KEY: KEY }, /LATCHKEY_ALLOW_EMBEDDED=1/],
    [
      { NODE_ENV: 'production', JWT_SIGNING_KEY: KEY, LATCHKEY_ALLOW_EMBEDDED: 'yes' },
      /LATCHKEY_ALLOW_EMBEDDED=1/,
    ],
    [{ NODE_ENV: 'production', LATCHKEY_ALLOW_EMBEDDED: '1' }, /^JWT_SIGNING_KEY is required in production/],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: '' }, /^JWT_SIGNING_KEY is required in production/],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: KEY.slice(1) }, /^JWT_SIGNING_KEY .*shorter than 32 bytes/],
    [
      { ...PRODUCTION, JWT_SIGNING_KEY: 'your-secret-key-at-least-32-characters' },
      /^JWT_SIGNING_KEY .*example/,
    ],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: 'django-insecure-k3j4h5k3j4h5k3j4h5' }, /^JWT_SIGNING_KEY .*example/],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: 'a'.repeat(40) }, /^JWT_SIGNING_KEY .*example/],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: '', JWT_SECRET_KEY: 'short' }, /JWT_SECRET_KEY.*shorter/],
    [{ ...PRODUCTION, PASSWORD_BLOCKLIST: 'off' }, /^PASSWORD_BLOCKLIST/],
  ];
  for (const [env, fault] of refused) {
    const faults = faultsOf(t, env);
    t.equal(faults.length, 1, fault.source);
    t.match(faults[0], fault);
    t.notMatch(faults[0], env.JWT_SIGNING_KEY || 'no key', 'the key is not repeated');
  }
  const allowed = loadConfig({
    NODE_ENV: 'production',
    LATCHKEY_ALLOW_EMBEDDED: '1',
    JWT_SIGNING_KEY: KEY,
    LATCHKEY_DATA_DIR: dataDir,
  });
  t.match(allowed, { production: true, embedded: true });

  // 32 bytes, though only 16 characters.
  t.match(loadConfig({ ...PRODUCTION, JWT_SIGNING_KEY: 'éàüöñçßøåæëïõûîô' }), { warnings: [] });
  for (const key of ['tiny', 'change-me-change-me-change-me-now', 'x'.repeat(32)]) {
    const { warnings } = load({ JWT_SIGNING_KEY: key });
    t.match(warnings, [/^JWT_SIGNING_KEY/], 'elsewhere a weak key is a warning');
    t.equal(warnings.length, 1);
    t.notMatch(warnings[0], key);
  }
  const own = loadConfig({ LATCHKEY_DATA_DIR: dataDir, REDIS_URL: REDIS });
  t.match(own.warnings, [/^JWT_SIGNING_KEY is not set/], 'nor should servers sign with a key each');
  t.notMatch(own.warnings[0], own.jwt.signingKey);
});

t.test('the settings are frozen, all the way down', async (t) => {
  const config = load({ CORS_ORIGINS: 'https://a.example' });
  const frozen = (value: object, path: string): void => {
    t.ok(Object.isFrozen(value), path);
    for (const [name, inner] of Object.entries(value)) {
      if (typeof inner === 'object' && inner !== null) frozen(inner, `${path}.${name}`);
    }
  };
  const { publicUrl: _, ...rest } = config;
  t.ok(Object.isFrozen(config));
  for (const [name, value] of Object.entries(rest)) if (typeof value === 'object') frozen(value, name);
  t.throws(() => Object.assign(config.jwt, { signingKey: 'other' }), TypeError);
});

t.test('the signing key of embedded mode', async (t) => {
  const keyOf = (dir: string) => loadConfig({ LATCHKEY_DATA_DIR: dir }).jwt.signingKey as string;

  await t.test('is made once, for its owner only', async (t) => {
    const dir = join(tempDir(t), 'made', 'here');
    const key = keyOf(dir);
    t.ok(Buffer.from(key, 'base64url').length >= 32, 'at least 256 bits');
    t.equal(statSync(join(dir, 'signing-key')).mode & 0o777, 0o600);
    t.equal(statSync(dir).mode & 0o777, 0o700);
    t.equal(keyOf(dir), key, 'the next start reads it');
    t.strictSame(readdirSync(dir), ['signing-key'], 'no draft is left behind');
    t.not(keyOf(tempDir(t)), key, 'another directory has another');
  });

  await t.test('is neither made nor read when one is given, nor on a refused start', async (t) => {
    const dir = tempDir(t);
    loadConfig({ LATCHKEY_DATA_DIR: dir, JWT_SIGNING_KEY: KEY });
    t.throws(() => loadConfig({ LATCHKEY_DATA_DIR: dir, PORT: 'x' }), ConfigError);
    t.strictSame(readdirSync(dir), []);
  });

  await t.test('a file without a good key in it is refused', async (t) => {
    const dir = tempDir(t);
    for (const content of ['', '\n', 'too short']) {
      writeFileSync(join(dir, 'signing-key'), content);
      const faults = faultsOf(t, { LATCHKEY_DATA_DIR: dir });
      t.match(faults, [/^signing-key in LATCHKEY_DATA_DIR/]);
      if (content.trim()) t.notMatch(faults[0], content);
    }
    chmodSync(join(dir, 'signing-key'), 0o600);
  });

  await t.test('processes that start together agree on one', async (t) => {
    const dir = tempDir(t);
    const COUNT = 6;
    const gate = new SharedArrayBuffer(4);
    const module = new URL('../src/config.js', import.meta.url).href;
    const start = () =>
      new Promise<string>((resolve, reject) => {
        const worker = new Worker(START_TOGETHER, { eval: true, workerData: { module, dir, gate, COUNT } });
        worker.once('message', resolve).once('error', reject);
      });
    const keys = await Promise.all(Array.from({ length: COUNT }, start));
    t.equal(new Set(keys).size, 1);
    t.equal(keys[0], keyOf(dir));
    t.strictSame(readdirSync(dir), ['signing-key']);
  });
});

/** Waits at the gate for the others, then reads the settings. */
const START_TOGETHER = `
const { parentPort, workerData } = require('node:worker_threads');
const { module: url, dir, gate, COUNT } = workerData;
const arrived = new Int32Array(gate);
import(url).then(({ loadConfig }) => {
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < COUNT) {}
  parentPort.postMessage(loadConfig({ LATCHKEY_DATA_DIR: dir }).jwt.signingKey);
});`;
