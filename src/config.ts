import { randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import type { VerificationMode } from './accounts/email-verification.js';
import { LOCALES, type Locale } from './contract/messages.js';
import type { EmailSettings } from './delivery/create-email-provider.js';
import type { SmsSettings } from './delivery/create-sms-provider.js';
import { readSender } from './delivery/email.js';
import { readSmtpUrl } from './delivery/smtp-url.js';
import type { ParameterStore } from './lambda/parameters.js';
import { deepFreeze } from './lib/deep-freeze.js';
import { LOG_FORMATS, type LogFormat } from './lib/log-lines.js';
import { isLoopback, type Network, readAddress, readNetwork } from './lib/network.js';
import { isPhoneRegion, readPhoneNumber } from './otp/phone-number.js';
import type { TrustProxy } from './security/client-address.js';
import {
  ALGORITHMS,
  type Algorithm,
  isHmac,
  KeyError,
  MIN_SECRET_BYTES,
  readKeySet,
  readSingleKey,
  readVerifyingKey,
  type VerifyingKey,
} from './tokens/key-set.js';
import type { Limit } from './tokens/state-store.js';

/** The service's settings, read once from the environment, checked and frozen. Durations are seconds. */
export interface Config {
  readonly production: boolean;
  /** On AWS Lambda: nothing runs after an answer, and the process may stand still until the next request. */
  readonly lambda: boolean;
  /** There: the instance is started before anybody asks (provisioned concurrency). */
  readonly startsAhead: boolean;
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
  /** Tokens that SimpleJWT signed: by which key, and until when they are taken (seconds since the epoch). */
  readonly legacyTokens: { readonly key: VerifyingKey; readonly until: number | undefined } | undefined;
  /** Whether the compatibility routes take `Authorization: Token <key>` of the Django REST Framework. */
  readonly drfTokens: boolean;
  readonly accessLifetime: number;
  readonly refreshLifetime: number;
  readonly sessionMaxLifetime: number;
  readonly corsOrigins: readonly string[];
  /** Who is believed about where a request comes from. */
  readonly trustProxy: TrustProxy;
  readonly limits: {
    readonly login: Limit | undefined;
    readonly loginIp: Limit | undefined;
    readonly refresh: Limit | undefined;
    readonly passwordReset: Limit | undefined;
    readonly anon: Limit | undefined;
    readonly user: Limit | undefined;
  };
  readonly otp: OtpSettings;
  /** Who brings text messages to phones; without one there is no sign-in by phone. */
  readonly sms: SmsSettings | undefined;
  /** Who brings e-mails to people; without one there are no links. */
  readonly email: EmailSettings | undefined;
  readonly emailVerification: VerificationMode;
  readonly defaultLocale: Locale;
  readonly registration: 'open' | 'closed';
  readonly defaultRole: string;
  readonly userTypes: readonly string[];
  readonly passwordBlocklist: boolean;
  /** Serve the pages for people. */
  readonly pages: boolean;
  readonly compat: {
    /** The routes of the systems that Latchkey takes over from. */
    readonly routes: boolean;
    /** Whether /api/token/refresh/ gives a new refresh token, or leaves the one that was sent in force. */
    readonly rotation: boolean;
  };
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Days that security events are kept; `undefined`: for ever. */
  readonly eventRetentionDays: number | undefined;
  /** base64 of 32 bytes each: the first encrypts personal fields of events, all of them decrypt. */
  readonly dataKeys: readonly string[];
  /** Who is told of attacks. */
  readonly alertWebhook: { readonly url: string; readonly secret: string } | undefined;
  /** Whoever shows it may read the metrics; without one only this machine may. */
  readonly metricsToken: string | undefined;
  /** What works but should not stay so; told at the start. */
  readonly warnings: readonly string[];
}

/** One-time codes by phone. `undefined` where a limit is off. */
export interface OtpSettings {
  /** Digits. */
  readonly length: number;
  readonly lifetime: number;
  /** Wrong tries per code, and per number in any hour across its codes. */
  readonly maxAttempts: number;
  readonly attemptsPerHour: number;
  /** Waits after the first, second, … send to a number; the last one repeats. Empty: none. */
  readonly resend: readonly number[];
  readonly sendsPerHour: number | undefined;
  readonly sendsPerDay: number | undefined;
  readonly sendsPerIpHour: number | undefined;
  readonly spendGuard: 'record' | 'deny' | 'off';
  /** Sends a day in all. */
  readonly dailyCap: number | undefined;
  /** ISO 3166 alpha-2, or `001` for numbers of no country. `undefined`: every country but those denied. */
  readonly allowedCountries: readonly string[] | undefined;
  readonly deniedCountries: readonly string[];
  /** Numbers in E.164 and the codes that they always get. */
  readonly testNumbers: ReadonlyMap<string, string>;
  /** Where a number without a country code belongs. */
  readonly phoneRegion: string;
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
 * Reads the settings. In embedded mode this makes the data directory and, once, a random signing key in it, unless
 * somebody `onlyLooks`.
 * @throws ConfigError naming every variable that cannot be used.
 */
export function loadConfig(env: Env = process.env, { onlyLooks = false } = {}): Config {
  const read = createReader(env);
  const production = env.NODE_ENV === 'production';
  // AWS sets it for every function, and reserves its name.
  const lambda = read.text('AWS_LAMBDA_FUNCTION_NAME') !== undefined;

  for (const [name, value] of Object.entries(env)) {
    // A name that is known would become a key that is known.
    if (REFERENCE.test(value ?? ''))
      read.fault(`${name} names a parameter, which is looked up on Lambda only`);
  }
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
  if (lambda && databaseUrl === undefined) {
    read.fault('DATABASE_URL and REDIS_URL are required on Lambda: what it writes to disk is lost');
  } else if (production && databaseUrl === undefined && read.text('LATCHKEY_ALLOW_EMBEDDED') !== '1') {
    read.fault('DATABASE_URL and REDIS_URL are required in production (or set LATCHKEY_ALLOW_EMBEDDED=1)');
  }

  const host = read.text('HOST') ?? '127.0.0.1';
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

  const config: Omit<Config, 'jwt' | 'legacyTokens' | 'warnings'> = {
    production,
    lambda,
    startsAhead: read.text('AWS_LAMBDA_INITIALIZATION_TYPE') === 'provisioned-concurrency',
    host,
    port,
    publicUrl: read.url('PUBLIC_URL', `http://localhost:${port}`),
    databaseUrl,
    redisUrl,
    redisCluster,
    redisPrefix: read.text('REDIS_PREFIX') ?? 'latchkey:',
    dataDir,
    embedded,
    migrate: read.flag('MIGRATE', !lambda),
    accessLifetime,
    refreshLifetime,
    sessionMaxLifetime,
    corsOrigins: read.origins('CORS_ORIGINS'),
    trustProxy: readTrustProxy(read, lambda),
    limits: {
      login,
      loginIp: login && loginIp,
      refresh: read.limit('RATE_LIMIT_REFRESH', { max: 10, windowMs: 60_000 }),
      passwordReset: read.limit('RATE_LIMIT_PASSWORD_RESET', { max: 3, windowMs: 3_600_000 }),
      anon: read.limit('RATE_LIMIT_ANON', { max: 100, windowMs: 3_600_000 }),
      user: read.limit('RATE_LIMIT_USER', { max: 1000, windowMs: 3_600_000 }),
    },
    otp: readOtp(read),
    sms: readSms(read, { production, isPublic: lambda || !isLoopbackHost(host) }),
    email: readEmail(read, { production, isPublic: lambda || !isLoopbackHost(host) }),
    emailVerification: read.oneOf('EMAIL_VERIFICATION', ['off', 'optional', 'required'] as const, 'off'),
    defaultLocale: read.oneOf('DEFAULT_LOCALE', LOCALES, 'en'),
    registration: read.oneOf('REGISTRATION', ['open', 'closed'] as const, 'open'),
    defaultRole: read.text('DEFAULT_ROLE') ?? 'viewer',
    userTypes: read.list('USER_TYPES', ['individual', 'business']),
    passwordBlocklist: read.flag('PASSWORD_BLOCKLIST', true),
    pages: read.flag('PAGES', true),
    compat: { routes: read.flag('COMPAT_ROUTES', true), rotation: read.flag('COMPAT_ROTATION', true) },
    logLevel: read.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
    logFormat: read.oneOf('LOG_FORMAT', LOG_FORMATS, 'json'),
    eventRetentionDays: read.count('EVENT_RETENTION_DAYS', 365, 36_500),
    dataKeys: read.dataKeys('DATA_ENCRYPTION_KEY'),
    alertWebhook: readAlertWebhook(read),
    metricsToken: read.metricsToken('METRICS_TOKEN'),
    drfTokens: read.flag('DRF_TOKENS', false),
  };
  if (production && !config.passwordBlocklist) read.fault('PASSWORD_BLOCKLIST=off is refused in production');
  if (config.emailVerification !== 'off' && !config.email)
    read.fault('EMAIL_VERIFICATION needs EMAIL_PROVIDER beside it: nobody could be sent a link');
  if (config.drfTokens && !config.compat.routes)
    read.fault('DRF_TOKENS needs COMPAT_ROUTES beside it: no other route takes such keys');
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
  if (lambda && jwt.keySet && 'path' in jwt.keySet)
    read.fault('JWT_KEYSET must be the set itself on Lambda: a file of the package never changes');
  const circumstances = {
    strict: production || lambda,
    shared: redisUrl !== undefined,
    hasSet: jwt.keySet !== undefined,
  };
  const { legacyTokens, legacyWarnings } = readLegacyTokens(read, circumstances.strict);
  const warnings = [
    ...judgeKey(givenKey, jwt.algorithm, circumstances, read.fault),
    ...legacyWarnings,
    ...judgeOtp(config.otp, production, read.fault),
    ...judgeProxy(config.trustProxy, { isPublic: lambda || !isLoopbackHost(host) }),
    ...(config.sms ? [] : ['SMS_PROVIDER is not set: nobody can sign in by phone, or be sent a code.']),
    ...(config.email ? [] : ['EMAIL_PROVIDER is not set: nobody can reset a password by e-mail.']),
  ];
  if (jwt.keySet) requireUsable('JWT_KEYSET', () => readKeySet(keySetText(jwt.keySet!)), read.fault);

  if (read.faults.length > 0) throw new ConfigError(read.faults);
  const makesKey = givenKey === undefined && !jwt.keySet;
  const usesDir = databaseUrl === undefined || makesKey;
  if (usesDir && (!onlyLooks || existsSync(dataDir))) makeDataDir(dataDir);
  const signingKey = makesKey ? findKey(dataDir, { orMake: !onlyLooks }) : givenKey;
  return deepFreeze({ ...config, jwt: { ...jwt, signingKey }, legacyTokens, warnings });
}

/** A setting that names a parameter of AWS Systems Manager instead of holding a value. */
const REFERENCE = /^\s*ssm:(.*\S)/;

type Fetch = (names: readonly string[], store: ParameterStore) => Promise<ReadonlyMap<string, string>>;

/**
 * As `loadConfig`, with the values of the parameters that settings name (`ssm:/latchkey/prod/jwt-signing-key`): so no
 * secret stands in the settings of a Lambda function, which many may read.
 */
export async function loadConfigOnLambda(fetch: Fetch, env: Env = process.env): Promise<Config> {
  const references = Object.entries(env).flatMap(([name, value]) => {
    const parameter = REFERENCE.exec(value ?? '')?.[1];
    return parameter === undefined ? [] : [{ name, parameter }];
  });
  if (references.length === 0) return loadConfig(env);
  const values = await fetch([...new Set(references.map(({ parameter }) => parameter))], {
    region: env.AWS_REGION ?? '',
    accessKeyId: env.AWS_ACCESS_KEY_ID ?? '',
    secretAccessKey: env.AWS_SECRET_ACCESS_KEY ?? '',
    sessionToken: env.AWS_SESSION_TOKEN,
    endpoint: env.AWS_ENDPOINT_URL_SSM,
  });
  const missing = references.filter(({ parameter }) => !values.has(parameter));
  if (missing.length > 0) {
    throw new ConfigError(missing.map(({ name }) => `${name} names a parameter that is not there`));
  }
  const found = references.map(({ name, parameter }) => [name, values.get(parameter)]);
  return loadConfig({ ...env, ...Object.fromEntries(found) });
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
  { strict, shared, hasSet }: { strict: boolean; shared: boolean; hasSet: boolean },
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
    if (strict) fault('JWT_SIGNING_KEY is required in production and on Lambda');
    return shared
      ? [
          'JWT_SIGNING_KEY is not set: this machine signs with a key of its own, which no other server accepts.',
        ]
      : [];
  }
  return judgeSecret('JWT_SIGNING_KEY (JWT_SECRET_KEY)', key, MIN_SECRET_BYTES[algorithm], strict, fault);
}

function judgeSecret(
  name: string,
  secret: string,
  minBytes: number,
  strict: boolean,
  fault: (text: string) => void,
): string[] {
  const weakness =
    Buffer.byteLength(secret) < minBytes
      ? `${name} is shorter than ${minBytes} bytes`
      : EXAMPLE_KEYS.test(secret)
        ? `${name} looks like an example out of documentation`
        : undefined;
  if (weakness === undefined) return [];
  if (strict) fault(weakness);
  return [`${weakness}: anybody may guess it and sign tokens. Production refuses it.`];
}

/** The old key is whatever that system was given: a Django secret has 50 characters, also where it signs HS512. */
function readLegacyTokens(
  read: Reader,
  strict: boolean,
): { legacyTokens: Config['legacyTokens']; legacyWarnings: string[] } {
  const text = read.text('LEGACY_JWT_KEY');
  const algorithm = read.oneOf('LEGACY_JWT_ALGORITHM', ALGORITHMS, 'HS256');
  const until = read.moment('LEGACY_JWT_UNTIL');
  if (text === undefined) {
    if (until !== undefined) read.fault('LEGACY_JWT_UNTIL needs LEGACY_JWT_KEY beside it');
    return { legacyTokens: undefined, legacyWarnings: [] };
  }
  let key: VerifyingKey | undefined;
  requireUsable('LEGACY_JWT_KEY', () => (key = readVerifyingKey(text, algorithm)), read.fault);
  const legacyWarnings = isHmac(algorithm)
    ? judgeSecret('LEGACY_JWT_KEY', text, MIN_KEY_BYTES, strict, read.fault)
    : [];
  if (until === undefined)
    legacyWarnings.push(
      'LEGACY_JWT_UNTIL is not set: tokens of the old system are taken for as long as it signs any.',
    );
  return { legacyTokens: key && { key, until }, legacyWarnings };
}

/** The widest networks that are private: 10.0.0.0/8 and fc00::/7. Anything wider takes in strangers. */
const MIN_PREFIX = { ipv4: 8, ipv6: 7 };

function readTrustProxy(read: Reader, lambda: boolean): TrustProxy {
  const form = 'none, apigateway, cloudfront, alb, or a comma-separated list of networks in CIDR notation';
  const trust = read.parse<TrustProxy>('TRUST_PROXY', { mode: 'none' }, form, (raw) => {
    if (raw === 'none' || raw === 'apigateway' || raw === 'cloudfront' || raw === 'alb') return { mode: raw };
    const networks = splitList(raw);
    return networks.length > 0 && networks.every(readNetwork) ? { mode: 'networks', networks } : undefined;
  });
  // There the gateway says in the event, and not in a header, who the caller is.
  if (lambda && trust.mode === 'alb') read.fault('TRUST_PROXY=alb is refused on Lambda');
  if (lambda && trust.mode === 'apigateway') return { mode: 'none' };
  const leavesOut = ({ address, bits }: Network): boolean => bits >= MIN_PREFIX[address.kind()];
  if (trust.mode === 'networks' && !trust.networks.every((network) => leavesOut(readNetwork(network)!)))
    read.fault('TRUST_PROXY trusts everybody, or nearly: name the networks of your own proxies');
  return trust;
}

/** No header tells CloudFront from somebody who knows what it sends; see `client-address.ts`. */
const judgeProxy = ({ mode }: TrustProxy, { isPublic }: { isPublic: boolean }): string[] =>
  mode === 'cloudfront' && isPublic
    ? [
        'TRUST_PROXY=cloudfront: whoever reaches this server around CloudFront can forge the address it comes from.',
      ]
    : [];

const isLoopbackHost = (host: string): boolean => {
  const address = readAddress(host);
  return address ? isLoopback(address) : host === 'localhost';
};

function readOtp(read: Reader): OtpSettings {
  const length = read.integer('OTP_LENGTH', 6, { min: 4, max: 10 });
  const region = 'a country by its ISO 3166 code, such as IR';
  const phoneRegion = read.parse('PHONE_REGION', 'IR', region, (raw) =>
    isPhoneRegion(raw) ? raw : undefined,
  );
  const allowedCountries = read.countries('OTP_COUNTRIES');
  const deniedCountries = read.countries('OTP_COUNTRIES_DENIED');
  if (allowedCountries && deniedCountries)
    read.fault('OTP_COUNTRIES and OTP_COUNTRIES_DENIED contradict each other: set one of them');
  return {
    length,
    lifetime: read.integer('OTP_LIFETIME_SECONDS', 300, { min: 1, max: 3600 }),
    maxAttempts: read.integer('OTP_MAX_ATTEMPTS', 5, { min: 1, max: 100 }),
    attemptsPerHour: read.integer('OTP_ATTEMPTS_PER_HOUR', 10, { min: 1, max: 10_000 }),
    resend: read.waits('OTP_RESEND', [30, 60, 120, 300]),
    sendsPerHour: read.count('OTP_SENDS_PER_HOUR', 5),
    sendsPerDay: read.count('OTP_SENDS_PER_DAY', 10),
    sendsPerIpHour: read.count('OTP_SENDS_PER_IP_HOUR', 20),
    spendGuard: read.oneOf('OTP_SPEND_GUARD', ['record', 'deny', 'off'] as const, 'record'),
    dailyCap: read.count('OTP_DAILY_CAP', 10_000, 1_000_000_000),
    allowedCountries,
    deniedCountries: deniedCountries ?? [],
    testNumbers: readTestNumbers(read, phoneRegion, length),
    phoneRegion,
  };
}

function readTestNumbers(read: Reader, region: string, length: number): OtpSettings['testNumbers'] {
  const form =
    'pairs such as 09123456789:123456, comma-separated: mobile numbers, each once, and codes of OTP_LENGTH digits';
  const isCode = new RegExp(`^\\d{${length}}$`);
  const pairs = read.parse<[string, string][]>('OTP_TEST_NUMBERS', [], form, (raw) => {
    const items = splitList(raw);
    const known = items.flatMap((pair): [string, string][] => {
      const [number = '', code = '', ...rest] = pair.split(':').map((part) => part.trim());
      const e164 = readPhoneNumber(number, region)?.e164;
      return e164 !== undefined && isCode.test(code) && rest.length === 0 ? [[e164, code]] : [];
    });
    return known.length === items.length && new Map(known).size === items.length ? known : undefined;
  });
  return frozenMap(pairs);
}

/** NIST SP 800-63B §5.1.3.2: about 20 bits. */
const MIN_CODE_LENGTH = 6;
/** The chance of guessing a code of one number within an hour, however many codes it is sent. */
const MAX_GUESSED_PER_HOUR = 1 / 10_000;

/** Says what makes codes easy to guess or known to others; production refuses it. */
function judgeOtp(otp: OtpSettings, production: boolean, fault: (text: string) => void): string[] {
  const weaknesses: string[] = [];
  if (otp.length < MIN_CODE_LENGTH)
    weaknesses.push(`OTP_LENGTH is below ${MIN_CODE_LENGTH}: codes are easy to guess`);
  else if (otp.attemptsPerHour / 10 ** otp.length > MAX_GUESSED_PER_HOUR)
    weaknesses.push(
      'OTP_ATTEMPTS_PER_HOUR is too high for codes of OTP_LENGTH digits: they are easy to guess',
    );
  if (otp.testNumbers.size > 0)
    weaknesses.push('OTP_TEST_NUMBERS is set: whoever knows its codes signs in with those numbers');
  if (production) for (const weakness of weaknesses) fault(`${weakness}. Production refuses it`);
  return weaknesses.map((weakness) => `${weakness}. Production refuses it.`);
}

const SMS_PROVIDERS = ['console', 'sns', 'twilio', 'kavenegar', 'webhook'] as const;

/** What a provider cannot do without. */
const SMS_NEEDS: Record<SmsSettings['provider'], readonly string[]> = {
  console: [],
  sns: [],
  twilio: ['TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'TWILIO_FROM'],
  kavenegar: ['KAVENEGAR_API_KEY'],
  webhook: ['WEBHOOK_URL', 'WEBHOOK_SECRET'],
};

/** Messages that stay on this machine must not look like delivery: elsewhere no provider means none. */
function readSms(
  read: Reader,
  { production, isPublic }: { production: boolean; isPublic: boolean },
): SmsSettings | undefined {
  const settings: { [Name in SmsSettings['provider']]: SmsSettings & { provider: Name } } = {
    console: { provider: 'console' },
    sns: { provider: 'sns', region: read.text('AWS_REGION'), senderId: read.text('SNS_SENDER_ID') },
    twilio: {
      provider: 'twilio',
      accountSid: read.text('TWILIO_ACCOUNT_SID') ?? '',
      authToken: read.text('TWILIO_AUTH_TOKEN') ?? '',
      from: read.text('TWILIO_FROM') ?? '',
    },
    kavenegar: {
      provider: 'kavenegar',
      apiKey: read.text('KAVENEGAR_API_KEY') ?? '',
      sender: read.text('KAVENEGAR_SENDER'),
      template: read.text('KAVENEGAR_TEMPLATE'),
    },
    webhook: {
      provider: 'webhook',
      url: read.webhook('WEBHOOK_URL') ?? '',
      secret: read.webhookSecret('WEBHOOK_SECRET') ?? '',
    },
  };
  const isUnset = read.text('SMS_PROVIDER') === undefined;
  const provider = read.oneOf('SMS_PROVIDER', SMS_PROVIDERS, 'console');
  if (isUnset) return production || isPublic ? undefined : settings.console;
  if (provider === 'console' && production) read.fault('SMS_PROVIDER=console is refused in production');
  const missing = SMS_NEEDS[provider].filter((name) => read.text(name) === undefined);
  if (missing.length > 0) read.fault(`SMS_PROVIDER needs ${missing.join(' and ')} beside it`);
  return settings[provider];
}

/** As with text messages. */
function readEmail(
  read: Reader,
  { production, isPublic }: { production: boolean; isPublic: boolean },
): EmailSettings | undefined {
  const from = read.usable('EMAIL_FROM', 'an address, or a name and an address: Name <address>', readSender);
  const form =
    'smtp://user:password@host:port or smtps://, percent-encoded, and ?tls=off or ?tls=required at most';
  const url = read.usable('SMTP_URL', form, readSmtpUrl);
  const isUnset = read.text('EMAIL_PROVIDER') === undefined;
  const provider = read.oneOf('EMAIL_PROVIDER', ['console', 'smtp', 'ses'] as const, 'console');
  if (isUnset) return production || isPublic ? undefined : { provider: 'console' };
  if (provider === 'console') {
    if (production) read.fault('EMAIL_PROVIDER=console is refused in production');
    return { provider };
  }
  const needed = provider === 'smtp' ? ['SMTP_URL', 'EMAIL_FROM'] : ['EMAIL_FROM'];
  const missing = needed.filter((name) => read.text(name) === undefined);
  if (missing.length > 0) read.fault(`EMAIL_PROVIDER needs ${missing.join(' and ')} beside it`);
  return provider === 'smtp'
    ? { provider, url: url ?? '', from: from ?? '' }
    : { provider, region: read.text('AWS_REGION'), from: from ?? '' };
}

/**
 * Not where text messages go: whoever may read alerts must not be able to have codes sent, nor the other way round.
 */
function readAlertWebhook(read: Reader): Config['alertWebhook'] {
  const url = read.webhook('ALERT_WEBHOOK_URL');
  const secret = read.webhookSecret('ALERT_WEBHOOK_SECRET');
  const isSet = (name: string): boolean => read.text(name) !== undefined;
  if (isSet('ALERT_WEBHOOK_URL') !== isSet('ALERT_WEBHOOK_SECRET'))
    read.fault('ALERT_WEBHOOK_URL and ALERT_WEBHOOK_SECRET need each other');
  return url === undefined || secret === undefined ? undefined : { url, secret };
}

/** Standard Webhooks 1.0.0 asks for 24 to 64 random bytes, and writes them as `whsec_` and base64. */
const MIN_WEBHOOK_SECRET_BYTES = 24;

/** Characters: beyond guessing if they are random. */
const MIN_METRICS_TOKEN = 16;

function countSecretBytes(secret: string): number {
  if (!secret.startsWith('whsec_')) return Buffer.byteLength(secret);
  const base64 = secret.slice('whsec_'.length);
  return /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? Buffer.from(base64, 'base64').length : 0;
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
function findKey(dataDir: string, { orMake }: { orMake: boolean }): string | undefined {
  const path = join(dataDir, 'signing-key');
  if (existsSync(path)) return readKey(path);
  if (!orMake) return undefined;
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
  let key: string;
  try {
    key = readFileSync(path, 'utf8').trim();
  } catch (error) {
    // Another user of this machine made it, by a command of theirs.
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError([`signing-key in LATCHKEY_DATA_DIR cannot be read (${code})`]);
  }
  if (Buffer.byteLength(key) >= MIN_KEY_BYTES) return key;
  throw new ConfigError([
    `signing-key in LATCHKEY_DATA_DIR is shorter than ${MIN_KEY_BYTES} bytes: delete it to get a new one`,
  ]);
}

const readDataDir = (path: string): string => (isAbsolute(path) ? path : resolve(path));

type Reader = ReturnType<typeof createReader>;

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
    parse(name, fallback, `a whole number from ${min} to ${max}`, (raw) => parseInteger(raw, min, max));

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

  /** How many at most; `undefined` for `off`. */
  function count(name: string, fallback: number, max = 100_000): number | undefined {
    const form = `a whole number from 1 to ${max}, or off`;
    const value = parse<number | 'off'>(name, fallback, form, (raw) =>
      raw === 'off' ? raw : parseInteger(raw, 1, max),
    );
    return value === 'off' ? undefined : value;
  }

  const waits = (name: string, fallback: readonly number[]): readonly number[] =>
    parse(name, fallback, 'a comma-separated list of seconds from 1 to 86400, or off', (raw) => {
      if (raw === 'off') return [];
      const all = splitList(raw).map((item) => parseInteger(item, 1, 86_400));
      return all.length > 0 && all.every((item) => item !== undefined) ? all : undefined;
    });

  const countries = (name: string): readonly string[] | undefined =>
    parse<readonly string[] | undefined>(
      name,
      undefined,
      'a comma-separated list of countries by their ISO 3166 codes, such as IR,AE; 001 for numbers of none',
      (raw) => {
        const all = splitList(raw);
        return all.length > 0 && all.every((code) => code === '001' || isPhoneRegion(code)) ? all : undefined;
      },
    );

  const webhook = (name: string): string | undefined =>
    parse<string | undefined>(name, undefined, 'an https:// URL, or http:// on this machine', (raw) => {
      const value = parseUrl(raw);
      if (!value || value.username || value.password) return undefined;
      const isLocal =
        value.protocol === 'http:' && isLoopbackHost(value.hostname.replace(/^\[(.*)\]$/, '$1'));
      return value.protocol === 'https:' || isLocal ? raw : undefined;
    });

  const webhookSecret = (name: string): string | undefined =>
    parse<string | undefined>(
      name,
      undefined,
      `a secret of at least ${MIN_WEBHOOK_SECRET_BYTES} bytes`,
      (raw) => (countSecretBytes(raw) >= MIN_WEBHOOK_SECRET_BYTES ? raw : undefined),
    );

  /** A text of which `use` can make something; what it says of another may quote it, and is not told. */
  const usable = (name: string, form: string, use: (raw: string) => unknown): string | undefined =>
    parse<string | undefined>(name, undefined, form, (raw) => {
      try {
        use(raw);
        return raw;
      } catch {
        return undefined;
      }
    });

  /** In seconds since the epoch. */
  const moment = (name: string): number | undefined =>
    parse<number | undefined>(
      name,
      undefined,
      'a date or a time in UTC such as 2030-01-31 or 2030-01-31T12:00:00Z, or seconds since the epoch',
      parseMoment,
    );

  const metricsToken = (name: string): string | undefined =>
    parse<string | undefined>(
      name,
      undefined,
      `at least ${MIN_METRICS_TOKEN} characters that a header can hold, without blanks`,
      (raw) => (raw.length >= MIN_METRICS_TOKEN && /^[\x21-\x7e]+$/.test(raw) ? raw : undefined),
    );

  const dataKeys = (name: string): readonly string[] =>
    parse(name, [], 'base64 of 32 random bytes; several comma-separated, the newest first', (raw) => {
      const keys = splitList(raw);
      // Thirty-two random bytes that are fewer than sixteen different ones will not be met.
      const isKey = (key: string): boolean =>
        /^[A-Za-z0-9+/]{43}=$/.test(key) && new Set(Buffer.from(key, 'base64')).size >= 16;
      return keys.length > 0 && keys.every(isKey) && new Set(keys).size === keys.length ? keys : undefined;
    });

  return {
    ...{ faults, fault, text, parse, integer, oneOf, flag, list, alias, lifetime, limit, url, origins },
    ...{ count, waits, countries, webhook, webhookSecret, usable, moment, metricsToken, dataKeys },
  };
}

function parseInteger(raw: string, min: number, max: number): number | undefined {
  const value = Number(raw);
  return /^\d+$/.test(raw) && value >= min && value <= max ? value : undefined;
}

/** RFC 3339, or its date; without an offset it is UTC, wherever this machine stands. */
const MOMENT = /^\d{4}-\d\d-\d\d(?<time>[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(?<offset>Z|[+-]\d\d:\d\d)?)?$/;

/** Fewer seconds since the epoch were meant as something else, such as a year. */
const MIN_MOMENT = 1_000_000_000;

function parseMoment(raw: string): number | undefined {
  const seconds = parseInteger(raw, MIN_MOMENT, 8.64e12);
  if (seconds !== undefined) return seconds;
  const { time, offset } = MOMENT.exec(raw)?.groups ?? {};
  if (!MOMENT.test(raw)) return undefined;
  const ms = Date.parse(time && !offset ? `${raw}Z` : raw);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}

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

/** Freezing a Map leaves what it holds open to change. */
function frozenMap<K, V>(entries: Iterable<readonly [K, V]>): ReadonlyMap<K, V> {
  const map = new Map(entries);
  const refuse = (): never => {
    throw new TypeError('The settings cannot be changed');
  };
  for (const name of ['set', 'delete', 'clear']) Object.defineProperty(map, name, { value: refuse });
  return Object.freeze(map);
}
