import type { TimeSpan } from './events.js';

export type Interval = 'hour' | 'day';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Every zone in use is a whole number of quarters of an hour away from UTC, and so are its changes of clock. */
export const QUARTER_MS = 900_000;

/** `undefined` for a name that nobody knows. */
export function readTimeZone(name: string): TimeZone | undefined {
  try {
    return createTimeZone(name);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

export interface TimeZone {
  /** As it was asked for. */
  name: string;
  /** What the clocks show there, as if they were in UTC (ms); of moments after 1970. */
  toLocal(instant: number): number;
}

function createTimeZone(name: string): TimeZone {
  const format = new Intl.DateTimeFormat('en', {
    ...{ timeZone: name, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23' },
    ...{ year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit' },
  });
  return {
    name,
    toLocal(instant) {
      const parts = Object.fromEntries(
        format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]),
      ) as Record<'year' | 'month' | 'day' | 'hour' | 'minute', number>;
      const { year, month, day, hour, minute } = parts;
      // Seconds are the same everywhere: no offset in use has any.
      return Date.UTC(year, month - 1, day, hour, minute) + (instant % 60_000);
    },
  };
}

/**
 * Hours or days one after the other, of which the first holds `from` and the last ends at `to` or holds it. A day is
 * from midnight to midnight where the zone is: 23 or 25 hours when the clock changes. An hour begins on the hour there.
 * @returns `undefined` when there would be more than `max`
 */
export function divideTime(
  { from, to }: TimeSpan,
  interval: Interval,
  zone: TimeZone,
  max: number,
): TimeSpan[] | undefined {
  const next = interval === 'day' ? nextDay : nextHour;
  const spans: TimeSpan[] = [];
  for (let start = beginOf(interval, from, zone); start < to; ) {
    if (spans.length === max) return undefined;
    const end = next(start, zone);
    spans.push({ from: start, to: end });
    start = end;
  }
  return spans;
}

function beginOf(interval: Interval, instant: number, zone: TimeZone): number {
  const local = zone.toLocal(instant);
  if (interval === 'hour') return instant - (local % HOUR_MS);
  return beginOfDay(local - (local % DAY_MS), instant - (local % DAY_MS), zone);
}

/** Where the clocks change by an hour, hours go on; where it is half an hour (Lord Howe), the next begins on the hour. */
function nextHour(start: number, zone: TimeZone): number {
  const end = start + HOUR_MS;
  const past = zone.toLocal(end) % HOUR_MS;
  return past === 0 ? end : end + HOUR_MS - past;
}

function nextDay(start: number, zone: TimeZone): number {
  // Noon is far from any change of clock, so this is within the next day.
  const noon = start + DAY_MS + DAY_MS / 2;
  const local = zone.toLocal(noon);
  return beginOfDay(local - (local % DAY_MS), noon - (local % DAY_MS), zone);
}

/**
 * The moment at which a local date begins. It is `guess` unless the clock changes that day before noon: then it is
 * looked for among the quarters of an hour around it. Where midnight itself is skipped, the day begins after it.
 */
function beginOfDay(localMidnight: number, guess: number, zone: TimeZone): number {
  if (zone.toLocal(guess) === localMidnight && zone.toLocal(guess - 1) < localMidnight) return guess;
  let before = guess - DAY_MS / 2 - (guess % QUARTER_MS);
  let after = before + DAY_MS;
  while (after - before > QUARTER_MS) {
    const middle = before + Math.floor((after - before) / 2 / QUARTER_MS) * QUARTER_MS;
    if (zone.toLocal(middle) >= localMidnight) after = middle;
    else before = middle;
  }
  return after;
}
