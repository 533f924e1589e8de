import type { User } from './accounts/user.js';
import { type Config, ConfigError, loadConfig, runsInProduction } from './config.js';
import type { Locale } from './contract/messages.js';
import type { Clock } from './lib/clock.js';
import type { Algorithm } from './tokens/key-set.js';

/** `5/minute`, `30/5minute`, or `off`. */
export type LimitText = 'off' | `${number}/${string}`;

/** The settings of the service (the README's table), under names for code: `JWT_SIGNING_KEY` is `jwtSigningKey`. */
export interface LatchkeySettings {
  /** Refuse the embedded stores and weak signing keys; by default as `NODE_ENV` has it. */
  production?: boolean;
  /** The application as its callers see it; for the refresh cookie. */
  publicUrl?: string;
  /** `postgres://…`; without it accounts live in SQLite. */
  databaseUrl?: string;
  /** `redis://…` or `rediss://…`; without it state lives in SQLite. */
  redisUrl?: string;
  /** The URL is one of a cluster's nodes, or several of them, comma-separated. */
  redisCluster?: boolean;
  /** What every key starts with. */
  redisPrefix?: string;
  /** Of the embedded stores: the database and the signing key. */
  dataDir?: string;
  /** The embedded stores in production. */
  allowEmbedded?: boolean;
  /** Bring the schema up to date before anything else. */
  migrate?: boolean;
  /** At least 32 random bytes, or a private key in PEM. */
  jwtSigningKey?: string;
  jwtAlgorithm?: Algorithm;
  /** A private JWK Set: a file, or the set itself. */
  jwtKeyset?: string | { keys: object[] };
  jwtIssuer?: string;
  jwtAudience?: string;
  /** Seconds of grace on `exp` and `nbf`. */
  jwtLeeway?: number;
  /** What the claim `user_id` holds. */
  jwtUserId?: 'id' | 'legacy_id';
  /** Takes tokens that SimpleJWT signed by this: a secret, or a public key in PEM. */
  legacyJwtKey?: string;
  legacyJwtAlgorithm?: Algorithm;
  /** A date or a time in UTC, or seconds since the epoch. */
  legacyJwtUntil?: string | number;
  /** `Authorization: Token <key>` on the compatibility routes. */
  drfTokens?: boolean;
  accessTokenLifetimeMinutes?: number;
  refreshTokenLifetimeDays?: number;
  sessionMaxLifetimeDays?: number;
  /** Of Latchkey's own routes. */
  corsOrigins?: readonly string[];
  rateLimitLogin?: LimitText;
  rateLimitLoginIp?: LimitText;
  rateLimitRefresh?: LimitText;
  /** Links asked for per recipient and per address. */
  rateLimitPasswordReset?: LimitText;
  rateLimitUser?: LimitText;
  rateLimitAnon?: LimitText;
  /** Digits of a one-time code. */
  otpLength?: number;
  otpLifetimeSeconds?: number;
  /** Wrong tries per code, and per number in any hour across its codes. */
  otpMaxAttempts?: number;
  otpAttemptsPerHour?: number;
  /** Seconds to wait after the first, second, … code sent to a number. */
  otpResend?: 'off' | readonly number[];
  /** Codes sent to a number in any hour and any day, and asked for from an address in any hour. */
  otpSendsPerHour?: number | 'off';
  otpSendsPerDay?: number | 'off';
  otpSendsPerIpHour?: number | 'off';
  /** What happens to sends that look like somebody earning money with them. */
  otpSpendGuard?: 'record' | 'deny' | 'off';
  /** Codes sent a day in all. */
  otpDailyCap?: number | 'off';
  /** ISO 3166 alpha-2: only these, or all but these. */
  otpCountries?: readonly string[];
  otpCountriesDenied?: readonly string[];
  /** `09123456789:123456`, comma-separated: numbers that always get this code. */
  otpTestNumbers?: string;
  /** Where a number without a country code belongs. */
  phoneRegion?: string;
  /** Who brings text messages to phones. */
  smsProvider?: 'console' | 'sns' | 'twilio' | 'kavenegar' | 'webhook';
  awsRegion?: string;
  snsSenderId?: string;
  twilioAccountSid?: string;
  twilioAuthToken?: string;
  twilioFrom?: string;
  kavenegarApiKey?: string;
  kavenegarSender?: string;
  kavenegarTemplate?: string;
  webhookUrl?: string;
  /** At least 24 bytes, as text or as `whsec_` and base64. */
  webhookSecret?: string;
  /** Who brings e-mails to people. */
  emailProvider?: 'console' | 'smtp' | 'ses';
  /** `smtp://user:password@host:587`, or `smtps://`. */
  smtpUrl?: string;
  /** An address, or `Name <address>`. */
  emailFrom?: string;
  /** Whether a new address is to be confirmed, before anybody signs in or at leisure. */
  emailVerification?: 'off' | 'optional' | 'required';
  /** At least 16 characters: the bearer token of `GET /metrics`, which without it only this machine may read. */
  metricsToken?: string;
  registration?: 'open' | 'closed';
  /** The role of a new account. */
  defaultRole?: string;
  userTypes?: readonly string[];
  passwordBlocklist?: boolean;
  /** The routes of the systems that Latchkey takes over from. */
  compatRoutes?: boolean;
  /** Whether their refresh gives a new refresh token. */
  compatRotation?: boolean;
  defaultLocale?: Locale;
  /** Days that security events are kept. */
  eventRetentionDays?: number | 'off';
  /** base64 of 32 random bytes; several comma-separated, the newest first. */
  dataEncryptionKey?: string;
  /** Who is told of attacks; the secret is like `webhookSecret`. */
  alertWebhookUrl?: string;
  alertWebhookSecret?: string;
}

