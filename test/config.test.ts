import { generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { ConfigError, loadConfig } from '../src/config.js';
import { type LatchkeyOptions, readOptions } from '../src/options.js';
import { OLD_KEY } from './support/simplejwt.js';

const KEY = 'vQ3x8LmN0pRs7TuW2yZa5BcD9eFg4HiJ';
const PUBLIC_PEM = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
  type: 'spki',
  format: 'pem',
}) as string;
const DATABASE = 'postgres://latchkey@127.0.0.1/latchkey';
const REDIS = 'redis://127.0.0.1:6379';
const SERVERS = { DATABASE_URL: DATABASE, REDIS_URL: REDIS, JWT_SIGNING_KEY: KEY };
const SES = { EMAIL_PROVIDER: 'ses', EMAIL_FROM: 'no-reply@example.com' };
const PRODUCTION = { ...SERVERS, NODE_ENV: 'production', SMS_PROVIDER: 'sns', ...SES };

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
    lambda: false,
    startsAhead: false,
    pages: true,
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
    trustProxy: { mode: 'none' },
    limits: {
      login: { max: 5, windowMs: 60_000 },
      loginIp: { max: 30, windowMs: 300_000 },
      refresh: { max: 10, windowMs: 60_000 },
      passwordReset: { max: 3, windowMs: 3_600_000 },
      anon: { max: 100, windowMs: 3_600_000 },
      user: { max: 1000, windowMs: 3_600_000 },
    },
    otp: {
      length: 6,
      lifetime: 300,
      maxAttempts: 5,
      attemptsPerHour: 10,
      resend: [30, 60, 120, 300],
      sendsPerHour: 5,
      sendsPerDay: 10,
      sendsPerIpHour: 20,
      spendGuard: 'record',
      dailyCap: 10_000,
      allowedCountries: undefined,
      deniedCountries: [],
      testNumbers: new Map(),
      phoneRegion: 'IR',
    },
    sms: { provider: 'console' },
    email: { provider: 'console' },
    emailVerification: 'off',
    defaultLocale: 'en',
    registration: 'open',
    defaultRole: 'viewer',
    userTypes: ['individual', 'business'],
    passwordBlocklist: true,
    compat: { routes: true, rotation: true },
    logLevel: 'info',
    logFormat: 'json',
    metricsToken: undefined,
    eventRetentionDays: 365,
    dataKeys: [],
    alertWebhook: undefined,
    legacyTokens: undefined,
    drfTokens: false,
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
    [{ TRUST_PROXY: 'none' }, { trustProxy: { mode: 'none' } }],
    [{ TRUST_PROXY: 'apigateway' }, { trustProxy: { mode: 'apigateway' } }],
    [{ TRUST_PROXY: 'cloudfront' }, { trustProxy: { mode: 'cloudfront' }, warnings: [] }],
    [
      { TRUST_PROXY: 'cloudfront', HOST: '0.0.0.0', SMS_PROVIDER: 'console', EMAIL_PROVIDER: 'console' },
      { warnings: [/^TRUST_PROXY=cloudfront: .* can forge the address/] },
    ],
    [{ TRUST_PROXY: 'alb' }, { trustProxy: { mode: 'alb' } }],
    [
      { TRUST_PROXY: '10.0.0.0/8, ::1, fc00::/7' },
      { trustProxy: { mode: 'networks', networks: ['10.0.0.0/8', '::1', 'fc00::/7'] } },
    ],
    [
      { OTP_LENGTH: '8', OTP_LIFETIME_SECONDS: '60', OTP_MAX_ATTEMPTS: '3', OTP_ATTEMPTS_PER_HOUR: '7' },
      { otp: { length: 8, lifetime: 60, maxAttempts: 3, attemptsPerHour: 7 } },
    ],
    [{ OTP_RESEND: '1, 86400' }, { otp: { resend: [1, 86_400] } }],
    [
      { OTP_SENDS_PER_HOUR: '1', OTP_SENDS_PER_DAY: '2', OTP_SENDS_PER_IP_HOUR: '3', OTP_DAILY_CAP: '4' },
      { otp: { sendsPerHour: 1, sendsPerDay: 2, sendsPerIpHour: 3, dailyCap: 4 } },
    ],
    [{ OTP_SPEND_GUARD: 'record' }, { otp: { spendGuard: 'record' } }],
    [{ OTP_SPEND_GUARD: 'deny' }, { otp: { spendGuard: 'deny' } }],
    [{ OTP_SPEND_GUARD: 'off' }, { otp: { spendGuard: 'off' } }],
    [
      { OTP_COUNTRIES: 'IR, AE,001' },
      { otp: { allowedCountries: ['IR', 'AE', '001'], deniedCountries: [] } },
    ],
    [{ OTP_COUNTRIES_DENIED: 'LV' }, { otp: { allowedCountries: undefined, deniedCountries: ['LV'] } }],
    [{ PHONE_REGION: 'DE' }, { otp: { phoneRegion: 'DE' } }],
    [
      { DEFAULT_LOCALE: 'fa', LOG_LEVEL: 'silent' },
      { defaultLocale: 'fa', logLevel: 'silent' },
    ],
    [{ LOG_FORMAT: 'gelf' }, { logFormat: 'gelf' }],
    [
      { REGISTRATION: 'closed', DEFAULT_ROLE: 'member' },
      { registration: 'closed', defaultRole: 'member' },
    ],
    [{ USER_TYPES: ' buyer , seller' }, { userTypes: ['buyer', 'seller'] }],
    [{ PASSWORD_BLOCKLIST: 'off' }, { passwordBlocklist: false }],
    [{ METRICS_TOKEN: 'zq9/'.repeat(4) }, { metricsToken: 'zq9/'.repeat(4) }],
    [{ DRF_TOKENS: 'on' }, { drfTokens: true }],
    ...['2030-01-31', '2030-01-31T00:00', '2030-01-31T01:30:00+01:30', '1896048000'].map(
      (moment): [Env, object] => [
        { LEGACY_JWT_KEY: OLD_KEY, LEGACY_JWT_ALGORITHM: 'HS512', LEGACY_JWT_UNTIL: moment },
        {
          legacyTokens: { key: { algorithm: 'HS512', public: OLD_KEY }, until: 1_896_048_000 },
          warnings: [],
        },
      ],
    ),
    [
      { LEGACY_JWT_KEY: PUBLIC_PEM, LEGACY_JWT_ALGORITHM: 'ES256', LEGACY_JWT_UNTIL: '1000000000' },
      { legacyTokens: { key: { algorithm: 'ES256', public: PUBLIC_PEM }, until: 1_000_000_000 } },
    ],
    [
      { LEGACY_JWT_KEY: OLD_KEY },
      { legacyTokens: { until: undefined }, warnings: [/^LEGACY_JWT_UNTIL is not set/] },
    ],
    [
      { LEGACY_JWT_KEY: OLD_KEY.slice(20), LEGACY_JWT_UNTIL: '2030-01-31' },
      { warnings: [/^LEGACY_JWT_KEY is shorter than 32 bytes/] },
    ],
  ];
  for (const [env, expected] of table) t.match(load(env), expected, JSON.stringify(env));
  t.teardown(() => rmSync('some', { recursive: true }));
  t.equal(load({ LATCHKEY_DATA_DIR: 'some/where' }).dataDir, join(process.cwd(), 'some/where'));
  t.ok(isAbsolute(load({ LATCHKEY_DATA_DIR: '' }).dataDir));
});

