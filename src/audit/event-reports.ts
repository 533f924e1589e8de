import { AuthError, type FieldFault } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import {
  EVENT_TYPES,
  type EventFilter,
  type EventStore,
  type EventType,
  type StoredEvent,
  type TimeSpan,
} from './events.js';
import { divideTime, type Interval, readTimeZone } from './time-buckets.js';

/** What the charts show, and the types of events that each series counts. */
const SERIES = {
  registrations: ['registered', 'account_created'],
  logins: ['login'],
  failures: ['login_failed'],
  refreshes: ['token_refreshed', 'token_replayed'],
  otp_sends: ['otp_sent'],
  otp_verifications: ['otp_verified'],
  otp_failures: ['otp_failed'],
  /** Whatever ended sessions before their time. */
  revocations: [
    'logout',
    'logout_all',
    'session_deleted',
    'sessions_ended_by_staff',
    'token_reused',
    'phone_verified',
    'password_changed',
    'password_reset',
    'account_disabled',
    'account_deleted',
  ],
  alerts: ['alert'],
} as const satisfies Record<string, readonly EventType[]>;

type SeriesName = keyof typeof SERIES;

export interface EventSearch extends Omit<EventFilter, 'types' | 'from' | 'to'> {
  /** Names of types, as they were typed. */
  types?: readonly string[] | undefined;
  /** ISO 8601 with a time zone. */
  from?: string | undefined;
  to?: string | undefined;
  before?: number | undefined;
  limit: number;
}

export interface StatsRequest {
  from?: string | undefined;
  to?: string | undefined;
  interval?: Interval | undefined;
  timeZone?: string | undefined;
}

export interface StatsReport {
  interval: Interval;
  timeZone: string;
  buckets: TimeSpan[];
  series: Record<SeriesName, number[]>;
}

export interface EventReportsNeeds {
  store: EventStore;
  now: Clock;
  /** Whether the text is an IP address. */
  isAddress(text: string): boolean;
}

export type EventReports = ReturnType<typeof createEventReports>;

/** One answer is at most so long. */
export const MAX_BUCKETS = 400;

const DEFAULT_SPAN_MS: Record<Interval, number> = { hour: 86_400_000, day: 30 * 86_400_000 };

/** What operators ask about security events. */
export function createEventReports({ store, now, isAddress }: EventReportsNeeds) {
  /** @throws invalid_request, store_unavailable */
  async function search({ types, from, to, before, limit, ...filter }: EventSearch): Promise<StoredEvent[]> {
    const faults: FieldFault[] = [];
    const known = types?.flatMap((name) => EVENT_TYPES.find((type) => type === name) ?? []);
    if (known?.length !== types?.length) faults.push({ field: 'type', code: 'invalid_value' });
    if (filter.ip !== undefined && !isAddress(filter.ip))
      faults.push({ field: 'ip', code: 'invalid_format' });
    const span = { from: readInstant('from', from, faults), to: readInstant('to', to, faults) };
    if (faults.length > 0) throw new AuthError('invalid_request', { errors: faults });
    return store.list({ ...filter, ...span, types: known && [...new Set(known)] }, { before, limit });
  }

  /**
   * Numbers over time, from counts that outlive the events. What happened in the last second may still be missing.
   * @throws invalid_request, store_unavailable
   */
  async function stats({
    interval = 'hour',
    timeZone = 'UTC',
    ...asked
  }: StatsRequest): Promise<StatsReport> {
    const faults: FieldFault[] = [];
    const zone = readTimeZone(timeZone);
    if (!zone) faults.push({ field: 'time_zone', code: 'invalid_value' });
    const to = readInstant('to', asked.to, faults) ?? now();
    const from = readInstant('from', asked.from, faults) ?? to - DEFAULT_SPAN_MS[interval];
    if (!zone || faults.length > 0) throw new AuthError('invalid_request', { errors: faults });
    if (from >= to)
      throw new AuthError('invalid_request', { errors: [{ field: 'from', code: 'too_large' }] });
    const buckets = divideTime({ from, to }, interval, zone, MAX_BUCKETS);
    if (!buckets) throw new AuthError('invalid_request', { errors: [{ field: 'from', code: 'too_small' }] });

    const counts = await store.count(buckets, Object.values(SERIES).flat());
    return { interval, timeZone, buckets, series: toSeries(counts, buckets.length) };
  }

  return { search, stats };
}

/** The years that PostgreSQL, SQLite and JavaScript count alike. */
const MIN_INSTANT = Date.UTC(2000, 0);
const MAX_INSTANT = Date.UTC(2200, 0);

function readInstant(field: string, text: string | undefined, faults: FieldFault[]): number | undefined {
  if (text === undefined) return undefined;
  const instant = Date.parse(text);
  if (Number.isNaN(instant)) faults.push({ field, code: 'invalid_format' });
  else if (instant < MIN_INSTANT) faults.push({ field, code: 'too_small' });
  else if (instant > MAX_INSTANT) faults.push({ field, code: 'too_large' });
  return instant;
}

function toSeries(
  counts: readonly { span: number; type: EventType; count: number }[],
  length: number,
): StatsReport['series'] {
  const sumOf = (types: readonly EventType[]): number[] => {
    const numbers = new Array<number>(length).fill(0);
    for (const { span, type, count } of counts) {
      if (types.includes(type)) numbers[span] = (numbers[span] ?? 0) + count;
    }
    return numbers;
  };
  const entries = Object.entries(SERIES).map(([name, types]) => [name, sumOf(types)]);
  return Object.fromEntries(entries) as StatsReport['series'];
}
