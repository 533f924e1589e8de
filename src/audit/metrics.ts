import { CODES, type Code } from '../contract/codes.js';
import type { OutboxState } from '../delivery/port.js';
import type { AnswerVerdict, SpendRules, SpendSuspicion } from '../otp/otp-store.js';
import { EVENT_TYPES, type EventType } from './events.js';
import { createHistogram, type Histogram } from './histogram.js';
import { counter, createExposition, type Definition, gauge, histogram, type Labels } from './prometheus.js';

/** Redis is timed by the command, SQL (with the embedded state in it) by the call. */
export type MeasuredStore = 'redis' | 'sql';

/** Security events wait for the database, password hashes for a core. */
export type Queue = 'events' | 'password_hashes';
export type Channel = 'sms' | 'email';

export interface Metrics {
  countEvent(type: EventType): void;
  /** Security events that were given up for good. */
  countDropped(events: number): void;
  /** An answer with a code. */
  countFailure(code: Code): void;
  /** A one-time code that somebody typed. */
  countTypedCode(result: AnswerVerdict['status']): void;
  countSuspicion(kind: SpendSuspicion, mode: SpendRules['mode']): void;
  countStoreCall(store: MeasuredStore, ms: number, hasFailed: boolean): void;
  /** `route` is the pattern; `undefined` where there is none. */
  countRequest(method: string, route: string | undefined, status: number, ms: number): void;
  /** Asked, when somebody reads the metrics, how many wait. */
  watchQueue(queue: Queue, waiting: () => number): void;
  watchOutbox(channel: Channel, state: () => OutboxState): void;
  /** All of it, in Prometheus's text format. */
  render(): Promise<string>;
}

export interface MetricsNeeds {
  statusOf: Readonly<Record<Code, number>>;
  /** Tell of the process too (CPU, memory, event loop): where it is ours. */
  ofProcess: boolean;
}

/** Seconds. A check of a token takes about one millisecond, a password a hundred. */
const REQUEST_BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5];
/** Seconds. Whatever takes longer than the last is a store that is away. */
const STORE_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1];

const RESULTS = ['right', 'wrong', 'none', 'spent'] as const satisfies AnswerVerdict['status'][];
const SUSPICIONS = ['country', 'address', 'daily_cap'] as const satisfies SpendSuspicion[];

/** Node.js knows more of them; together they are one label. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/**
 * Counts in plain numbers, at next to no cost to a request, and makes Prometheus's metrics of them when somebody reads.
 * Every label is from a closed list: no id, address or number of a person can become one.
 */
export function createMetrics({ statusOf, ofProcess }: MetricsNeeds): Metrics {
  const events = createTally(EVENT_TYPES);
  const failures = createTally(CODES);
  const typedCodes = createTally(RESULTS);
  const suspicions = { record: createTally(SUSPICIONS), deny: createTally(SUSPICIONS) };
  const stores = { redis: createCallCounts(), sql: createCallCounts() };
  const requests = createRequestCounts();
  const queues = new Map<Queue, () => number>();
  const outboxes = new Map<Channel, () => OutboxState>();
  let dropped = 0;

  const definitions: Definition[] = [
    counter('events_total', 'What happened to accounts and sessions, by type of security event.', () =>
      events.read().map(([type, value]) => ({ labels: { type }, value })),
    ),
    counter('events_dropped_total', 'Security events that could not be stored and were given up.', () => [
      { value: dropped },
    ]),
    gauge('queue_waiting', 'Security events that wait for SQL, password hashes that wait for a core.', () =>
      [...queues].map(([queue, waiting]) => ({ labels: { queue }, value: waiting() })),
    ),
    counter('failures_total', 'Answers that refuse or fail, by their code.', () =>
      failures.read().map(([code, value]) => ({ labels: { code, status: statusOf[code] }, value })),
    ),
    counter('otp_verifications_total', 'One-time codes that were typed, by what they were.', () =>
      typedCodes.read().map(([result, value]) => ({ labels: { result }, value })),
    ),
    counter('spend_guard_total', 'Sends of codes that look like fraud, by what it was noticed by.', () =>
      Object.entries(suspicions).flatMap(([mode, kinds]) =>
        kinds.read().map(([kind, value]) => ({ labels: { kind, mode }, value })),
      ),
    ),
    gauge('messages_waiting', 'Messages taken and neither delivered nor given up.', () =>
      [...outboxes].map(([channel, state]) => ({ labels: { channel }, value: state().waiting })),
    ),
    gauge('delivery_breaker_open', '1 while a provider is left alone because it kept failing.', () =>
      [...outboxes].map(([channel, state]) => ({ labels: { channel }, value: Number(state().isBroken) })),
    ),
    histogram(
      'http_request_duration_seconds',
      'Requests, by the pattern of their route; unmatched where there is none.',
      requests.read,
    ),
    histogram('store_duration_seconds', 'Commands to Redis and calls of SQL, failed ones included.', () =>
      Object.entries(stores).map(([store, { durations }]) => ({ labels: { store }, histogram: durations })),
    ),
    counter(
      'store_errors_total',
      'Those that the store did not answer in time, or could not carry out.',
      () => Object.entries(stores).map(([store, { errors }]) => ({ labels: { store }, value: errors })),
    ),
  ];

  return {
    countEvent: events.count,
    countFailure: failures.count,
    countTypedCode: typedCodes.count,
    countSuspicion: (kind, mode) => suspicions[mode].count(kind),
    countDropped(events) {
      dropped += events;
    },
    countStoreCall(store, ms, hasFailed) {
      const counts = stores[store];
      counts.durations.observe(ms / 1000);
      if (hasFailed) counts.errors += 1;
    },
    countRequest: requests.count,
    watchQueue: (queue, waiting) => void queues.set(queue, waiting),
    watchOutbox: (channel, state) => void outboxes.set(channel, state),
    render: createExposition(definitions, { ofProcess }),
  };
}

/** Counts by a closed list of keys. All are there from the start: a rate misses the first of what appears. */
function createTally<Key extends string>(keys: readonly Key[]) {
  const counts = Object.fromEntries(keys.map((key) => [key, 0])) as Record<Key, number>;
  return {
    count(key: Key): void {
      counts[key] += 1;
    },
    read: () => Object.entries(counts) as [Key, number][],
  };
}

const createCallCounts = () => ({ durations: createHistogram(STORE_BOUNDS), errors: 0 });

/** Durations by route, method and class of status; there from the first request on. */
function createRequestCounts() {
  const routes = new Map<string, Map<string, Histogram[]>>();
  return {
    count(method: string, route = 'unmatched', status: number, ms: number): void {
      const methods = getOrMake(routes, route, () => new Map<string, Histogram[]>());
      const classes = getOrMake(methods, METHODS.has(method) ? method : 'other', () => []);
      const statusClass = Math.trunc(status / 100);
      classes[statusClass] ??= createHistogram(REQUEST_BOUNDS);
      classes[statusClass].observe(ms / 1000);
    },
    *read(): Iterable<{ labels: Labels; histogram: Histogram }> {
      for (const [route, methods] of routes) {
        for (const [method, classes] of methods) {
          for (const [statusClass, histogram] of Object.entries(classes)) {
            yield { labels: { method, route, status: `${statusClass}xx` }, histogram };
          }
        }
      }
    },
  };
}

function getOrMake<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
