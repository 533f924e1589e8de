import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { createCircuitBreaker } from './circuit-breaker.js';
import { DeliveryError, type Outbox, type Provider } from './port.js';

export interface OutboxNeeds<Message> {
  provider: Provider<Message>;
  /** `inline` where nothing runs after the answer, as on Lambda. */
  mode: 'background' | 'inline';
  /** Told of every try that failed; `final`: the message was given up. The error is fit for the log. */
  onTrouble(error: DeliveryError, { final }: { final: boolean }): void;
  /** Only differences count. By default a clock that nobody sets. */
  now?: Clock;
  /** From 0 to 1, for the jitter. */
  random?: () => number;
  limits?: Partial<OutboxLimits>;
}

/** What one kind of message bears and another does not. */
export interface Patience {
  /** Calls to the provider at once. */
  concurrency: number;
  /** How long the provider may take for one try (ms). */
  tryTimeoutMs: number;
  /** Pauses between the tries (ms); one more try than pauses. Each is cut by up to a half, at random. */
  pausesMs: readonly number[];
  /** How old a message may become (ms). */
  maxAgeMs: number;
}

export interface OutboxLimits extends Patience {
  /** Messages taken and not yet delivered or given up, those under way included. */
  maxWaiting: number;
  /** Failures of the provider in a row, of whatever messages, after which it is left alone. */
  breakerThreshold: number;
  /** How long it is left alone (ms) before one message tries again. */
  breakerCoolMs: number;
  /** How long `post` takes in `inline` mode (ms). */
  inlineMs: number;
  /** How long `close` waits (ms): less than what a supervisor leaves a process before it kills it. */
  closeMs: number;
}

const DEFAULTS: Omit<OutboxLimits, keyof Patience> = {
  maxWaiting: 1000,
  breakerThreshold: 5,
  breakerCoolMs: 10_000,
  inlineMs: 2500,
  closeMs: 3000,
};

/** The end of `inlineMs`, in which no try runs any more: `onLost` may have to reach a store (ms). */
const INLINE_REST_MS = 250;
/** What callers are told to wait while too much waits already (ms). */
const FULL_WAIT_MS = 5000;

type OnLost = (error: unknown) => void;

/** A message on its way. */
interface Job<Message> {
  message: Message;
  onLost: OnLost;
  expiresAt: number;
  tries: number;
  /** The last try's. */
  failure: DeliveryError | undefined;
  /** Ends the try under way. */
  running: AbortController | undefined;
  /** Delivered or given up: whatever still happens to it counts no more. */
  ended: boolean;
  expiry: NodeJS.Timeout | undefined;
}

/**
 * Brings messages to a provider in a bounded queue: several at once, several tries each, and none while the provider
 * keeps failing.
 *
 * In the background `post` resolves at once, and the provider is first called in a later turn of the event loop,
 * after the answer was written: what the answer takes does not depend on whether there was a message.
 *
 * Inline there is no later turn, so `post` takes the same `inlineMs` whatever happens. A mere floor would give away
 * every recipient whose message took longer. What is not delivered by then is given up, and that is not told either:
 * `onLost` is called before `post` resolves, the caller answers as ever, and the breaker makes the next ones 503.
 */
