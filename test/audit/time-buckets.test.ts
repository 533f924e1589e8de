import t from 'tap';
import { divideTime, type Interval, readTimeZone, type TimeZone } from '../../src/audit/time-buckets.js';

const HOUR = 3_600_000;

const zone = (name: string): TimeZone => {
  const found = readTimeZone(name);
  if (!found) throw new Error(`there is no ${name}`);
  return found;
};

/** When each bucket begins, and the last one ends. */
function divide(
  name: string,
  interval: Interval,
  from: string,
  to: string,
  max = 1000,
): string[] | undefined {
  const spans = divideTime({ from: Date.parse(from), to: Date.parse(to) }, interval, zone(name), max);
  if (!spans) return undefined;
  spans.forEach((span, n) => {
    if (n > 0 && spans[n - 1]?.to !== span.from) throw new Error('there is a gap');
  });
  return [...spans.map(({ from }) => from), spans.at(-1)?.to as number].map((ms) =>
    new Date(ms).toISOString().replace(':00.000Z', 'Z'),
  );
}

t.test('hours and days in UTC', async (t) => {
  t.same(divide('UTC', 'hour', '2026-11-20T22:10:00Z', '2026-11-21T01:00:00Z'), [
    '2026-11-20T22:00Z',
    '2026-11-20T23:00Z',
    '2026-11-21T00:00Z',
    '2026-11-21T01:00Z',
  ]);
  t.same(divide('UTC', 'day', '2026-02-27T23:59:59.999Z', '2026-03-01T00:00:00.001Z'), [
    '2026-02-27T00:00Z',
    '2026-02-28T00:00Z',
    '2026-03-01T00:00Z',
    '2026-03-02T00:00Z',
  ]);
  t.equal(divide('UTC', 'hour', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', 23), undefined);
  t.equal(divide('UTC', 'hour', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', 24)?.length, 25);
});

t.test('days where clocks change, at whatever hour', async (t) => {
  const cases: [name: string, from: string, to: string, starts: string[], why: string][] = [
    [
      'Europe/Berlin',
      '2026-03-28T12:00:00Z',
      '2026-03-30T12:00:00Z',
      ['2026-03-27T23:00Z', '2026-03-28T23:00Z', '2026-03-29T22:00Z', '2026-03-30T22:00Z'],
      'a day of 23 hours',
    ],
    [
      'Europe/Berlin',
      '2026-10-24T12:00:00Z',
      '2026-10-26T12:00:00Z',
      ['2026-10-23T22:00Z', '2026-10-24T22:00Z', '2026-10-25T23:00Z', '2026-10-26T23:00Z'],
      'a day of 25 hours',
    ],
    [
      'Asia/Tehran',
      '2026-11-20T20:29:00Z',
      '2026-11-20T20:31:00Z',
      ['2026-11-19T20:30Z', '2026-11-20T20:30Z', '2026-11-21T20:30Z'],
      'half an hour away from the others',
    ],
    [
      'Asia/Kathmandu',
      '2026-11-20T18:15:00Z',
      '2026-11-20T18:15:01Z',
      ['2026-11-20T18:15Z', '2026-11-21T18:15Z'],
      'a quarter of an hour',
    ],
    [
      'Asia/Tehran',
      '2022-03-21T12:00:00Z',
      '2022-03-22T12:00:00Z',
      ['2022-03-20T20:30Z', '2022-03-21T20:30Z', '2022-03-22T19:30Z'],
      'midnight is skipped: the day begins at one',
    ],
    [
      'America/Sao_Paulo',
      '2018-02-17T12:00:00Z',
      '2018-02-18T12:00:00Z',
      ['2018-02-17T02:00Z', '2018-02-18T03:00Z', '2018-02-19T03:00Z'],
      'at midnight the hour before it comes again',
    ],
    [
      'Pacific/Apia',
      '2011-12-29T12:00:00Z',
      '2011-12-30T12:00:00Z',
      ['2011-12-29T10:00Z', '2011-12-30T10:00Z', '2011-12-31T10:00Z'],
      'a whole day is skipped',
    ],
    [
      'Asia/Amman',
      '2021-10-28T12:00:00Z',
      '2021-10-29T12:00:00Z',
      ['2021-10-27T21:00Z', '2021-10-28T21:00Z', '2021-10-29T22:00Z'],
      'after midnight, back to midnight',
    ],
  ];
  for (const [name, from, to, starts, why] of cases)
    t.same(divide(name, 'day', from, to), starts, `${name}: ${why}`);
});

t.test('hours begin on the hour of the zone', async (t) => {
  t.same(divide('Asia/Tehran', 'hour', '2026-11-20T20:00:00Z', '2026-11-20T21:00:00Z'), [
    '2026-11-20T19:30Z',
    '2026-11-20T20:30Z',
    '2026-11-20T21:30Z',
  ]);
  t.equal(divide('Europe/Berlin', 'hour', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z')?.length, 26);
  t.same(
    divide('Australia/Lord_Howe', 'hour', '2026-10-03T14:45:00Z', '2026-10-03T17:00:00Z'),
    ['2026-10-03T14:30Z', '2026-10-03T16:00Z', '2026-10-03T17:00Z'],
    'where clocks change by half an hour',
  );
});

t.test('every day of every zone begins at its midnight, and is one day', async (t) => {
  for (const name of Intl.supportedValuesOf('timeZone')) {
    const { toLocal } = zone(name);
    const spans = divideTime(
      { from: Date.parse('2026-01-01T12:00:00Z'), to: Date.parse('2026-12-31T12:00:00Z') },
      'day',
      zone(name),
      400,
    );
    const faults = spans?.filter(({ from, to }) => {
      const hours = (to - from) / HOUR;
      return (
        toLocal(from) % (24 * HOUR) > HOUR || toLocal(from - 1) >= toLocal(from) || hours < 22 || hours > 26
      );
    });
    t.ok(spans && spans.length >= 364 && faults?.length === 0, name);
  }
});

t.test('what is no zone', async (t) => {
  for (const name of ['Mars/Olympus', '', '../../etc/passwd']) t.equal(readTimeZone(name), undefined, name);
  const broken = Intl.DateTimeFormat;
  t.teardown(() => {
    Intl.DateTimeFormat = broken;
  });
  Intl.DateTimeFormat = function broken() {
    throw new TypeError('something else');
  } as never;
  t.throws(() => readTimeZone('UTC'), { message: 'something else' });
});