t.test('what of the one-time codes can be off', async (t) => {
  const { otp } = load({
    OTP_RESEND: 'off',
    OTP_SENDS_PER_HOUR: 'off',
    OTP_SENDS_PER_DAY: 'off',
    OTP_SENDS_PER_IP_HOUR: 'off',
    OTP_DAILY_CAP: 'off',
  });
  t.strictSame(
    [otp.resend, otp.sendsPerHour, otp.sendsPerDay, otp.sendsPerIpHour, otp.dailyCap],
    [[], undefined, undefined, undefined, undefined],
  );
});

t.test('test numbers are read as any other, with the region and the length that are set', async (t) => {
  const numbersOf = (env: Env) => [...load(env).otp.testNumbers];
  t.strictSame(numbersOf({ OTP_TEST_NUMBERS: '09123456789:123456' }), [['+989123456789', '123456']]);
  t.strictSame(
    numbersOf({
      OTP_TEST_NUMBERS: ' ۰۹۱۲ ۳۴۵ ۶۷۸۹ : 0001 ,+1 (415) 555-2671:9999,',
      OTP_LENGTH: '4',
    }),
    [
      ['+989123456789', '0001'],
      ['+14155552671', '9999'],
    ],
  );
  t.strictSame(numbersOf({ OTP_TEST_NUMBERS: '01511 2345678:123456', PHONE_REGION: 'DE' }), [
    ['+4915112345678', '123456'],
  ]);
});

