import fp from 'fastify-plugin';
import { createSmsProvider, type SmsSettings } from '../src/delivery/create-sms-provider.js';
import type { SmsOutbox } from '../src/delivery/sms.js';
import { createSmsOutbox } from '../src/delivery/sms-outbox.js';
import { describeError } from '../src/lib/describe-error.js';
import { createOtpService, type OtpPolicy, type OtpService } from '../src/otp/otp-service.js';
import { limitAddress } from '../src/security/client-address.js';
import { createCodeLimits } from '../src/security/code-limits.js';
import type { Limit } from '../src/tokens/state-store.js';
import { countingCodes } from './counted-stores.js';
import { readableAtOnce } from './readable-outbox.js';

declare module 'fastify' {
  interface FastifyInstance {
    otp: OtpService;
  }
}

export interface OtpOptions {
  policy: OtpPolicy;
  /** `undefined`: no code can be sent. */
  sms: SmsSettings | undefined;
  /** `inline` where nothing runs after the answer, as on Lambda. */
  mode: 'background' | 'inline';
  /** Of `outbox.jsonl`. */
  dataDir: string;
  /** Its host name binds the codes to our pages. */
  publicUrl: URL;
  registration: 'open' | 'closed';
  /** Tries per address: logins and wrong codes. */
  perAddress: Limit | undefined;
}

/** One-time codes by phone, and what brings them there. */
export default fp<OtpOptions>(
  async (app, { policy, sms, mode, dataDir, publicUrl, registration, perAddress }) => {
    const { stateStore, tokenCodec, database, events, clock: now } = app;
    const outbox = sms && openOutbox(sms);
    if (outbox) app.meter.watchOutbox('sms', outbox.state);
    app.decorate(
      'otp',
      createOtpService({
        store: countingCodes(stateStore.otp, app.meter),
        outbox,
        policy,
        secrets: () => tokenCodec.deriveSecrets('one-time code'),
        accounts: database.accounts,
        limits: createCodeLimits({ store: stateStore, now, perAddress }),
        limitAddress,
        domain: publicUrl.hostname,
        registration,
        events,
        now,
        onSuspicion: (suspicions, country) =>
          app.log.warn({ suspicions, country }, 'sends of codes look like fraud'),
      }),
    );
    // Events and stores close after it: what is under way still arrives, what is lost is still told.
    app.addHook('onClose', async () => outbox?.close());

    function openOutbox(settings: SmsSettings): SmsOutbox {
      const provider = createSmsProvider(settings, { dataDir, now });
      const outbox = createSmsOutbox({
        provider,
        mode,
        onTrouble: (error, { final }) =>
          app.log[final ? 'error' : 'warn'](
            { err: describeError(error), provider: provider.name },
            final ? 'a text message was lost' : 'a text message will be tried again',
          ),
      });
      return settings.provider === 'console' ? readableAtOnce(outbox) : outbox;
    }
  },
  { name: 'otp', dependencies: ['sessions', 'state-store', 'tokens', 'database', 'metrics'] },
);
