import fp from 'fastify-plugin';
import { createAccountChanges } from '../src/accounts/account-changes.js';
import { createRoleService, type RoleService } from '../src/accounts/roles.js';
import { createEventRecorder } from '../src/audit/event-recorder.js';
import type { EventRecorder } from '../src/audit/events.js';
import type { Clock } from '../src/lib/clock.js';
import { describeError } from '../src/lib/describe-error.js';
import type { ClaimRules } from '../src/tokens/claims.js';
import type { VerifyingKey } from '../src/tokens/key-set.js';
import { createLegacyTokens } from '../src/tokens/legacy-tokens.js';
import type { TokenPolicy } from '../src/tokens/policy.js';
import {
  createSessionService,
  type SessionService,
  type SessionServiceNeeds,
} from '../src/tokens/session-service.js';

declare module 'fastify' {
  interface FastifyInstance {
    sessions: SessionService;
    events: EventRecorder;
    roles: RoleService;
    clock: Clock;
  }
}

export interface SessionsOptions {
  rules: ClaimRules;
  policy: TokenPolicy;
  customClaims?: SessionServiceNeeds['customClaims'];
  /** By what an old system's tokens are verified, and until when they are taken (seconds since the epoch). */
  legacyTokens?: { key: VerifyingKey; until: number | undefined } | undefined;
  /** Whether there are keys that outlive every session, so that a session's end must reach the account. */
  drfTokens: boolean;
  now: Clock;
  /** Whether events wait for the next batch or for whoever answers. */
  mode: 'background' | 'inline';
}

/** The token core: sessions, their tokens, rotation; and the events that tell of them. */
export default fp<SessionsOptions>(
  async (app, { rules, policy, customClaims, legacyTokens, drfTokens, now, mode }) => {
    const { database, stateStore: store, tokenCodec: codec } = app;
    const roles = createRoleService({
      store: database.roles,
      now,
      onTrouble: (error) => app.log.warn({ err: describeError(error) }, 'roles could not be read again'),
    });
    const events = createEventRecorder({
      store: database.events,
      now,
      mode,
      onEvent: app.meter.countEvent,
      onTrouble: (error, dropped) => {
        app.meter.countDropped(dropped);
        app.log.error({ err: describeError(error), dropped }, 'security events could not be stored');
      },
    });
    app.meter.watchQueue('events', events.waiting);
    app.decorate('clock', now);
    app.decorate('events', events);
    app.decorate('roles', roles);
    const { endSessions } = createAccountChanges({
      accounts: database.accounts,
      events,
      state: store,
      now,
      onTrouble: (error) => app.log.error({ err: describeError(error) }, 'a snapshot could not be written'),
    });
    const legacy =
      legacyTokens &&
      createLegacyTokens({
        rules: { ...rules, until: legacyTokens.until, key: legacyTokens.key.public },
        store: database.legacyTokens,
        state: store,
        sessionMaxLifetime: policy.sessionMaxLifetime,
        now,
      });
    app.decorate(
      'sessions',
      createSessionService({
        store,
        codec,
        rules,
        policy,
        events,
        now,
        findUser: database.accounts.findById,
        permissionsOf: roles.permissionsOf,
        legacy,
        endByAccount: legacy || drfTokens ? endSessions : undefined,
        customClaims,
      }),
    );
    // Requests in flight are over by now, and the database closes after this.
    app.addHook('onClose', () => events.close());
  },
  { name: 'sessions', dependencies: ['database', 'state-store', 'tokens', 'metrics'] },
);