t.test('who brings text messages', async (t) => {
  const NOBODY = ['SMS_PROVIDER is not set: nobody can sign in by phone, or be sent a code.'];
  const { SMS_PROVIDER: _, ...unset } = PRODUCTION;
  const webhook = { WEBHOOK_URL: 'https://sms.example/in?a=b', WEBHOOK_SECRET: KEY.slice(0, 24) };
  const table: [env: Env, sms: object | undefined][] = [
    [{}, { provider: 'console' }],
    [{ SMS_PROVIDER: 'console' }, { provider: 'console' }],
    [{ SMS_PROVIDER: 'console', HOST: '0.0.0.0' }, { provider: 'console' }],
    ...['localhost', '127.0.0.1', '127.9.9.9', '::1'].map((HOST): [Env, object] => [
      { HOST },
      { provider: 'console' },
    ]),
    [{ SMS_PROVIDER: 'sns' }, { provider: 'sns', region: undefined, senderId: undefined }],
    [
      { ...PRODUCTION, AWS_REGION: 'eu-central-1', SNS_SENDER_ID: 'Shop' },
      { provider: 'sns', region: 'eu-central-1', senderId: 'Shop' },
    ],
    [
      {
        SMS_PROVIDER: 'twilio',
        TWILIO_ACCOUNT_SID: 'AC1',
        TWILIO_AUTH_TOKEN: 't',
        TWILIO_FROM: '+15005550006',
      },
      { provider: 'twilio', accountSid: 'AC1', authToken: 't', from: '+15005550006' },
    ],
    [
      { SMS_PROVIDER: 'kavenegar', KAVENEGAR_API_KEY: 'k' },
      { provider: 'kavenegar', apiKey: 'k', sender: undefined, template: undefined },
    ],
    [
      {
        SMS_PROVIDER: 'kavenegar',
        KAVENEGAR_API_KEY: 'k',
        KAVENEGAR_SENDER: '1000',
        KAVENEGAR_TEMPLATE: 'otp',
      },
      { provider: 'kavenegar', apiKey: 'k', sender: '1000', template: 'otp' },
    ],
    [
      { SMS_PROVIDER: 'webhook', ...webhook },
      { provider: 'webhook', url: webhook.WEBHOOK_URL, secret: webhook.WEBHOOK_SECRET },
    ],
    ...['http://127.0.0.1:9000/', 'http://localhost/sms', 'http://[::1]:9000'].map((url): [Env, object] => [
      { SMS_PROVIDER: 'webhook', ...webhook, WEBHOOK_URL: url },
      { provider: 'webhook', url, secret: webhook.WEBHOOK_SECRET },
    ]),
    [
      { SMS_PROVIDER: 'webhook', ...webhook, WEBHOOK_SECRET: `whsec_${'A'.repeat(32)}` },
      { provider: 'webhook', url: webhook.WEBHOOK_URL, secret: `whsec_${'A'.repeat(32)}` },
    ],
    [
      { SMS_PROVIDER: 'sns', ...webhook },
      { provider: 'sns', region: undefined, senderId: undefined },
    ],
  ];
  for (const [env, sms] of table) {
    const config = load(env);
    t.strictSame(config.sms, sms, JSON.stringify(env));
    t.notOk(config.warnings.some((warning) => warning.startsWith('SMS_')));
  }
  for (const env of [{ HOST: '0.0.0.0' }, { HOST: '::' }, { HOST: 'auth.internal' }, unset]) {
    const config = load(env);
    t.equal(config.sms, undefined, `${JSON.stringify(env)}: nobody`);
    t.strictSame(
      config.warnings.filter((warning) => warning.startsWith('SMS_')),
      NOBODY,
    );
  }
});

t.test('who brings e-mails', async (t) => {
  const smtp = { EMAIL_PROVIDER: 'smtp', SMTP_URL: 'smtp://user:p%40ss@mail.example:587' };
  const EMAIL_FROM = 'Shop <no-reply@shop.example>';
  const table: [env: Env, email: object | undefined][] = [
    [{}, { provider: 'console' }],
    [{ HOST: '0.0.0.0', EMAIL_PROVIDER: 'console' }, { provider: 'console' }],
    [
      { ...smtp, EMAIL_FROM },
      { provider: 'smtp', url: smtp.SMTP_URL, from: EMAIL_FROM },
    ],
    [
      { EMAIL_PROVIDER: 'ses', EMAIL_FROM, AWS_REGION: 'eu-central-1' },
      { provider: 'ses', region: 'eu-central-1', from: EMAIL_FROM },
    ],
    [{ ...PRODUCTION }, { provider: 'ses', region: undefined, from: SES.EMAIL_FROM }],
    [{ HOST: '0.0.0.0' }, undefined],
    [{ ...PRODUCTION, EMAIL_PROVIDER: '' }, undefined],
  ];
  for (const [env, email] of table) {
    const config = load(env);
    t.strictSame(config.email, email, JSON.stringify(env));
    const told = config.warnings.filter((warning) => warning.startsWith('EMAIL_'));
    t.equal(told.length, email ? 0 : 1);
  }
  for (const mode of ['off', 'optional', 'required']) {
    t.equal(load({ EMAIL_VERIFICATION: mode }).emailVerification, mode);
  }
  t.equal(load({ RATE_LIMIT_PASSWORD_RESET: 'off' }).limits.passwordReset, undefined);
});

