import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { createEventRecorder } from '../../src/audit/event-recorder.js';
import type { EventStore, EventType, SecurityEvent } from '../../src/audit/events.js';
import { storeUnavailable } from '../../src/errors.js';

const CLIENT = { ip: '192.0.2.7', userAgent: 'test' };

/** An event store that can be away, slow, or refuse single events. */
function makeRecorder(t: Test, { ticks = true } = {}) {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let away = false;
  let held: Promise<void> | undefined;
  const batches: SecurityEvent[][] = [];
  const charts: (readonly [at: number, type: EventType, count: number])[] = [];
  const troubles: { error: unknown; dropped: number }[] = [];
  const store: EventStore = {
    async insert(events) {
      await held;
      if (away) throw storeUnavailable(new Error('connection refused'));
      if (events.some(({ userId }) => userId?.startsWith('poison'))) throw new Error('value too long');
      batches.push([...events]);
    },
    async tally(tallies) {
      if (away) throw storeUnavailable(new Error('connection refused'));
      if (tallies.some(({ type }) => type === 'alert')) throw new Error('value too long');
      charts.push(...tallies.map(({ at, type, count }) => [at, type, count] as const));
    },
    list: async () => [],
    listOfUser: async () => [],
    count: async () => [],
    summarize: async () => [],
  };
  let time = 1000;
  const counted: EventType[] = [];
  const told: SecurityEvent[][] = [];
  const recorder = createEventRecorder({
    store,
    now: () => (ticks ? time++ : time),
    onEvent: (type) => counted.push(type),
    onTrouble: (error, dropped) => troubles.push({ error, dropped }),
  });
  recorder.onStored((events) => told.push([...events]));
  return {
    recorder,
    batches,
    charts,
    troubles,
    counted,
    told,
    advance(ms: number) {
      time += ms;
    },
    sizes: () => batches.map(({ length }) => length),
    stored: () => batches.flat().map(({ userId }) => userId),
    record: (...users: string[]) => {
      for (const userId of users) recorder.record({ type: 'login', userId, client: CLIENT });
    },
    setAway: (is: boolean) => {
      away = is;
    },
    hold(): () => void {
      let release = () => {};
      held = new Promise((resolve) => {
        release = () => {
          held = undefined;
          resolve();
        };
      });
      return release;
    },
  };
}

/** Lets a flush that a timer started come to its end. */
const settle = async () => {
  for (let n = 0; n < 50; n++) await Promise.resolve();
};

const numbered = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `u${from + n}`);

t.test('routine events are stored within a second, many in one statement and in order', async (t) => {
  const { record, sizes, stored, batches, recorder } = makeRecorder(t);
  record(...numbered(0, 3));
  await settle();
  t.same(sizes(), [], 'not at once');
  mock.timers.tick(1000);
  await settle();
  t.same(sizes(), [3]);
  t.match(batches[0]?.[0]?.uid, /^[0-9a-f-]{36}$/);
  t.same(batches[0]?.[0], {
    uid: batches[0]?.[0]?.uid,
    type: 'login',
    userId: 'u0',
    at: 1001,
    ip: '192.0.2.7',
    userAgent: 'test',
  });
  t.same(
    batches[0]?.map(({ at }) => at),
    [1001, 1002, 1003],
    'with the time they happened',
  );

  record(...numbered(3, 1203));
  await recorder.flush();
  t.same(sizes(), [3, ...Array(12).fill(100)]);
  t.same(stored(), numbered(0, 1203));
  await recorder.flush();
  t.equal(batches.length, 13, 'nothing waits: nothing is stored');
});

t.test('events that matter are stored before the answer, and before all others', async (t) => {
  const { recorder, record, stored, batches, sizes, hold, counted, told } = makeRecorder(t);
  record(...numbered(0, 250));
  const release = hold();
  const flushing = recorder.flush();
  record('later');
  const detail = { count: 3 } as const;
  const storing = recorder.store({
    type: 'role_changed',
    userId: 'now',
    actorId: 'staff',
    detail,
    client: CLIENT,
  });
  release();
  await storing;
  t.same(sizes(), [100, 100], 'whoever waits, waits for no more than the batch under way');
  t.equal(batches[1]?.[0]?.userId, 'now', 'and comes first in the next');
  t.match(batches[1]?.[0], { type: 'role_changed', actorId: 'staff', detail, ip: '192.0.2.7' });
  await flushing;
  t.same(stored().slice(-1), ['u249'], 'what is routine and came meanwhile, waits');
  await recorder.flush();
  t.same(stored().slice(-1), ['later']);
  t.equal(recorder.waiting(), 0);
  t.same(told, batches, 'it is told what was stored');
  t.equal(counted.length, 252);

  const event = recorder.prepare({ type: 'registered', userId: 'other' });
  t.match(event, { type: 'registered', userId: 'other', at: Number, uid: String });
  t.notOk(stored().includes('other'), 'a prepared one is for its transaction to store');
});

