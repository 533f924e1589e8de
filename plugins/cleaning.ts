import fp from 'fastify-plugin';
import { type Cleaner, createCleaner } from '../src/audit/cleaning.js';
import { describeError } from '../src/lib/describe-error.js';

declare module 'fastify' {
  interface FastifyInstance {
    cleaner: Cleaner;
  }
}

export interface CleaningOptions {
  /** Days that events are kept; `undefined`: for ever. */
  eventRetentionDays: number | undefined;
}

const EVERY_MS = 3_600_000;
/** A process that starts has other things to do first; and not all start at once to clean (ms). */
const FIRST_MS = 60_000;
/** Four fifths of the time are left to requests. */
const REST_FACTOR = 4;

/** Deletes what is too old and encrypts what is not, every hour, in the background, one process at a time. */
export default fp<CleaningOptions>(
  async (app, { eventRetentionDays: retentionDays }) => {
    const cleaner = createCleaner({ store: app.database.cleaning, retentionDays, now: app.clock });
    app.decorate('cleaner', cleaner);
    const closing = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    let working: Promise<void> | undefined;

    async function clean(): Promise<void> {
      try {
        const report = await cleaner.clean({ signal: closing.signal, restFactor: REST_FACTOR });
        if (report && Object.values(report).some((count) => count > 0)) app.log.info(report, 'cleaned');
      } catch (error) {
        app.log.warn({ err: describeError(error) }, 'the database could not be cleaned');
      }
    }

    function schedule(ms: number): void {
      if (closing.signal.aborted) return;
      timer = setTimeout(() => {
        working = clean().finally(() => schedule(EVERY_MS));
      }, ms).unref();
    }

    // Where nothing listens, nothing runs in the background either: there `latchkey clean` does it.
    app.addHook('onListen', async () => schedule(FIRST_MS * (1 + Math.random())));
    // The database closes after this.
    app.addHook('onClose', async () => {
      closing.abort();
      clearTimeout(timer);
      await working;
    });
  },
  { name: 'cleaning', dependencies: ['database', 'sessions'] },
);