t.test('codes and messages are set by options as well', async (t) => {
  const base = { production: true, allowEmbedded: true, dataDir, jwtSigningKey: KEY };
  const twilio = { twilioAccountSid: 'AC1', twilioAuthToken: 'zq9-token', twilioFrom: 'Shop' };
  const { config } = readOptions({
    ...base,
    ...twilio,
    smsProvider: 'twilio',
    otpLength: 7,
    otpResend: [5, 10],
    otpSendsPerHour: 'off',
    otpSendsPerDay: 3,
    otpCountriesDenied: ['LV', 'LT'],
    phoneRegion: 'DE',
  });
  t.match(config.otp, { length: 7, resend: [5, 10], sendsPerHour: undefined, sendsPerDay: 3 });
  t.match(config.otp, { deniedCountries: ['LV', 'LT'], phoneRegion: 'DE' });
  t.match(config.sms, { provider: 'twilio', accountSid: 'AC1', authToken: 'zq9-token', from: 'Shop' });
  t.match(config.warnings, [/^emailProvider is not set/]);
  t.match(readOptions(base).config.warnings, [/^smsProvider is not set/, /^emailProvider is not set/]);
  t.match(readOptions({ ...base, production: false }).config, { sms: { provider: 'console' }, warnings: [] });

  const refused: [options: LatchkeyOptions, fault: RegExp][] = [
    [{ smsProvider: 'console' }, /^smsProvider=console is refused in production$/],
    [{ smsProvider: 'twilio', twilioFrom: 'zq9' }, /^smsProvider needs twilioAccountSid and twilioAuthToken/],
    [{ otpTestNumbers: '09121111111:111111' }, /^otpTestNumbers is set/],
    [{ otpResend: [0] }, /^otpResend must be/],
    [{ otpResend: ['30'] as never }, /^otpResend cannot be of this type$/],
    [{ otpCountries: ['ZQ'] }, /^otpCountries must be/],
  ];
  for (const [options, fault] of refused) {
    let faults: readonly string[] = [];
    try {
      readOptions({ ...base, ...options });
    } catch (error) {
      faults = (error as ConfigError).faults;
    }
    t.match(faults, [fault], JSON.stringify(options));
    t.equal(faults.length, 1);
  }
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
    [{ TRUST_PROXY: '10.0.0.0/33' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '10.0.0.0/8/8' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '10.0.0.0/-8' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '::1/129' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: ',' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: 'ALB' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: 'alb,10.0.0.0/8' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '0.0.0.0/0' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '10.0.0.0/8,::/0' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '0.0.0.0/1,128.0.0.0/1' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '2000::/3' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '::ffff:0.0.0.0/96' }, 'TRUST_PROXY'],
    [{ TRUST_PROXY: '::ffff:0.0.0.0/90' }, 'TRUST_PROXY'],
    [{ OTP_LENGTH: '3' }, 'OTP_LENGTH'],
    [{ OTP_LENGTH: '11' }, 'OTP_LENGTH'],
    [{ OTP_LIFETIME_SECONDS: '0' }, 'OTP_LIFETIME_SECONDS'],
    [{ OTP_LIFETIME_SECONDS: '3601' }, 'OTP_LIFETIME_SECONDS'],
    [{ OTP_MAX_ATTEMPTS: '0' }, 'OTP_MAX_ATTEMPTS'],
    [{ OTP_MAX_ATTEMPTS: 'off' }, 'OTP_MAX_ATTEMPTS'],
    [{ OTP_ATTEMPTS_PER_HOUR: '0' }, 'OTP_ATTEMPTS_PER_HOUR'],
    [{ OTP_ATTEMPTS_PER_HOUR: '10001' }, 'OTP_ATTEMPTS_PER_HOUR'],
    [{ OTP_RESEND: 'zq9' }, 'OTP_RESEND'],
    [{ OTP_RESEND: ',' }, 'OTP_RESEND'],
    [{ OTP_RESEND: '30,0' }, 'OTP_RESEND'],
    [{ OTP_RESEND: '30,86401' }, 'OTP_RESEND'],
    [{ OTP_RESEND: '30,off' }, 'OTP_RESEND'],
    [{ OTP_SENDS_PER_HOUR: '0' }, 'OTP_SENDS_PER_HOUR'],
    [{ OTP_SENDS_PER_DAY: '5/day' }, 'OTP_SENDS_PER_DAY'],
    [{ OTP_SENDS_PER_IP_HOUR: '100001' }, 'OTP_SENDS_PER_IP_HOUR'],
    [{ OTP_DAILY_CAP: '-10' }, 'OTP_DAILY_CAP'],
    [{ OTP_SPEND_GUARD: 'zq9' }, 'OTP_SPEND_GUARD'],
    [{ OTP_COUNTRIES: 'IR,ZQ' }, 'OTP_COUNTRIES'],
    [{ OTP_COUNTRIES: 'de' }, 'OTP_COUNTRIES'],
    [{ OTP_COUNTRIES: 'constructor' }, 'OTP_COUNTRIES'],
    [{ OTP_COUNTRIES_DENIED: ' , ' }, 'OTP_COUNTRIES_DENIED'],
    [{ OTP_COUNTRIES: 'GB,DE', OTP_COUNTRIES_DENIED: 'FR,LV' }, 'OTP_COUNTRIES', 'OTP_COUNTRIES_DENIED'],
    [{ PHONE_REGION: 'ZQ9' }, 'PHONE_REGION'],
    [{ PHONE_REGION: '001' }, 'PHONE_REGION'],
    [{ OTP_TEST_NUMBERS: '09121111111' }, 'OTP_TEST_NUMBERS'],
    [{ OTP_TEST_NUMBERS: '09121111111:12345' }, 'OTP_TEST_NUMBERS', 'OTP_LENGTH'],
    [{ OTP_TEST_NUMBERS: '09121111111:12345a' }, 'OTP_TEST_NUMBERS'],
    [{ OTP_TEST_NUMBERS: '09121111111:۱۲۳۴۵۶' }, 'OTP_TEST_NUMBERS'],
    [{ OTP_TEST_NUMBERS: '09121111111:111111:2' }, 'OTP_TEST_NUMBERS'],
    [{ OTP_TEST_NUMBERS: '02122334455:111111' }, 'OTP_TEST_NUMBERS'],
    [{ OTP_TEST_NUMBERS: '09121111111:111111,+989121111111:222222' }, 'OTP_TEST_NUMBERS'],
    [{ SMS_PROVIDER: 'zq9' }, 'SMS_PROVIDER'],
    [{ EMAIL_PROVIDER: 'zq9' }, 'EMAIL_PROVIDER'],
    [{ EMAIL_PROVIDER: 'smtp' }, 'EMAIL_PROVIDER'],
    [{ EMAIL_PROVIDER: 'ses' }, 'EMAIL_PROVIDER'],
    [{ SMTP_URL: 'http://zq9.example' }, 'SMTP_URL'],
    [{ SMTP_URL: 'smtp://zq9:@' }, 'SMTP_URL'],
    [{ EMAIL_FROM: 'zq9' }, 'EMAIL_FROM'],
    [{ EMAIL_FROM: 'Zq9 <zq9@example.com' }, 'EMAIL_FROM'],
    [{ EMAIL_VERIFICATION: 'zq9' }, 'EMAIL_VERIFICATION'],
    [{ EMAIL_VERIFICATION: 'optional', HOST: '0.0.0.0' }, 'EMAIL_VERIFICATION'],
    [{ RATE_LIMIT_PASSWORD_RESET: 'zq9' }, 'RATE_LIMIT_PASSWORD_RESET'],
    [
      { SMS_PROVIDER: 'twilio' },
      ...['SMS_PROVIDER', 'TWILIO_ACCOUNT_SID', 'TWILIO_AUTH_TOKEN', 'TWILIO_FROM'],
    ],
    [{ SMS_PROVIDER: 'twilio', TWILIO_ACCOUNT_SID: 'zq9', TWILIO_FROM: 'zq8' }, 'TWILIO_AUTH_TOKEN'],
    [{ SMS_PROVIDER: 'kavenegar', KAVENEGAR_SENDER: 'zq9' }, 'SMS_PROVIDER', 'KAVENEGAR_API_KEY'],
    [{ SMS_PROVIDER: 'webhook' }, 'SMS_PROVIDER', 'WEBHOOK_URL', 'WEBHOOK_SECRET'],
    [{ SMS_PROVIDER: 'webhook', WEBHOOK_SECRET: KEY }, 'WEBHOOK_URL'],
    [{ SMS_PROVIDER: 'webhook', WEBHOOK_URL: 'https://zq9.example' }, 'WEBHOOK_SECRET'],
    [{ WEBHOOK_URL: 'http://zq9.example' }, 'WEBHOOK_URL'],
    [{ WEBHOOK_URL: 'http://127.0.0.1.zq9.example' }, 'WEBHOOK_URL'],
    [{ WEBHOOK_URL: 'https://zq9@sms.example' }, 'WEBHOOK_URL'],
    [{ WEBHOOK_URL: 'https://:zq9@sms.example' }, 'WEBHOOK_URL'],
    [{ WEBHOOK_URL: 'ftp://zq9.example' }, 'WEBHOOK_URL'],
    [{ WEBHOOK_URL: 'zq9' }, 'WEBHOOK_URL'],
    [{ WEBHOOK_SECRET: 'zq9'.repeat(7) }, 'WEBHOOK_SECRET'],
    [{ WEBHOOK_SECRET: `whsec_${'zq9z'.repeat(7)}` }, 'WEBHOOK_SECRET'],
    [{ WEBHOOK_SECRET: `whsec_${'zq9-'.repeat(20)}` }, 'WEBHOOK_SECRET'],
    [{ DEFAULT_LOCALE: 'zq9' }, 'DEFAULT_LOCALE'],
    [{ REGISTRATION: 'zq9' }, 'REGISTRATION'],
    [{ USER_TYPES: ' , ' }, 'USER_TYPES'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL'],
    [{ LOG_FORMAT: 'xml' }, 'LOG_FORMAT'],
    [{ METRICS_TOKEN: 'zq9zq9zq9zq9zq9' }, 'METRICS_TOKEN'],
    [{ METRICS_TOKEN: 'zq9 '.repeat(8) }, 'METRICS_TOKEN'],
    [{ METRICS_TOKEN: 'zq9é'.repeat(8) }, 'METRICS_TOKEN'],
    [{ DRF_TOKENS: 'zq9' }, 'DRF_TOKENS'],
    [{ DRF_TOKENS: 'on', COMPAT_ROUTES: 'off' }, 'DRF_TOKENS', 'COMPAT_ROUTES'],
    [{ LEGACY_JWT_UNTIL: '2030-01-31' }, 'LEGACY_JWT_UNTIL', 'LEGACY_JWT_KEY'],
    ...['zq9', '2030-13-45', '1999', '2030-1-31', '31.01.2030', '-1', '2030-01-31T99:00Z'].map(
      (moment): [Env, string] => [{ LEGACY_JWT_KEY: OLD_KEY, LEGACY_JWT_UNTIL: moment }, 'LEGACY_JWT_UNTIL'],
    ),
    [{ LEGACY_JWT_KEY: OLD_KEY, LEGACY_JWT_ALGORITHM: 'none' }, 'LEGACY_JWT_ALGORITHM'],
    [{ LEGACY_JWT_KEY: PUBLIC_PEM }, 'LEGACY_JWT_KEY'],
    [{ LEGACY_JWT_KEY: OLD_KEY, LEGACY_JWT_ALGORITHM: 'RS256' }, 'LEGACY_JWT_KEY'],
    [{ LEGACY_JWT_KEY: PUBLIC_PEM, LEGACY_JWT_ALGORITHM: 'RS256' }, 'LEGACY_JWT_KEY'],
  ];
  for (const [env, ...named] of table) {
    const label = JSON.stringify(env);
    const faults = faultsOf(t, env);
    t.equal(faults.length, 1, `${label}: one fault`);
    for (const name of named) t.ok(faults[0]?.includes(name), `${label} names ${name}`);
    const values = Object.values(env).filter((value) => value.length > 2 && !NAMED_ANYWAY.has(value));
    for (const value of values) t.notOk(faults[0]?.includes(value), `${label} keeps its value`);
  }
});