t.test('a reuse is stored together with the alert about it', async (t) => {
  const { recorder, batches, counted } = makeRecorder(t);
  const reuse = {
    type: 'token_reused',
    userId: 'u1',
    sessionId: 's1',
    reason: 'reuse',
    client: CLIENT,
  } as const;
  await recorder.store(reuse);
  t.equal(batches.length, 1, 'in one statement');
  const [event, alert] = batches[0] as [SecurityEvent, SecurityEvent];
  t.match(event, { type: 'token_reused', uid: String });
  t.strictSame(alert, {
    ...{ type: 'alert', once: 'token_reuse:u1:0', detail: { alert: 'token_reuse' }, at: event.at },
    ...{ userId: 'u1', sessionId: 's1', ip: '192.0.2.7', userAgent: 'test' },
  });
  t.same(counted, ['token_reused', 'alert']);
});

t.test('a flush covers what was there when it was asked for', async (t) => {
  const { recorder, record, stored, hold } = makeRecorder(t);
  record('first');
  const release = hold();
  const first = recorder.flush();
  record('second');
  const second = recorder.flush();
  const third = recorder.store({ type: 'account_disabled', userId: 'third' });
  release();
  await first;
  t.ok(stored().includes('first'));
  await second;
  t.ok(stored().includes('second'), 'also when another was under way');
  await third;
  t.same(stored().sort(), ['first', 'second', 'third']);
});

t.test('while SQL is away events wait, and none is lost, doubled or moved', async (t) => {
  const { recorder, record, stored, setAway, troubles } = makeRecorder(t);
  setAway(true);
  record('u0', 'u1');
  await recorder.store({ type: 'account_disabled', userId: 'u2' });
  await settle();
  t.same(stored(), []);
  t.ok(troubles.length > 0 && troubles.every(({ dropped }) => dropped === 0), 'it is told that they wait');
  record('u3');
  mock.timers.tick(1000);
  await settle();
  t.same(stored(), []);

  setAway(false);
  mock.timers.tick(1000);
  await settle();
  t.same(stored(), ['u2', 'u0', 'u1', 'u3'], 'the next try comes by itself');
  const told = troubles.length;
  mock.timers.tick(5000);
  await settle();
  t.equal(troubles.length, told);
  t.equal(stored().length, 4);
});

t.test('what is only counted comes to the charts by the quarter of an hour', async (t) => {
  const { recorder, charts, batches, counted, troubles, setAway, advance } = makeRecorder(t, {
    ticks: false,
  });
  for (let n = 0; n < 3; n++) recorder.count('token_refreshed');
  recorder.count('login');
  mock.timers.tick(1000);
  await settle();
  t.same(charts, [
    [0, 'login', 1],
    [0, 'token_refreshed', 3],
  ]);
  t.same(
    counted,
    ['token_refreshed', 'token_refreshed', 'token_refreshed', 'login'],
    'the metrics know at once',
  );

  setAway(true);
  recorder.count('token_refreshed');
  await t.rejects(recorder.flush(), { code: 'store_unavailable' });
  advance(900_000);
  recorder.count('token_refreshed');
  setAway(false);
  mock.timers.tick(1000);
  await settle();
  const late = [
    [0, 'token_refreshed', 1],
    [900_000, 'token_refreshed', 1],
  ] as const;
  t.same(charts.slice(2), late, 'what had to wait counts where it happened');
  t.same([batches, troubles.map(({ dropped }) => dropped)], [[], [0]]);

  recorder.count('alert');
  recorder.count('login');
  await recorder.flush();
  t.equal(troubles.at(-1)?.dropped, 2, 'what SQL refuses is told');
  recorder.count('logout');
  await recorder.close();
  t.same(charts.at(-1), [900_000, 'logout', 1], 'the end takes along what is left');
});

t.test('an event that SQL refuses is dropped, alone, and told', async (t) => {
  const { recorder, record, stored, troubles } = makeRecorder(t);
  record(...numbered(0, 300), 'poison', ...numbered(300, 700), 'poison2', 'u700');
  await recorder.flush();
  t.same(stored(), numbered(0, 701));
  t.same(
    troubles.map(({ dropped }) => dropped),
    [1, 1],
  );
  t.match(troubles[0]?.error, { message: 'value too long' });

  await recorder.store({ type: 'account_disabled', userId: 'poison' });
  t.equal(troubles.length, 3, 'the caller need not know');
  record('after');
  await recorder.flush();
  t.equal(stored().at(-1), 'after', 'and nothing is blocked');
});

