import fp from 'fastify-plugin';
import { type Contacts, createContacts } from '../src/accounts/contacts.js';
import { createPasswords, type Passwords } from '../src/accounts/passwords.js';
import { describeError } from '../src/lib/describe-error.js';
import { readPhoneNumber } from '../src/otp/phone-number.js';

declare module 'fastify' {
  interface FastifyInstance {
    passwords: Passwords;
    contacts: Contacts;
  }
}

export interface CredentialsOptions {
  /** Whose national numbers need no country code. */
  phoneRegion: string;
}

/** Changing a password, an address or a number, and getting back in without the password. */
export default fp<CredentialsOptions>(
  async (app, { phoneRegion }) => {
    const { database, stateStore: state, sessions, events, devices, otp, clock: now } = app;
    const { tickets, accountMail: mail, mailLimits: limits, emailVerification, passwordCheck: check } = app;
    const needs = {
      accounts: database.accounts,
      credentials: database.credentials,
      check,
      events,
      state,
      devices,
      otp,
      tickets,
      mail,
      limits,
      now,
      onTrouble: (error: unknown) =>
        app.log.error({ err: describeError(error) }, 'a change could not be told to the state store'),
    };
    app.decorate(
      'passwords',
      createPasswords({
        ...needs,
        sessions,
        logins: state.logins,
        readPhone: (raw) => readPhoneNumber(raw, phoneRegion)?.e164,
      }),
    );
    app.decorate('contacts', createContacts({ ...needs, verification: emailVerification }));
  },
  { name: 'credentials', dependencies: ['accounts', 'otp', 'email'] },
);