/** They stand in messages as words, not as somebody's value. */
const NAMED_ANYWAY = new Set(['RS256', 'null', 'off', '001', 'alb', 'redis://h']);

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

t.test(
  'Lambda takes none either, whatever is set, and nothing that a frozen process cannot do',
  async (t) => {
    const LAMBDA = { ...PRODUCTION, NODE_ENV: '', AWS_LAMBDA_FUNCTION_NAME: 'latchkey-prod-api' };
    t.match(loadConfig(LAMBDA), {
      lambda: true,
      production: false,
      migrate: false,
      trustProxy: { mode: 'none' },
    });
    t.equal(loadConfig({ ...LAMBDA, MIGRATE: 'on' }).migrate, true);
    // The event says who is asking, and no header does.
    t.strictSame(loadConfig({ ...LAMBDA, TRUST_PROXY: 'apigateway' }).trustProxy, { mode: 'none' });
    const unset = { ...LAMBDA, SMS_PROVIDER: '', EMAIL_PROVIDER: '' };
    t.match(loadConfig(unset), { sms: undefined, email: undefined }, 'nothing is shown where nobody looks');
    const refused: [env: Env, fault: RegExp][] = [
      [
        { ...LAMBDA, DATABASE_URL: '', REDIS_URL: '', LATCHKEY_ALLOW_EMBEDDED: '1' },
        /^DATABASE_URL and REDIS_URL are required on Lambda/,
      ],
      [{ ...LAMBDA, DATABASE_URL: '' }, /^DATABASE_URL and REDIS_URL are required on Lambda/],
      [{ ...LAMBDA, JWT_SIGNING_KEY: '' }, /^JWT_SIGNING_KEY is required in production and on Lambda/],
      [{ ...LAMBDA, JWT_SIGNING_KEY: KEY.slice(1) }, /^JWT_SIGNING_KEY .*shorter than 32 bytes/],
      [
        { ...LAMBDA, JWT_SIGNING_KEY: 'your-secret-key-at-least-32-characters' },
        /^JWT_SIGNING_KEY .*example/,
      ],
      [{ ...LAMBDA, TRUST_PROXY: 'alb' }, /^TRUST_PROXY=alb is refused on Lambda/],
      [
        { ...PRODUCTION, JWT_SIGNING_KEY: 'ssm:/latchkey/prod/jwt-signing-key' },
        /^JWT_SIGNING_KEY names a parameter/,
      ],
    ];
    for (const [env, fault] of refused) t.match(faultsOf(t, env), [fault], fault.source);
    const keySet = faultsOf(t, { ...LAMBDA, JWT_KEYSET: './keys.json' });
    t.match(keySet[0], /^JWT_KEYSET must be the set itself on Lambda/);
  },
);

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
    [{ ...PRODUCTION, LEGACY_JWT_KEY: OLD_KEY.slice(20) }, /^LEGACY_JWT_KEY is shorter than 32 bytes/],
    [
      { ...PRODUCTION, LEGACY_JWT_KEY: `django-insecure-${OLD_KEY}` },
      /^LEGACY_JWT_KEY looks like an example/,
    ],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: KEY.slice(1) }, /^JWT_SIGNING_KEY .*shorter than 32 bytes/],
    [
      { ...PRODUCTION, JWT_SIGNING_KEY: 'your-secret-key-at-least-32-characters' },
      /^JWT_SIGNING_KEY .*example/,
    ],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: 'django-insecure-k3j4h5k3j4h5k3j4h5' }, /^JWT_SIGNING_KEY .*example/],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: 'a'.repeat(40) }, /^JWT_SIGNING_KEY .*example/],
    [{ ...PRODUCTION, JWT_SIGNING_KEY: '', JWT_SECRET_KEY: 'short' }, /JWT_SECRET_KEY.*shorter/],
    [{ ...PRODUCTION, PASSWORD_BLOCKLIST: 'off' }, /^PASSWORD_BLOCKLIST/],
    [{ ...PRODUCTION, SMS_PROVIDER: 'console' }, /^SMS_PROVIDER=console is refused in production/],
    [{ ...PRODUCTION, EMAIL_PROVIDER: 'console' }, /^EMAIL_PROVIDER=console is refused in production/],
    [{ ...PRODUCTION, OTP_TEST_NUMBERS: '09123456789:123456' }, /^OTP_TEST_NUMBERS .*Production refuses it$/],
    [{ ...PRODUCTION, OTP_LENGTH: '5' }, /^OTP_LENGTH .*guess.*Production refuses it$/],
    [{ ...PRODUCTION, OTP_ATTEMPTS_PER_HOUR: '101' }, /^OTP_ATTEMPTS_PER_HOUR .*OTP_LENGTH .*guess/],
    [{ ...PRODUCTION, OTP_ATTEMPTS_PER_HOUR: '1001', OTP_LENGTH: '7' }, /^OTP_ATTEMPTS_PER_HOUR .*guess/],
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
  for (const env of [{ OTP_ATTEMPTS_PER_HOUR: '100' }, { OTP_ATTEMPTS_PER_HOUR: '1000', OTP_LENGTH: '7' }]) {
    t.strictSame(loadConfig({ ...PRODUCTION, ...env }).warnings, []);
  }
  const weak: Env[] = [
    { OTP_TEST_NUMBERS: '09123456789:123456' },
    { OTP_LENGTH: '4' },
    { OTP_ATTEMPTS_PER_HOUR: '101' },
  ];
  for (const env of weak) {
    const [name, value] = Object.entries(env)[0]!;
    const { warnings } = load(env);
    t.match(
      warnings,
      [new RegExp(`^${name} .*Production refuses it.$`)],
      'so are codes that others may know',
    );
    t.equal(warnings.length, 1);
    t.notOk(warnings[0]?.includes(value));
  }
  const own = loadConfig({ LATCHKEY_DATA_DIR: dataDir, REDIS_URL: REDIS });
  t.match(own.warnings, [/^JWT_SIGNING_KEY is not set/], 'nor should servers sign with a key each');
  t.notMatch(own.warnings[0], own.jwt.signingKey);
});