t.test('no more than ten thousand wait; the oldest go, and it is told', async (t) => {
  const { recorder, record, stored, setAway, troubles, batches, advance } = makeRecorder(t);
  setAway(true);
  record(...numbered(0, 10_000));
  t.equal(troubles.length, 0);
  record(...numbered(10_000, 10_005));
  t.same(
    troubles.map(({ dropped }) => dropped),
    [1000],
  );
  const kept = recorder.store({ type: 'account_disabled', userId: 'kept' });
  setAway(false);
  await recorder.flush();
  await kept;
  t.same(stored(), ['kept', undefined, ...numbered(1000, 10_005)], 'what matters has its own room');
  t.match(
    batches.flat().find(({ type }) => type === 'events_dropped'),
    {
      ...{ detail: { of: 'login', count: 1000 }, standsFor: { type: 'login', count: 1000 } },
    },
  );

  await t.test('what matters may be too much as well', async (t) => {
    setAway(true);
    for (const userId of numbered(0, 10_001)) recorder.record({ type: 'account_disabled', userId });
    t.equal(troubles.filter(({ dropped }) => dropped > 0).length, 2);
    setAway(false);
    advance(10_000);
    await recorder.flush();
    t.equal(stored().filter((userId) => userId === 'u9999').length, 2);
    const summary = batches.flat().findLast(({ type }) => type === 'events_dropped');
    t.same(summary?.detail, { of: 'account_disabled', count: 1000 });
  });

  await t.test('a summary that is dropped itself is not forgotten', async (t) => {
    setAway(true);
    for (const userId of numbered(0, 10_001)) recorder.record({ type: 'account_disabled', userId });
    advance(10_000);
    await t.rejects(recorder.flush(), { code: 'store_unavailable' });
    for (const userId of numbered(0, 10_001)) recorder.record({ type: 'account_enabled', userId });
    setAway(false);
    advance(10_000);
    await recorder.flush();
    const summaries = batches.flat().filter(({ type }) => type === 'events_dropped');
    const total = (type: EventType) =>
      summaries.reduce((sum, { standsFor }) => sum + (standsFor?.type === type ? standsFor.count : 0), 0);
    const kept = (of: EventType) => batches.flat().filter(({ type }) => type === of).length;
    t.equal(total('account_disabled') + kept('account_disabled'), 2 * 10_001 + 1);
    t.equal(total('account_enabled') + kept('account_enabled'), 10_001);
  });
});

t.test('a flood of failures of nobody is sampled: it holds up nothing and pushes out nothing', async (t) => {
  const { recorder, record, batches, advance, setAway, counted } = makeRecorder(t, { ticks: false });
  const fail = (times: number, userId?: string) => {
    for (let n = 0; n < times; n++) recorder.record({ type: 'login_failed', userId, client: CLIENT });
  };
  setAway(true);
  record('u1');
  fail(30_000);
  fail(20, 'known');
  const storing = recorder.store({ type: 'role_changed', userId: 'u2' });
  await storing;
  await settle();
  t.ok(recorder.waiting() < 4200);
  setAway(false);
  await recorder.flush();
  const of = (type: EventType) => batches.flat().filter((event) => event.type === type);
  t.same([of('login').length, of('role_changed').length], [1, 1]);
  t.equal(
    of('login_failed').filter(({ userId }) => userId === 'known').length,
    20,
    'an account sees its own',
  );
  const stored = of('login_failed').length - 20;
  t.equal(stored, 2000, 'of the others the first');
  const [summary, ...more] = of('events_dropped');
  t.equal(summary?.detail?.count, 30_000 - stored, 'all of them are counted');
  t.same(more, [], 'in one event');
  t.equal(counted.length, 30_022);

  await t.test('of what goes on, some are stored, and a summary now and then', async (t) => {
    batches.length = 0;
    for (let second = 0; second < 30; second++) {
      fail(500);
      advance(500);
      await recorder.flush();
    }
    const times = of('login_failed').length;
    t.equal(times, 29 * 25, 'fifty a second');
    t.ok(of('events_dropped').length <= 4);
    await recorder.close();
    const dropped = of('events_dropped').reduce((sum, { standsFor }) => sum + (standsFor?.count ?? 0), 0);
    t.equal(times + dropped, 15_000, 'and all are counted');
  });
});

t.test('what was only counted is told when its time has come, though nothing else happens', async (t) => {
  const { recorder, batches, advance } = makeRecorder(t, { ticks: false });
  const flood = () => {
    for (let n = 0; n < 10_000; n++) recorder.record({ type: 'otp_withheld', client: CLIENT });
  };
  flood();
  await recorder.flush();
  flood();
  await recorder.flush();
  const told = () => batches.flat().filter(({ type }) => type === 'events_dropped').length;
  t.equal(told(), 1);
  advance(10_000);
  mock.timers.tick(600);
  await settle();
  t.equal(told(), 2);
});

t.test('closing stores what is left', async (t) => {
  const { recorder, record, stored, hold } = makeRecorder(t);
  record('u0');
  const release = hold();
  const flushing = recorder.flush();
  record('u1');
  const closing = recorder.close();
  release();
  await Promise.all([flushing, closing]);
  t.same(stored(), ['u0', 'u1']);
  mock.timers.tick(5000);
  await settle();
  t.equal(stored().length, 2, 'and no timer is left');
});
