import { randomBytes } from 'node:crypto';
import { accessSync, constants, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { isAbsolute, join, resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { LOCALES, type Locale } from './contract/messages.js';
import {
  ALGORITHMS,
  type Algorithm,
  isHmac,
  KeyError,
  MIN_SECRET_BYTES,
  readKeySet,
  readSingleKey,
} from './tokens/key-set.js';
import type { Limit } from './tokens/state-store.js';

/** The service's settings, read once from the environment, checked and frozen. Durations are seconds. */
export interface Config {
  readonly production: boolean;
  readonly host: string;
  readonly port: number;
  readonly publicUrl: URL;
  readonly databaseUrl: string | undefined;
  /** Of a cluster: those of some of its nodes, comma-separated. */
  readonly redisUrl: string | undefined;
  readonly redisCluster: boolean;
  readonly redisPrefix: string;
  readonly dataDir: string;
  /** No store outside this machine is configured. */
  readonly embedded: boolean;
  readonly migrate: boolean;
  readonly jwt: {
    /** A secret or a private key in PEM; beside a key set it only verifies what it signed before. */
    readonly signingKey: string | undefined;
    readonly algorithm: Algorithm;
    /** A private JWK Set, as text or as a file that is read again when it changes. */
    readonly keySet: { readonly json: string } | { readonly path: string } | undefined;
    readonly issuer: string;
    readonly audience: string | undefined;
    readonly leeway: number;
    readonly userIdClaim: 'id' | 'legacy_id';
  };
  readonly accessLifetime: number;
  readonly refreshLifetime: number;
  readonly sessionMaxLifetime: number;
  readonly corsOrigins: readonly string[];
  /** Networks whose `X-Forwarded-For` is believed; none by default. */
  readonly trustedProxies: readonly string[];
  readonly limits: {
    readonly login: Limit | undefined;
    readonly loginIp: Limit | undefined;
    readonly refresh: Limit | undefined;
    readonly anon: Limit | undefined;
    readonly user: Limit | undefined;
  };
  readonly defaultLocale: Locale;
  readonly registration: 'open' | 'closed';
  readonly defaultRole: string;
  readonly userTypes: readonly string[];
  readonly passwordBlocklist: boolean;
  readonly logLevel: LogLevel;
  /** What works but should not stay so; told at the start. */
  readonly warnings: readonly string[];
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Every setting that is at fault. The message names the variables and never their values. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`The settings cannot be used:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

type Env = Readonly<Record<string, string | undefined>>;

/** RFC 7518 §3.2: a key of at least the hash's size; 32 bytes for HS256. */
const MIN_KEY_BYTES = 32;

/** Keys that stand in somebody's documentation, hence in every attacker's list. */
const EXAMPLE_KEYS = /your[-_ ]|example|change[-_ ]?me|replace[-_ ]?me|django-insecure|placeholder|^(.)\1+$/i;

/**
 * Reads the settings. In embedded mode this makes the data directory and, once, a random signing key in it.
 * @throws ConfigError naming every variable that cannot be used.
 */
export function loadConfig(env: Env = process.env): Config {
  const read = createReader(env);
  const production = env.NODE_ENV === 'production';

  const databaseUrl = read.text('DATABASE_URL');
  const redisUrl = read.text('REDIS_URL');
  const redisCluster = read.oneOf('REDIS_CLUSTER', ['0', '1'], '0') === '1';
  const embedded = databaseUrl === undefined && redisUrl === undefined;
  if (databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(databaseUrl)) {
    read.fault('DATABASE_URL must be a postgres:// URL; leave it out for the embedded database');
  }
  if (databaseUrl !== undefined && redisUrl === undefined) {
    read.fault('DATABASE_URL needs REDIS_URL beside it: several servers cannot share state in a local file');
  }
  if (redisUrl !== undefined && !/^rediss?:\/\//.test(redisUrl)) {
    read.fault('REDIS_URL must be a redis:// or rediss:// URL');
  } else {
    judgeRedisNodes(splitList(redisUrl ?? ''), redisCluster, read.fault);
  }
  if (production && databaseUrl === undefined && read.text('LATCHKEY_ALLOW_EMBEDDED') !== '1') {
    read.fault('DATABASE_URL and REDIS_URL are required in production (or set LATCHKEY_ALLOW_EMBEDDED=1)');
  }

  const port = read.integer('PORT', 8000, { min: 1, max: 65_535 });
  const dataDir = readDataDir(read.text('LATCHKEY_DATA_DIR') ?? '.latchkey');
  const accessLifetime = read.lifetime(
    'ACCESS_TOKEN_LIFETIME_MINUTES',
    60,
    'JWT_ACCESS_TOKEN_LIFETIME',
    15 * 60,
  );
  const refreshLifetime = read.lifetime(
    'REFRESH_TOKEN_LIFETIME_DAYS',
    86_400,
    'JWT_REFRESH_TOKEN_LIFETIME',
    7 * 86_400,
  );
  const sessionMaxLifetime = read.integer('SESSION_MAX_LIFETIME_DAYS', 90, { min: 1, max: 3650 }) * 86_400;
  if (accessLifetime > refreshLifetime) {
    read.fault(
      'ACCESS_TOKEN_LIFETIME_MINUTES (JWT_ACCESS_TOKEN_LIFETIME) must not be longer than the refresh token lifetime',
    );
  }
  if (refreshLifetime > sessionMaxLifetime) {
    read.fault(
      'REFRESH_TOKEN_LIFETIME_DAYS (JWT_REFRESH_TOKEN_LIFETIME) must not be longer than SESSION_MAX_LIFETIME_DAYS',
    );
  }
  const login = read.limit('RATE_LIMIT_LOGIN', { max: 5, windowMs: 60_000 });
  const loginIp = read.limit('RATE_LIMIT_LOGIN_IP', { max: 30, windowMs: 5 * 60_000 });

  const config: Omit<Config, 'jwt' | 'warnings'> = {
    production,
    host: read.text('HOST') ?? '127.0.0.1',
    port,
    publicUrl: read.url('PUBLIC_URL', `http://localhost:${port}`),
    databaseUrl,
    redisUrl,
    redisCluster,
    redisPrefix: read.text('REDIS_PREFIX') ?? 'latchkey:',
    dataDir,
    embedded,
    migrate: read.flag('MIGRATE', true),
    accessLifetime,
    refreshLifetime,
    sessionMaxLifetime,
    corsOrigins: read.origins('CORS_ORIGINS'),
    trustedProxies: read.networks('TRUST_PROXY'),
    limits: {
      login,
      loginIp: login && loginIp,
      refresh: read.limit('RATE_LIMIT_REFRESH', { max: 10, windowMs: 60_000 }),
      anon: read.limit('RATE_LIMIT_ANON', { max: 100, windowMs: 3_600_000 }),
      user: read.limit('RATE_LIMIT_USER', { max: 1000, windowMs: 3_600_000 }),
    },
    defaultLocale: read.oneOf('DEFAULT_LOCALE', LOCALES, 'en'),
    registration: read.oneOf('REGISTRATION', ['open', 'closed'] as const, 'open'),
    defaultRole: read.text('DEFAULT_ROLE') ?? 'viewer',
    userTypes: read.list('USER_TYPES', ['individual', 'business']),
    passwordBlocklist: read.flag('PASSWORD_BLOCKLIST', true),
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  if (production && !config.passwordBlocklist) read.fault('PASSWORD_BLOCKLIST=off is refused in production');
  if (/[{}]/.test(config.redisPrefix))
    read.fault('REDIS_PREFIX must not contain braces: they mark the hash tag');

  const jwt = {
    algorithm: read.oneOf('JWT_ALGORITHM', ALGORITHMS, 'HS256'),
    keySet: readKeySetSource(read.text('JWT_KEYSET')),
    issuer: read.text('JWT_ISSUER') ?? 'latchkey',
    audience: read.text('JWT_AUDIENCE'),
    leeway: read.integer('JWT_LEEWAY', 0, { min: 0, max: 300 }),
    userIdClaim: read.oneOf('JWT_USER_ID', ['id', 'legacy_id'] as const, 'id'),
  };
  const givenKey = read.alias('JWT_SIGNING_KEY', 'JWT_SECRET_KEY');
  const circumstances = { production, shared: redisUrl !== undefined, hasSet: jwt.keySet !== undefined };
  const warnings = judgeKey(givenKey, jwt.algorithm, circumstances, read.fault);
  if (jwt.keySet) requireUsable('JWT_KEYSET', () => readKeySet(keySetText(jwt.keySet!)), read.fault);

  if (read.faults.length > 0) throw new ConfigError(read.faults);
  const makesKey = givenKey === undefined && !jwt.keySet;
  if (databaseUrl === undefined || makesKey) makeDataDir(dataDir);
  const signingKey = makesKey ? loadOrMakeKey(dataDir) : givenKey;
  return deepFreeze({ ...config, jwt: { ...jwt, signingKey }, warnings });
}

/** By the one variable that libraries read too. */
export const runsInProduction = (): boolean => process.env.NODE_ENV === 'production';

/** What the key commands need to know: they must work where the service's other settings are not at hand. */
export function loadKeySettings(env: Env = process.env): {
  keySetFile: string | undefined;
  longestTokenLife: number;
} {
  const read = createReader(env);
  const week = 7 * 86_400;
  const refreshLifetime = read.lifetime(
    'REFRESH_TOKEN_LIFETIME_DAYS',
    86_400,
    'JWT_REFRESH_TOKEN_LIFETIME',
    week,
  );
  const leeway = read.integer('JWT_LEEWAY', 0, { min: 0, max: 300 });
  if (read.faults.length > 0) throw new ConfigError(read.faults);
  return { keySetFile: read.text('JWT_KEYSET'), longestTokenLife: refreshLifetime + leeway };
}

const readKeySetSource = (raw: string | undefined): Config['jwt']['keySet'] =>
  raw === undefined ? undefined : raw.startsWith('{') ? { json: raw } : { path: resolve(raw) };

const keySetText = (source: NonNullable<Config['jwt']['keySet']>): string =>
  'json' in source ? source.json : readFileSync(source.path, 'utf8');

function requireUsable(name: string, use: () => unknown, fault: (text: string) => void): void {
  try {
    use();
  } catch (error) {
    if (error instanceof KeyError) fault(`${name}: ${error.message}`);
    else fault(`${name}: the file cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** What REDIS_URL names must be what REDIS_CLUSTER says it is. */
function judgeRedisNodes(nodes: readonly string[], isCluster: boolean, fault: (text: string) => void): void {
  if (!isCluster && nodes.length > 1)
    fault('REDIS_URL names several nodes: set REDIS_CLUSTER=1 (a comma in a password is written %2C)');
  if (isCluster && nodes.length === 0) fault('REDIS_CLUSTER needs REDIS_URL beside it');
  const urls = isCluster ? nodes.map(parseUrl) : [];
  const agrees = (url: URL | undefined): boolean =>
    !!url?.hostname &&
    url.protocol === urls[0]?.protocol &&
    ['', urls[0].username].includes(url.username) &&
    ['', urls[0].password].includes(url.password) &&
    ['', '/', '/0'].includes(url.pathname);
  if (!urls.every(agrees))
    fault(
      'REDIS_URL must name the nodes of a cluster all by redis:// or all by rediss://, with one user name and password for all in the first, and without a database',
    );
}

/** Says what is weak about the key; production refuses it. */
function judgeKey(
  key: string | undefined,
  algorithm: Algorithm,
  { production, shared, hasSet }: { production: boolean; shared: boolean; hasSet: boolean },
  fault: (text: string) => void,
): string[] {
  if (key !== undefined)
    requireUsable('JWT_SIGNING_KEY (JWT_SECRET_KEY)', () => readSingleKey(key, algorithm), fault);
  if (!isHmac(algorithm)) {
    if (key === undefined && !hasSet)
      fault(
        'JWT_ALGORITHM: a public-key algorithm needs JWT_KEYSET, or a private key in PEM in JWT_SIGNING_KEY',
      );
    return [];
  }
  if (key === undefined && hasSet) return [];
  if (key === undefined) {
    if (production) fault('JWT_SIGNING_KEY is required in production');
    return shared
      ? [
          'JWT_SIGNING_KEY is not set: this machine signs with a key of its own, which no other server accepts.',
        ]
      : [];
  }
  const minBytes = MIN_SECRET_BYTES[algorithm];
  const weakness =
    Buffer.byteLength(key) < minBytes
      ? `JWT_SIGNING_KEY (JWT_SECRET_KEY) is shorter than ${minBytes} bytes`
      : EXAMPLE_KEYS.test(key)
        ? 'JWT_SIGNING_KEY (JWT_SECRET_KEY) looks like an example out of documentation'
        : undefined;
  if (weakness === undefined) return [];
  if (production) fault(weakness);
  return [`${weakness}: anybody may guess it and sign tokens. Production refuses it.`];
}

function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError([`LATCHKEY_DATA_DIR must be a directory that this process may write to (${code})`]);
  }
}

/** The embedded mode's own key: made once, also when two processes start at the same moment. */
function loadOrMakeKey(dataDir: string): string {
  const path = join(dataDir, 'signing-key');
  try {
    return readKey(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  writeFileSync(draft, `${randomBytes(48).toString('base64url')}\n`, { mode: 0o600 });
  try {
    // A link appears whole or not at all, and never replaces another process's key.
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft);
  }
  return readKey(path);
}

function readKey(path: string): string {
  const key = readFileSync(path, 'utf8').trim();
  if (Buffer.byteLength(key) >= MIN_KEY_BYTES) return key;
  throw new ConfigError([
    `signing-key in LATCHKEY_DATA_DIR is shorter than ${MIN_KEY_BYTES} bytes: delete it to get a new one`,
  ]);
}

const readDataDir = (path: string): string => (isAbsolute(path) ? path : resolve(path));

/** Reads single variables; what is wrong is collected, so that one start tells all of it. An empty one is unset. */
function createReader(env: Env) {
  const faults: string[] = [];
  const fault = (text: string): void => {
    faults.push(text);
  };

  const text = (name: string): string | undefined => env[name]?.trim() || undefined;

  function parse<T>(name: string, fallback: T, what: string, parser: (raw: string) => T | undefined): T {
    const raw = text(name);
    if (raw === undefined) return fallback;
    const value = parser(raw);
    if (value === undefined) fault(`${name} must be ${what}`);
    return value ?? fallback;
  }

  const integer = (name: string, fallback: number, { min, max }: { min: number; max: number }): number =>
    parse(name, fallback, `a whole number from ${min} to ${max}`, (raw) => {
      const value = Number(raw);
      return /^\d+$/.test(raw) && value >= min && value <= max ? value : undefined;
    });

  const oneOf = <T extends string>(name: string, values: readonly T[], fallback: T): T =>
    parse(name, fallback, `one of ${values.join(', ')}`, (raw) => values.find((value) => value === raw));

  const flag = (name: string, fallback: boolean): boolean =>
    parse(name, fallback, 'on or off', (raw) => FLAGS.get(raw));

  const list = (name: string, fallback: readonly string[]): readonly string[] =>
    parse(name, fallback, 'a comma-separated list', (raw) => {
      const items = splitList(raw);
      return items.length > 0 ? items : undefined;
    });

  /** Two names of one setting; both may be set if they agree. */
  function alias(name: string, other: string): string | undefined {
    const [first, second] = [text(name), text(other)];
    if (first !== undefined && second !== undefined && first !== second) {
      fault(`${name} and ${other} contradict each other: set one of them`);
    }
    return first ?? second;
  }

  /** A lifetime in a unit of its own, or in seconds under another name. */
  function lifetime(name: string, unit: number, inSeconds: string, fallback: number): number {
    const max = 3650 * 86_400;
    const first = integer(name, 0, { min: 1, max: max / unit }) * unit;
    const second = integer(inSeconds, 0, { min: 1, max });
    if (first && second && first !== second)
      fault(`${name} and ${inSeconds} contradict each other: set one of them`);
    return first || second || fallback;
  }

  function limit(name: string, fallback: Limit): Limit | undefined {
    const form = 'N/[n]second|minute|hour|day, such as 5/minute, or off';
    const value = parse<Limit | 'off'>(name, fallback, form, parseLimit);
    return value === 'off' ? undefined : value;
  }

  const url = (name: string, fallback: string): URL =>
    parse(name, new URL(fallback), 'an http:// or https:// URL', (raw) => {
      const value = parseUrl(raw);
      return value && /^https?:$/.test(value.protocol) && !value.username && !value.password
        ? value
        : undefined;
    });

  const origins = (name: string): readonly string[] =>
    parse(
      name,
      [],
      'a comma-separated list of origins such as https://app.example.com, never * or null',
      (raw) => {
        const all = splitList(raw);
        return all.every((origin) => origin !== 'null' && parseUrl(origin)?.origin === origin)
          ? all
          : undefined;
      },
    );

  const networks = (name: string): readonly string[] =>
    parse(name, [], 'none, or a comma-separated list of networks in CIDR notation', (raw) => {
      if (raw === 'none') return [];
      const all = splitList(raw);
      return all.every(isNetwork) ? all : undefined;
    });

  return { faults, fault, text, integer, oneOf, flag, list, alias, lifetime, limit, url, origins, networks };
}

/** An address or a network. ipaddr.js alone would take a hop count for an address: `1` as 0.0.0.1. */
const isNetwork = (text: string): boolean => {
  const [address = '', ...bits] = text.split('/');
  return isIP(address) !== 0 && (bits.length === 0 || ipaddr.isValidCIDR(text));
};

const parseUrl = (raw: string): URL | undefined => (URL.canParse(raw) ? new URL(raw) : undefined);

const splitList = (raw: string): string[] =>
  raw
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

const FLAGS = new Map([
  ['on', true],
  ['off', false],
]);

const UNIT_MS = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

function parseLimit(raw: string): Limit | 'off' | undefined {
  if (raw === 'off') return 'off';
  const match = /^([1-9]\d{0,8})\/(\d{0,4})(second|minute|hour|day)s?$/.exec(raw);
  if (!match) return undefined;
  const [, max, times, unit] = match;
  const windowMs = (times ? Number(times) : 1) * UNIT_MS[unit as keyof typeof UNIT_MS];
  return windowMs > 0 ? { max: Number(max), windowMs } : undefined;
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null && !(inner instanceof URL)) deepFreeze(inner);
  }
  return Object.freeze(value);
}