/** What `app.register(latchkey, options)` takes, beside Fastify's own `prefix`, `logLevel` and `logSerializers`. */
export interface LatchkeyOptions extends LatchkeySettings {
  /**
   * Adds claims to access tokens, at each login and each refresh. It cannot overwrite the registered ones and those
   * that Latchkey makes of the account. When it throws, the request is answered 500.
   */
  claims?: (user: User) => Record<string, unknown> | Promise<Record<string, unknown>>;
  /** Milliseconds since the epoch; for tests. */
  now?: Clock;
  /** `GET /docs` and `/openapi.json` of Latchkey's routes; off by default. */
  docs?: boolean;
  /** `GET /healthz` and `/readyz`; off by default. */
  health?: boolean;
  /** `GET /metrics` of Latchkey; off by default. */
  metrics?: boolean;
  /** The pages for people; off by default. */
  pages?: boolean;
}

/** Where a setting stands in the environment of the service. */
const VARIABLES: Record<keyof LatchkeySettings, string> = {
  production: 'NODE_ENV',
  publicUrl: 'PUBLIC_URL',
  databaseUrl: 'DATABASE_URL',
  redisUrl: 'REDIS_URL',
  redisCluster: 'REDIS_CLUSTER',
  redisPrefix: 'REDIS_PREFIX',
  dataDir: 'LATCHKEY_DATA_DIR',
  allowEmbedded: 'LATCHKEY_ALLOW_EMBEDDED',
  migrate: 'MIGRATE',
  jwtSigningKey: 'JWT_SIGNING_KEY',
  jwtAlgorithm: 'JWT_ALGORITHM',
  jwtKeyset: 'JWT_KEYSET',
  jwtIssuer: 'JWT_ISSUER',
  jwtAudience: 'JWT_AUDIENCE',
  jwtLeeway: 'JWT_LEEWAY',
  jwtUserId: 'JWT_USER_ID',
  legacyJwtKey: 'LEGACY_JWT_KEY',
  legacyJwtAlgorithm: 'LEGACY_JWT_ALGORITHM',
  legacyJwtUntil: 'LEGACY_JWT_UNTIL',
  drfTokens: 'DRF_TOKENS',
  accessTokenLifetimeMinutes: 'ACCESS_TOKEN_LIFETIME_MINUTES',
  refreshTokenLifetimeDays: 'REFRESH_TOKEN_LIFETIME_DAYS',
  sessionMaxLifetimeDays: 'SESSION_MAX_LIFETIME_DAYS',
  corsOrigins: 'CORS_ORIGINS',
  rateLimitLogin: 'RATE_LIMIT_LOGIN',
  rateLimitLoginIp: 'RATE_LIMIT_LOGIN_IP',
  rateLimitRefresh: 'RATE_LIMIT_REFRESH',
  rateLimitPasswordReset: 'RATE_LIMIT_PASSWORD_RESET',
  rateLimitUser: 'RATE_LIMIT_USER',
  rateLimitAnon: 'RATE_LIMIT_ANON',
  otpLength: 'OTP_LENGTH',
  otpLifetimeSeconds: 'OTP_LIFETIME_SECONDS',
  otpMaxAttempts: 'OTP_MAX_ATTEMPTS',
  otpAttemptsPerHour: 'OTP_ATTEMPTS_PER_HOUR',
  otpResend: 'OTP_RESEND',
  otpSendsPerHour: 'OTP_SENDS_PER_HOUR',
  otpSendsPerDay: 'OTP_SENDS_PER_DAY',
  otpSendsPerIpHour: 'OTP_SENDS_PER_IP_HOUR',
  otpSpendGuard: 'OTP_SPEND_GUARD',
  otpDailyCap: 'OTP_DAILY_CAP',
  otpCountries: 'OTP_COUNTRIES',
  otpCountriesDenied: 'OTP_COUNTRIES_DENIED',
  otpTestNumbers: 'OTP_TEST_NUMBERS',
  phoneRegion: 'PHONE_REGION',
  smsProvider: 'SMS_PROVIDER',
  awsRegion: 'AWS_REGION',
  snsSenderId: 'SNS_SENDER_ID',
  twilioAccountSid: 'TWILIO_ACCOUNT_SID',
  twilioAuthToken: 'TWILIO_AUTH_TOKEN',
  twilioFrom: 'TWILIO_FROM',
  kavenegarApiKey: 'KAVENEGAR_API_KEY',
  kavenegarSender: 'KAVENEGAR_SENDER',
  kavenegarTemplate: 'KAVENEGAR_TEMPLATE',
  webhookUrl: 'WEBHOOK_URL',
  webhookSecret: 'WEBHOOK_SECRET',
  emailProvider: 'EMAIL_PROVIDER',
  smtpUrl: 'SMTP_URL',
  emailFrom: 'EMAIL_FROM',
  emailVerification: 'EMAIL_VERIFICATION',
  metricsToken: 'METRICS_TOKEN',
  registration: 'REGISTRATION',
  defaultRole: 'DEFAULT_ROLE',
  userTypes: 'USER_TYPES',
  passwordBlocklist: 'PASSWORD_BLOCKLIST',
  compatRoutes: 'COMPAT_ROUTES',
  compatRotation: 'COMPAT_ROTATION',
  defaultLocale: 'DEFAULT_LOCALE',
  eventRetentionDays: 'EVENT_RETENTION_DAYS',
  dataEncryptionKey: 'DATA_ENCRYPTION_KEY',
  alertWebhookUrl: 'ALERT_WEBHOOK_URL',
  alertWebhookSecret: 'ALERT_WEBHOOK_SECRET',
};

