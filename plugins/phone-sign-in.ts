import fp from 'fastify-plugin';
import type { AccountPolicy } from '../src/accounts/account-service.js';
import { createPhoneSignIn, type PhoneSignIn } from '../src/accounts/phone-sign-in.js';
import { describeError } from '../src/lib/describe-error.js';

declare module 'fastify' {
  interface FastifyInstance {
    phoneSignIn: PhoneSignIn;
  }
}

export interface PhoneSignInOptions {
  policy: AccountPolicy;
}

/** Registration and login by one-time codes. */
export default fp<PhoneSignInOptions>(
  async (app, { policy }) => {
    const { database, stateStore: state, sessions, events, devices, otp, clock: now } = app;
    app.decorate(
      'phoneSignIn',
      createPhoneSignIn({
        accounts: database.accounts,
        events,
        state,
        sessions,
        otp,
        devices,
        policy,
        now,
        onTrouble: (error) => app.log.error({ err: describeError(error) }, 'a snapshot could not be written'),
      }),
    );
  },
  { name: 'phone-sign-in', dependencies: ['otp', 'sessions', 'device-cookie'] },
);
