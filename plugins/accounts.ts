import { availableParallelism } from 'node:os';
import fp from 'fastify-plugin';
import {
  type AccountPolicy,
  type AccountService,
  createAccountService,
} from '../src/accounts/account-service.js';
import { createPasswordCheck, type PasswordCheck } from '../src/accounts/password-check.js';
import { createPasswordHasher } from '../src/accounts/password-hasher.js';
import { djangoSchemes } from '../src/compat/django-hashes.js';
import { describeError } from '../src/lib/describe-error.js';
import { createFreshCopy } from '../src/lib/fresh-copy.js';
import { readPhoneNumber } from '../src/otp/phone-number.js';
import { createLoginLimits } from '../src/security/login-limits.js';
import type { Limit } from '../src/tokens/state-store.js';

declare module 'fastify' {
  interface FastifyInstance {
    accounts: AccountService;
    passwordCheck: PasswordCheck;
  }
}

export interface AccountsOptions {
  policy: AccountPolicy;
  limits: { login: Limit | undefined; loginIp: Limit | undefined };
  /** Whose national numbers need no country code. */
  phoneRegion: string;
}

/** One core is left to answer requests; a queue of this length is a wait of a second or two. */
const MAX_WAITING_HASHES = 64;

/** So long after an import, or after the last hash of a kind has gone, refusals still cost what they did. */
const FOREIGN_COSTS_MAX_AGE_MS = 60_000;

/** Registration, login by password and what people do with their account. */
export default fp<AccountsOptions>(
  async (app, { policy, limits, phoneRegion }) => {
    const { database, stateStore: state, sessions, events, devices, emailVerification, clock: now } = app;
    const hasher = createPasswordHasher({
      concurrency: Math.max(1, availableParallelism() - 1),
      maxWaiting: MAX_WAITING_HASHES,
      schemes: djangoSchemes(),
      foreignCosts: createFreshCopy({
        read: database.passwordCosts.listCosts,
        now,
        maxAgeMs: FOREIGN_COSTS_MAX_AGE_MS,
        onTrouble: (error) => app.log.warn({ err: describeError(error) }, 'the costs of hashes are unknown'),
      }),
    });
    app.meter.watchQueue('password_hashes', hasher.waiting);
    const loginLimits = createLoginLimits({
      store: state.logins,
      devices,
      now,
      perIdentifier: limits.login,
      perAddress: limits.loginIp,
    });
    const check = createPasswordCheck({
      accounts: database.accounts,
      events,
      hasher,
      limits: loginLimits,
      blocklist: policy.passwordBlocklist,
    });
    app.decorate('passwordCheck', check);
    app.decorate(
      'accounts',
      createAccountService({
        accounts: database.accounts,
        eventStore: database.events,
        legacyTokens: database.legacyTokens,
        drfTokens: database.drfTokens,
        events,
        state,
        sessions,
        hasher,
        check,
        verification: emailVerification,
        limits: loginLimits,
        logins: state.logins,
        devices,
        policy,
        readPhone: (raw) => readPhoneNumber(raw, phoneRegion)?.e164,
        now,
        onTrouble: (error) => app.log.error({ err: describeError(error) }, 'a snapshot could not be written'),
      }),
    );
  },
  { name: 'accounts', dependencies: ['sessions', 'device-cookie', 'email', 'metrics'] },
);