const OWN = {
  claims: 'function',
  now: 'function',
  docs: 'boolean',
  health: 'boolean',
  metrics: 'boolean',
  pages: 'boolean',
} as const;
const OF_FASTIFY = new Set(['prefix', 'logLevel', 'logSerializers']);

/** How a switch is written in the environment, where that is not `on` and `off`. */
const SWITCHES: Record<string, readonly [on: string, off: string]> = {
  production: ['production', ''],
  allowEmbedded: ['1', ''],
  redisCluster: ['1', '0'],
};

export interface CheckedOptions
  extends Required<Pick<LatchkeyOptions, 'now' | 'docs' | 'health' | 'metrics' | 'pages'>> {
  config: Config;
  claims: LatchkeyOptions['claims'];
}

/**
 * Checks the options by the validator of the service's settings; nothing but `NODE_ENV` is read from the environment.
 * @throws ConfigError naming every option that cannot be used, and never its value.
 */
export function readOptions(options: LatchkeyOptions): CheckedOptions {
  const {
    claims,
    now = Date.now,
    docs = false,
    health = false,
    metrics = false,
    pages = false,
    ...settings
  } = options;
  const faults = Object.entries(options).flatMap(([name, value]) => judge(name, value));
  if (faults.length > 0) throw new ConfigError(faults);
  return { config: readSettings(settings), claims, now, docs, health, metrics, pages };
}

function judge(name: string, value: unknown): string[] {
  if (value === undefined || OF_FASTIFY.has(name)) return [];
  if (Object.hasOwn(OWN, name)) {
    const type = OWN[name as keyof typeof OWN];
    return typeof value === type ? [] : [`${name} must be a ${type}`];
  }
  if (!Object.hasOwn(VARIABLES, name)) return [`there is no option ${name}`];
  return write(name, value) === undefined ? [`${name} cannot be of this type`] : [];
}

function readSettings({ production = runsInProduction(), ...settings }: LatchkeySettings): Config {
  const env = Object.entries({ production, ...settings })
    .filter(([name, value]) => value !== undefined && Object.hasOwn(VARIABLES, name))
    .map(([name, value]) => [VARIABLES[name as keyof LatchkeySettings], write(name, value)]);
  try {
    const config = loadConfig(Object.fromEntries(env));
    return { ...config, warnings: config.warnings.map(sayOptions) };
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(error.faults.map(sayOptions)) : error;
  }
}

/** A value as it would stand in the environment; `undefined` when none of that type could. */
function write(name: string, value: unknown): string | undefined {
  const [on, off] = SWITCHES[name] ?? ['on', 'off'];
  if (typeof value === 'boolean') return value ? on : off;
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  const kind = name === 'otpResend' ? 'number' : 'string';
  if (Array.isArray(value) && value.every((item) => typeof item === kind)) return value.join(',');
  return name === 'jwtKeyset' && value !== null && typeof value === 'object'
    ? JSON.stringify(value)
    : undefined;
}

const OPTIONS = new Map(Object.entries(VARIABLES).map(([option, variable]) => [variable, option]));

/** The validator speaks of variables; whoever registers a plugin has set options. */
const sayOptions = (fault: string): string =>
  fault.replace(/\b[A-Z_]+\b/g, (variable) => OPTIONS.get(variable) ?? variable);