export function createOutbox<Message extends object>(
  needs: OutboxNeeds<Message>,
  patience: Patience,
): Outbox<Message> {
  const { provider, mode, onTrouble, now = () => performance.now(), random = Math.random } = needs;
  const limits: OutboxLimits = { ...DEFAULTS, ...patience, ...needs.limits };
  const maxAgeMs = mode === 'inline' ? limits.inlineMs - INLINE_REST_MS : limits.maxAgeMs;
  const breaker = createCircuitBreaker({
    threshold: limits.breakerThreshold,
    coolMs: limits.breakerCoolMs,
    now,
  });

  const jobs = new Set<Job<Message>>();
  /** Those whose turn it is as soon as there is a place. */
  let ready: Job<Message>[] = [];
  let running = 0;
  let willWake = false;
  let closing: Promise<void> | undefined;
  let onEmpty: () => void = () => undefined;

  function take(message: Message, onLost: OnLost): void {
    const job: Job<Message> = {
      message,
      onLost,
      expiresAt: now() + maxAgeMs,
      tries: 0,
      failure: undefined,
      running: undefined,
      ended: false,
      expiry: undefined,
    };
    const refusal = closing ? 'the service is ending' : isFull() ? 'too many messages wait' : undefined;
    if (refusal === undefined) {
      jobs.add(job);
      job.expiry = later(maxAgeMs, () => expire(job));
    }
    afterAnswer(() => (refusal === undefined ? offer(job) : lose(job, ownFailure(refusal))));
  }

  const isFull = (): boolean => jobs.size >= limits.maxWaiting;

  /** Handlers write their answer within the turn of the event loop in which they end. */
  const afterAnswer = (run: () => void): void => {
    if (mode === 'inline') run();
    else setImmediate(run);
  };

  function offer(job: Job<Message>): void {
    if (job.ended) return;
    ready.push(job);
    pump();
  }

  function pump(): void {
    for (let job = ready[0]; job && running < limits.concurrency; job = ready[0]) {
      // Its timer may be late: after a pause of the whole machine, say.
      if (now() >= job.expiresAt) {
        expire(job);
        continue;
      }
      const report = breaker.enter();
      if (!report) {
        wakeLater();
        return;
      }
      ready.shift();
      void attempt(job, report);
    }
  }

  /** When the provider may be called again. */
  function wakeLater(): void {
    if (willWake) return;
    willWake = true;
    later(breaker.waitMs(), () => {
      willWake = false;
      pump();
    });
  }

  async function attempt(job: Job<Message>, report: (failed: boolean) => void): Promise<void> {
    running += 1;
    job.tries += 1;
    const failure = await tryOnce(job);
    running -= 1;
    if (!job.ended) {
      // A recipient whom the provider refuses shows that the provider is well.
      report(failure?.ofProvider === true);
      if (failure) tryAgain(job, failure);
      else end(job);
    }
    pump();
  }

  /** Resolves when the provider has, or the time is up, whether or not the provider heeds the signal. */
  async function tryOnce(job: Job<Message>): Promise<DeliveryError | undefined> {
    const controller = new AbortController();
    const { signal } = controller;
    job.running = controller;
    const cut = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    const timer = later(limits.tryTimeoutMs, () => controller.abort(tooLate()));
    try {
      await Promise.race([provider.send(job.message, signal), cut]);
      return undefined;
    } catch (error) {
      return signal.aborted ? (signal.reason as DeliveryError) : readFailure(error);
    } finally {
      clearTimeout(timer);
      job.running = undefined;
    }
  }

  const tooLate = (): DeliveryError =>
    new DeliveryError(`${provider.name} did not answer in time`, { retryable: true });

  function readFailure(error: unknown): DeliveryError {
    if (error instanceof DeliveryError) return error;
    // Whatever it says may hold the message: only its kind is told.
    const kind = error instanceof Error && /^[A-Za-z]\w{0,40}$/.test(error.name) ? error.name : typeof error;
    return new DeliveryError(`${provider.name} failed (${kind})`, { retryable: true });
  }

  function tryAgain(job: Job<Message>, failure: DeliveryError): void {
    const pauseMs = failure.retryable ? pauseAfter(job.tries) : undefined;
    if (pauseMs === undefined || now() + pauseMs >= job.expiresAt) {
      lose(job, failure);
      return;
    }
    job.failure = failure;
    onTrouble(failure, { final: false });
    later(pauseMs, () => offer(job));
  }

  /** `undefined`: it was the last try. */
  function pauseAfter(tries: number): number | undefined {
    const pauseMs = limits.pausesMs[tries - 1];
    return pauseMs === undefined ? undefined : pauseMs * (1 - random() / 2);
  }

  function expire(job: Job<Message>): void {
    if (job.running) job.running.abort(tooLate());
    else lose(job, job.failure ?? ownFailure('the message waited too long'));
  }

  function lose(job: Job<Message>, failure: DeliveryError): void {
    end(job);
    onTrouble(failure, { final: true });
    job.onLost(failure);
  }

  function end(job: Job<Message>): void {
    job.ended = true;
    clearTimeout(job.expiry);
    ready = ready.filter((each) => each !== job);
    jobs.delete(job);
    if (jobs.size === 0) onEmpty();
  }

  async function drain(): Promise<void> {
    if (jobs.size > 0) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        onEmpty = resolve;
        timer = setTimeout(resolve, limits.closeMs);
      });
      clearTimeout(timer);
    }
    for (const job of [...jobs]) {
      const { running: under } = job;
      lose(job, ownFailure('the service is ending'));
      under?.abort();
    }
    provider.close?.();
  }

  return {
    requireOpen() {
      const takesNone = closing !== undefined || isFull();
      const waitMs = takesNone ? FULL_WAIT_MS : breaker.waitMs();
      if (waitMs === 0) return;
      throw new AuthError('delivery_unavailable', {
        retryAfter: Math.ceil(waitMs / 1000),
        why: takesNone ? 'the outbox is full or closed' : `${provider.name} keeps failing`,
      });
    },
    async post(message, onLost) {
      const isOver = mode === 'inline' ? pause(limits.inlineMs) : undefined;
      if (message) take(message, onLost);
      await isOver;
    },
    state: () => ({ waiting: jobs.size, isBroken: breaker.waitMs() > 0 }),
    close() {
      closing ??= drain();
      return closing;
    },
  };
}

/** No reason for the process to live on: whoever waits for a message has a timer of its own. */
const later = (ms: number, run: () => void): NodeJS.Timeout => setTimeout(run, ms).unref();

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** It is of our making: it says nothing about the provider. */
const ownFailure = (text: string): DeliveryError =>
  new DeliveryError(text, { retryable: true, ofProvider: false });
