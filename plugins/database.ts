import fp from 'fastify-plugin';
import type { AccountStore } from '../src/accounts/account-store.js';
import type { OauthClientStore } from '../src/accounts/oauth-clients.js';
import type { RoleStore } from '../src/accounts/roles.js';
import type { EventStore } from '../src/audit/events.js';
import { describeError } from '../src/lib/describe-error.js';
import { createAccountStore } from '../src/stores/sql/account-store.js';
import { type Database, openDatabase } from '../src/stores/sql/database.js';
import { createEventStore } from '../src/stores/sql/event-store.js';
import { createOauthClientStore } from '../src/stores/sql/oauth-client-store.js';
import { createRoleStore } from '../src/stores/sql/role-store.js';

declare module 'fastify' {
  interface FastifyInstance {
    database: Database & {
      accounts: AccountStore;
      events: EventStore;
      roles: RoleStore;
      clients: OauthClientStore;
    };
  }
}

export interface DatabaseOptions {
  url: string | undefined;
  dataDir: string;
  /** Bring the schema up to date before anything else. */
  migrate: boolean;
}

/** What must never be lost: PostgreSQL, or the embedded file. */
export default fp<DatabaseOptions>(
  async (app, { url, dataDir, migrate }) => {
    const database = openDatabase({
      url,
      dataDir,
      onError: (error) => app.log.warn({ err: describeError(error) }, 'a database connection was lost'),
    });
    app.addHook('onClose', () => database.close());
    if (migrate) {
      const ran = await database.migrate();
      if (ran.length > 0) app.log.info({ migrations: ran }, 'database migrated');
    }
    const { db } = database;
    app.decorate('database', {
      ...database,
      accounts: createAccountStore(db),
      events: createEventStore(db),
      roles: createRoleStore(db),
      clients: createOauthClientStore(db),
    });
  },
  { name: 'database' },
);