t.test('the settings are frozen, all the way down', async (t) => {
  const config = load({ CORS_ORIGINS: 'https://a.example', OTP_TEST_NUMBERS: '09123456789:123456' });
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

  const numbers = config.otp.testNumbers as Map<string, string>;
  for (const change of [
    () => numbers.set('+989121111111', '111111'),
    () => numbers.delete('+989123456789'),
    () => numbers.clear(),
  ]) {
    t.throws(change, new TypeError('The settings cannot be changed'));
  }
  t.strictSame([...numbers], [['+989123456789', '123456']]);
});

t.test('what becomes of security events', async (t) => {
  const key = (first: number) =>
    Buffer.from(Array.from({ length: 32 }, (_, n) => first + n)).toString('base64');
  const secret = `whsec_${key(9)}`;
  const hook = { ALERT_WEBHOOK_URL: 'https://ops.example.com/alerts', ALERT_WEBHOOK_SECRET: secret };
  t.equal(load({ EVENT_RETENTION_DAYS: '30' }).eventRetentionDays, 30);
  t.equal(load({ EVENT_RETENTION_DAYS: 'off' }).eventRetentionDays, undefined);
  t.strictSame(load({ DATA_ENCRYPTION_KEY: `${key(1)}, ${key(2)}` }).dataKeys, [key(1), key(2)]);
  t.strictSame(load(hook).alertWebhook, { url: hook.ALERT_WEBHOOK_URL, secret });
  t.ok(load({ ...hook, ALERT_WEBHOOK_URL: 'http://127.0.0.1:9000/' }).alertWebhook);

  const refused: [env: Env, fault: RegExp][] = [
    [{ EVENT_RETENTION_DAYS: '0' }, /^EVENT_RETENTION_DAYS must be a whole number from 1 to 36500, or off$/],
    ...[
      key(1).slice(4),
      `${key(1)}${key(2)}`,
      key(1).replace('=', ''),
      Buffer.alloc(32, 'k').toString('base64'),
      `${key(1)},${key(1)}`,
      'not a key',
    ].map((value): [Env, RegExp] => [
      { DATA_ENCRYPTION_KEY: value },
      /^DATA_ENCRYPTION_KEY must be base64 of 32/,
    ]),
    [{ ...hook, ALERT_WEBHOOK_URL: '' }, /^ALERT_WEBHOOK_URL and ALERT_WEBHOOK_SECRET need each other$/],
    [{ ...hook, ALERT_WEBHOOK_SECRET: '' }, /^ALERT_WEBHOOK_URL and ALERT_WEBHOOK_SECRET need each other$/],
    [{ ...hook, ALERT_WEBHOOK_URL: 'http://ops.example.com/' }, /^ALERT_WEBHOOK_URL must be an https:/],
    [
      { ...hook, ALERT_WEBHOOK_SECRET: 'short' },
      /^ALERT_WEBHOOK_SECRET must be a secret of at least 24 bytes$/,
    ],
  ];
  for (const [env, fault] of refused) {
    const faults = faultsOf(t, { JWT_SIGNING_KEY: KEY, ...env });
    t.match(faults, [fault]);
    t.equal(faults.length, 1);
    for (const value of Object.values(env))
      if (value.length > 3) t.notOk(faults[0]?.includes(value), 'not the value');
  }
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

  await t.test('a file that cannot be read is refused, and not replaced', async (t) => {
    const dir = tempDir(t);
    mkdirSync(join(dir, 'signing-key'));
    const fault = 'signing-key in LATCHKEY_DATA_DIR cannot be read (EISDIR)';
    t.strictSame(faultsOf(t, { LATCHKEY_DATA_DIR: dir }), [fault]);
  });

  await t.test('whoever only looks makes nothing, and reads what is there', async (t) => {
    const look = (dir: string) => loadConfig({ LATCHKEY_DATA_DIR: dir }, { onlyLooks: true }).jwt.signingKey;
    const dir = tempDir(t);
    t.equal(look(dir), undefined);
    t.strictSame(readdirSync(dir), []);
    t.equal(look(join(dir, 'not', 'there')), undefined);
    t.strictSame(readdirSync(dir), []);
    const key = keyOf(dir);
    t.equal(look(dir), key);
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
