import { Type } from 'typebox';
import { ref } from './ref.js';

const nullable = (options = {}) => Type.Union([Type.String(options), Type.Null()]);

/** Numbers, and words out of closed lists: see `EventDetail` in the domain. */
const EventDetail = Type.Object(
  {
    alert: Type.Optional(Type.String({ description: 'Of an alert: what it is about.' })),
    of: Type.Optional(Type.String({ description: 'Of events that were only counted: their type.' })),
    count: Type.Optional(Type.Integer()),
    failures: Type.Optional(Type.Integer()),
    accounts: Type.Optional(Type.Integer()),
    addresses: Type.Optional(Type.Integer()),
    window: Type.Optional(Type.Integer({ description: 'Seconds in which it all happened.' })),
    role: Type.Optional(Type.String({ description: 'The role that was given, defined or deleted.' })),
    former_role: Type.Optional(Type.String({ description: 'The role that somebody had before.' })),
  },
  { additionalProperties: false },
);

/** Of an event, whoever sees it. */
export const eventFields = {
  id: Type.Integer(),
  type: Type.String(),
  at: Type.String({ format: 'date-time' }),
  session_id: nullable(),
  reason: nullable({ description: 'Why the session ended.' }),
  ip: nullable(),
  user_agent: nullable(),
  detail: Type.Optional(EventDetail),
  unreadable: Type.Optional(
    Type.Boolean({ description: 'Address and user agent are encrypted under a key that this server lacks.' }),
  ),
};

export const AnyEvent = Type.Object(
  {
    ...eventFields,
    uid: nullable({ description: 'What webhooks name the event by.' }),
    user_id: nullable({
      description: 'Whose event it is; null for nobody, and when the account was deleted.',
    }),
    actor_id: nullable({ description: 'Of staff who did it.' }),
  },
  { $id: 'latchkey:AnyEvent', additionalProperties: false },
);

const Cursor = Type.String({
  // PostgreSQL refuses what is no bigint.
  maxLength: 16,
  pattern: '^[1-9][0-9]*$',
  description: '`next_cursor` of the page before.',
});

/** With a time zone: a local time would mean something else to the server. */
const Instant = (description: string) =>
  Type.String({
    maxLength: 32,
    pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,3})?)?(Z|[+-]\\d\\d:\\d\\d)$',
    description,
  });

/** PostgreSQL refuses a text with control characters in it. */
const word = (maxLength: number, description?: string) =>
  Type.String({ minLength: 1, maxLength, pattern: '^[!-~]+$', ...(description && { description }) });

export const EventsQuery = Type.Object(
  {
    user: Type.Optional(word(64, 'Id of an account.')),
    actor: Type.Optional(word(64, 'Id of an account of staff.')),
    session: Type.Optional(word(64)),
    ip: Type.Optional(word(45, 'An IPv6 address stands for its /64.')),
    type: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 500,
        pattern: '^[a-z_]+(,[a-z_]+){0,19}$',
        description: 'One or several types, comma-separated.',
      }),
    ),
    from: Type.Optional(Instant('From this moment on.')),
    to: Type.Optional(Instant('Before this moment.')),
    cursor: Type.Optional(Cursor),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 50 })),
  },
  { additionalProperties: false },
);

export const Events = Type.Object(
  { events: Type.Array(ref(AnyEvent)), next_cursor: nullable() },
  {
    additionalProperties: false,
    examples: [
      {
        events: [
          {
            ...{
              id: 4711,
              uid: '019aa3f2-5c1e-7b5a-9d3e-2f6a1c0b8e47',
              type: 'alert',
              at: '2026-11-21T09:30:00Z',
            },
            ...{ user_id: null, actor_id: null, session_id: null, reason: null },
            ...{ ip: '203.0.113.9', user_agent: null },
            detail: { alert: 'password_spraying', accounts: 12, failures: 31, window: 3600 },
          },
        ],
        next_cursor: '4711',
      },
    ],
  },
);

export const StatsQuery = Type.Object(
  {
    from: Type.Optional(Instant('In the first bucket. By default a day or 30 days before `to`.')),
    to: Type.Optional(Instant('The end of the last bucket, or in it. By default now.')),
    interval: Type.Optional(
      Type.Enum(['hour', 'day'], { description: 'Hours by default; at most 400 buckets in one answer.' }),
    ),
    time_zone: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        pattern: '^[A-Za-z][A-Za-z0-9_+/-]*$',
        description: 'Where days begin at midnight: an IANA name such as Asia/Tehran. UTC by default.',
      }),
    ),
  },
  { additionalProperties: false },
);

const Series = Type.Array(Type.Integer(), { description: 'One number for each bucket.' });

export const Stats = Type.Object(
  {
    interval: Type.String(),
    time_zone: Type.String(),
    buckets: Type.Array(Type.String({ format: 'date-time' }), {
      description: 'When each one begins. A day in which the clock changes has 23 or 25 hours.',
    }),
    end: Type.String({ format: 'date-time', description: 'Of the last bucket.' }),
    series: Type.Object(
      {
        registrations: Series,
        logins: Series,
        failures: Series,
        refreshes: Series,
        otp_sends: Series,
        otp_verifications: Series,
        otp_failures: Series,
        revocations: Series,
        alerts: Series,
      },
      { additionalProperties: false },
    ),
  },
  {
    additionalProperties: false,
    examples: [
      {
        ...{ interval: 'day', time_zone: 'Asia/Tehran' },
        ...{ buckets: ['2026-11-19T20:30:00Z', '2026-11-20T20:30:00Z'], end: '2026-11-21T20:30:00Z' },
        series: {
          ...{ registrations: [3, 5], logins: [120, 98], failures: [7, 61], refreshes: [1310, 1287] },
          ...{ otp_sends: [14, 11], otp_verifications: [12, 9], otp_failures: [2, 1] },
          ...{ revocations: [40, 33], alerts: [0, 1] },
        },
      },
    ],
  },
);
