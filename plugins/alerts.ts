import fp from 'fastify-plugin';
import { type AttackWatch, createAttackWatch } from '../src/audit/alerts.js';
import { type AlertWebhooks, createAlertWebhooks } from '../src/delivery/alert-webhooks.js';
import { describeError } from '../src/lib/describe-error.js';
import { limitAddress } from '../src/security/client-address.js';

declare module 'fastify' {
  interface FastifyInstance {
    attackWatch: AttackWatch;
    /** Where alerts are posted to somebody. */
    alertWebhooks: AlertWebhooks | undefined;
  }
}

export interface AlertsOptions {
  /** Who is told of them; left out, they are only stored. */
  webhook: { url: string; secret: string } | undefined;
  /** `inline`: nothing is looked at or posted unless somebody asks for it. */
  mode: 'background' | 'inline';
}

/** Finds attacks in what is stored, and tells the operator. */
export default fp<AlertsOptions>(
  async (app, { webhook, mode }) => {
    const { database, events, clock: now } = app;
    const watch = createAttackWatch({
      summarize: database.events.summarize,
      raise: events.record,
      addressGroup: limitAddress,
      now,
      mode,
      onTrouble: (error) => app.log.warn({ err: describeError(error) }, 'events could not be looked at'),
    });
    app.decorate('attackWatch', watch);
    events.onStored(watch.note);
    // Before the events that wait are stored for the last time.
    app.addHook('onClose', async () => {
      watch.close();
      await watch.inspect();
    });
    const webhooks = webhook && openWebhooks(webhook);
    app.decorate('alertWebhooks', webhooks);
    if (!webhooks) return;
    app.addHook('onClose', () => webhooks.close());
    if (mode === 'inline') return;
    events.onStored((stored) => {
      if (stored.some(({ type }) => type === 'alert')) webhooks.wake();
    });
    // What an earlier process left behind, once this one serves.
    app.addHook('onListen', async () => webhooks.wake());

    function openWebhooks(target: { url: string; secret: string }): AlertWebhooks {
      return createAlertWebhooks({
        ...target,
        store: database.webhooks,
        now,
        onTrouble: (error) => app.log.warn({ err: describeError(error) }, 'an alert could not be posted'),
        onGivenUp() {
          app.log.error('an alert was given up: for a day ALERT_WEBHOOK_URL did not take it');
          events.record({ type: 'alert_undelivered' });
        },
      });
    }
  },
  { name: 'alerts', dependencies: ['database', 'sessions'] },
);
