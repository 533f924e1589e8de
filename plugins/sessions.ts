import fp from 'fastify-plugin';
import { createRoleService, type RoleService } from '../src/accounts/roles.js';
import { createEventRecorder } from '../src/audit/event-recorder.js';
import type { EventRecorder } from '../src/audit/events.js';
import type { Clock } from '../src/lib/clock.js';
import { describeError } from '../src/lib/describe-error.js';
import type { ClaimRules } from '../src/tokens/claims.js';
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
  now: Clock;
  /** Whether events wait for the next batch or for whoever answers. */
  mode: 'background' | 'inline';
}

/** The token core: sessions, their tokens, rotation; and the events that tell of them. */
export default fp<SessionsOptions>(
  async (app, { rules, policy, customClaims, now, mode }) => {
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
        customClaims,
      }),
    );
    // Requests in flight are over by now, and the database closes after this.
    app.addHook('onClose', () => events.close());
  },
  { name: 'sessions', dependencies: ['database', 'state-store', 'tokens', 'metrics'] },
);
