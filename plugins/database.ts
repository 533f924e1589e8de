import fp from 'fastify-plugin';
import type { AccountStore } from '../src/accounts/account-store.js';
import type { CredentialStore } from '../src/accounts/credential-store.js';
import type { DrfTokenStore } from '../src/accounts/drf-tokens.js';
import type { OauthClientStore } from '../src/accounts/oauth-clients.js';
import type { RoleDefinitions } from '../src/accounts/role-definitions.js';
import type { UserAdminStore } from '../src/accounts/user-admin-store.js';
import { describeAlert } from '../src/audit/alerts.js';
import type { CleaningStore } from '../src/audit/cleaning.js';
import type { EventStore } from '../src/audit/events.js';
import { createFieldCipher } from '../src/audit/field-cipher.js';
import type { WebhookStore } from '../src/delivery/alert-webhooks.js';
import { describeError } from '../src/lib/describe-error.js';
import { createAccountStore } from '../src/stores/sql/account-store.js';
import { createCleaningStore } from '../src/stores/sql/cleaning-store.js';
import { createCredentialStore } from '../src/stores/sql/credential-store.js';
import { type Database, openDatabase } from '../src/stores/sql/database.js';
import { createDrfTokenStore } from '../src/stores/sql/drf-token-store.js';
import { createEventStore } from '../src/stores/sql/event-store.js';
import { createEventWriter } from '../src/stores/sql/event-writer.js';
import { createLegacyTokenStore } from '../src/stores/sql/legacy-token-store.js';
import { createOauthClientStore } from '../src/stores/sql/oauth-client-store.js';
import { createPasswordCostStore, type PasswordCostStore } from '../src/stores/sql/password-cost-store.js';
import { createRoleStore } from '../src/stores/sql/role-store.js';
import { createUserAdminStore } from '../src/stores/sql/user-admin-store.js';
import { createWebhookStore } from '../src/stores/sql/webhook-store.js';
import type { LegacyTokenStore } from '../src/tokens/legacy-store.js';
import { countingChanges, countingEvents, timed } from './counted-stores.js';

declare module 'fastify' {
  interface FastifyInstance {
    database: Database & {
      accounts: AccountStore;
      credentials: CredentialStore;
      events: EventStore;
      cleaning: CleaningStore;
      webhooks: WebhookStore;
      roles: RoleDefinitions;
      userAdmin: UserAdminStore;
      clients: OauthClientStore;
      passwordCosts: PasswordCostStore;
      legacyTokens: LegacyTokenStore;
      drfTokens: DrfTokenStore;
    };
  }
}

export interface DatabaseOptions {
  url: string | undefined;
  dataDir: string;
  /** The process stands still between requests. */
  mayFreeze: boolean;
  /** Bring the schema up to date before anything else. */
  migrate: boolean;
  /** What encrypts personal fields of events: see `createFieldCipher`. */
  dataKeys: readonly string[];
  /** Whether alerts are posted to somebody. */
  postsAlerts: boolean;
}

/** What must never be lost: PostgreSQL, or the embedded file. */
export default fp<DatabaseOptions>(
  async (app, { url, dataDir, mayFreeze, migrate, dataKeys, postsAlerts }) => {
    const database = openDatabase({
      url,
      dataDir,
      mayFreeze,
      onError(error) {
        // What is lost while the process stands still is no news.
        if (!mayFreeze) app.log.warn({ err: describeError(error) }, 'a database connection was lost');
      },
    });
    app.addHook('onClose', () => database.close());
    if (migrate) {
      const ran = await database.migrate();
      if (ran.length > 0) app.log.info({ migrations: ran }, 'database migrated');
    }
    const { db, dialect, ping } = database;
    const cipher = createFieldCipher(dataKeys);
    const write = createEventWriter(dialect, {
      cipher,
      describeAlert: postsAlerts ? describeAlert : undefined,
    });
    const { meter } = app;
    app.decorate('database', {
      ...database,
      ...timed({ ping }, meter),
      accounts: timed(countingEvents(createAccountStore(database, write), meter), meter),
      credentials: timed(countingChanges(createCredentialStore(db, write), meter), meter),
      events: timed(createEventStore(db, { dialect, cipher, write }), meter),
      cleaning: createCleaningStore(db, { dialect, cipher }),
      webhooks: createWebhookStore(db, { dialect, cipher }),
      roles: timed(createRoleStore(db, write), meter),
      userAdmin: timed(createUserAdminStore(db, write), meter),
      clients: timed(createOauthClientStore(db), meter),
      passwordCosts: timed(createPasswordCostStore(db), meter),
      legacyTokens: timed(createLegacyTokenStore(db), meter),
      drfTokens: timed(createDrfTokenStore(db), meter),
    });
  },
  { name: 'database', dependencies: ['metrics'] },
);
