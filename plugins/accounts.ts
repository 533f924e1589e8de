import { availableParallelism } from 'node:os';
import fp from 'fastify-plugin';
import {
  type AccountPolicy,
  type AccountService,
  createAccountService,
} from '../src/accounts/account-service.js';
import { createPasswordHasher } from '../src/accounts/password-hasher.js';
import { describeError } from '../src/lib/describe-error.js';
import { createLoginLimits } from '../src/security/login-limits.js';
import type { Limit } from '../src/tokens/state-store.js';

declare module 'fastify' {
  interface FastifyInstance {
    accounts: AccountService;
  }
}

export interface AccountsOptions {
  policy: AccountPolicy;
  limits: { login: Limit | undefined; loginIp: Limit | undefined };
}

/** One core is left to answer requests; a queue of this length is a wait of a second or two. */
const MAX_WAITING_HASHES = 64;

/** Registration, login by password and what people do with their account. */
export default fp<AccountsOptions>(
  async (app, { policy, limits }) => {
    const { database, stateStore: state, sessions, events, clock: now } = app;
    app.decorate(
      'accounts',
      createAccountService({
        accounts: database.accounts,
        eventStore: database.events,
        events,
        state,
        sessions,
        hasher: createPasswordHasher({
          concurrency: Math.max(1, availableParallelism() - 1),
          maxWaiting: MAX_WAITING_HASHES,
        }),
        limits: createLoginLimits({
          store: state,
          now,
          perIdentifier: limits.login,
          perAddress: limits.loginIp,
        }),
        policy,
        now,
        onTrouble: (error) => app.log.error({ err: describeError(error) }, 'a snapshot could not be written'),
      }),
    );
  },
  { name: 'accounts', dependencies: ['sessions'] },
);
