import fp from 'fastify-plugin';
import { createRoleAdmin, type RoleAdmin } from '../src/accounts/role-definitions.js';
import { createUserAdmin, type UserAdmin } from '../src/accounts/user-admin.js';
import type { Locale } from '../src/contract/messages.js';
import { AuthError } from '../src/errors.js';
import { describeError } from '../src/lib/describe-error.js';
import { readPhoneNumber } from '../src/otp/phone-number.js';

declare module 'fastify' {
  interface FastifyInstance {
    userAdmin: UserAdmin;
    roleAdmin: RoleAdmin;
  }
}

export interface AdminOptions {
  defaultRole: string;
  /** Whose national numbers need no country code. */
  phoneRegion: string;
  /** Of messages to those of whom no preference is known. */
  defaultLocale: Locale;
  /** Whether the start may wait for SQL, to warn of a `defaultRole` that nobody defined. */
  checksRole: boolean;
}

/** What staff do with accounts and roles. */
export default fp<AdminOptions>(
  async (app, { defaultRole, phoneRegion, defaultLocale, checksRole }) => {
    const { database, stateStore: state, sessions, events, roles, accountMail, clock: now } = app;
    const { countEvent } = app.meter;
    app.decorate(
      'userAdmin',
      createUserAdmin({
        store: database.userAdmin,
        accounts: database.accounts,
        eventStore: database.events,
        events,
        countEvent,
        state,
        sessions,
        tellMoved: (oldEmail) => accountMail.notify('email_changed', oldEmail, defaultLocale),
        readPhone: (raw) => readPhoneNumber(raw, phoneRegion)?.e164,
        now,
        onTrouble: (error) => app.log.error({ err: describeError(error) }, 'a snapshot could not be written'),
      }),
    );
    app.decorate(
      'roleAdmin',
      createRoleAdmin({ store: database.roles, events, countEvent, defaultRole, renew: roles.renew }),
    );

    // Only a warning: the role may be about to be made, and until then it allows nothing.
    app.addHook('onReady', async () => {
      if (checksRole && (await isMissing(defaultRole))) {
        app.log.warn({ role: defaultRole }, 'DEFAULT_ROLE is a role that is not defined: it allows nothing');
      }
    });

    async function isMissing(role: string): Promise<boolean> {
      try {
        return (await database.roles.listRoles()).every(({ name }) => name !== role);
      } catch (error) {
        // A service starts without its stores as well.
        if (error instanceof AuthError && error.code === 'store_unavailable') return false;
        throw error;
      }
    }
  },
  { name: 'admin', dependencies: ['sessions', 'database', 'state-store', 'email', 'metrics'] },
);
