import { mock } from 'node:test';
import t, { type Test } from 'tap';
import { createEventRecorder, type EventStore, type SecurityEvent } from '../../src/audit/events.js';
import { storeUnavailable } from '../../src/errors.js';

const CLIENT = { ip: '192.0.2.7', userAgent: 'test' };

/** An event store that can be away, slow, or refuse single events. */
function makeRecorder(t: Test) {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  let away = false;
  let held: Promise<void> | undefined;
  const batches: SecurityEvent[][] = [];
  const troubles: { error: unknown; dropped: number }[] = [];
  const store: EventStore = {
    async insert(events) {
      await held;
      if (away) throw storeUnavailable(new Error('connection refused'));
      if (events.some(({ userId }) => userId?.startsWith('poison'))) throw new Error('value too long');
      batches.push([...events]);
    },
    listOfUser: async () => [],
  };
  let time = 1000;
  const recorder = createEventRecorder({
    store,
    now: () => time++,
    onTrouble: (error, dropped) => troubles.push({ error, dropped }),
  });
  return {
    recorder,
    batches,
    troubles,
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
  t.strictSame(batches[0]?.[0], {
    type: 'login',
    userId: 'u0',
    at: 1000,
    ip: '192.0.2.7',
    userAgent: 'test',
  });
  t.same(
    batches[0]?.map(({ at }) => at),
    [1000, 1001, 1002],
    'with the time they happened',
  );

  record(...numbered(3, 1203));
  await recorder.flush();
  t.same(sizes(), [3, 500, 500, 200]);
  t.same(stored(), numbered(0, 1203));
  await recorder.flush();
  t.equal(batches.length, 4, 'nothing waits: nothing is stored');
});

t.test('events that matter are stored before the answer, after those that wait', async (t) => {
  const { recorder, record, stored, batches } = makeRecorder(t);
  record('before');
  await recorder.store({ type: 'token_reused', userId: 'now', reason: 'reuse', client: CLIENT });
  t.same(stored(), ['before', 'now']);
  t.match(batches.flat().at(-1), { type: 'token_reused', reason: 'reuse', ip: '192.0.2.7' });

  const event = recorder.prepare({ type: 'registered', userId: 'other' });
  t.match(event, { type: 'registered', userId: 'other', at: Number });
  t.same(stored(), ['before', 'now'], 'a prepared one is for its transaction to store');
});

t.test('a flush covers what was there when it was asked for', async (t) => {
  const { recorder, record, stored, hold } = makeRecorder(t);
  record('first');
  const release = hold();
  const first = recorder.flush();
  record('second');
  const second = recorder.flush();
  const third = recorder.store({ type: 'token_reused', userId: 'third' });
  release();
  await first;
  t.ok(stored().includes('first'));
  await second;
  t.ok(stored().includes('second'), 'also when another was under way');
  await third;
  t.same(stored(), ['first', 'second', 'third']);
});

t.test('while SQL is away events wait, and none is lost, doubled or moved', async (t) => {
  const { recorder, record, stored, setAway, troubles } = makeRecorder(t);
  setAway(true);
  record('u0', 'u1');
  await recorder.store({ type: 'token_reused', userId: 'u2' });
  t.same(stored(), []);
  t.ok(troubles.length > 0 && troubles.every(({ dropped }) => dropped === 0), 'it is told that they wait');
  record('u3');
  mock.timers.tick(1000);
  await settle();
  t.same(stored(), []);

  setAway(false);
  mock.timers.tick(1000);
  await settle();
  t.same(stored(), ['u0', 'u1', 'u2', 'u3'], 'the next try comes by itself');
  const told = troubles.length;
  mock.timers.tick(5000);
  await settle();
  t.equal(troubles.length, told);
  t.equal(stored().length, 4);
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

  await recorder.store({ type: 'token_reused', userId: 'poison' });
  t.equal(troubles.length, 3, 'the caller need not know');
  record('after');
  await recorder.flush();
  t.equal(stored().at(-1), 'after', 'and nothing is blocked');
});

t.test('no more than ten thousand wait; the oldest go, and it is told', async (t) => {
  const { recorder, record, stored, setAway, troubles } = makeRecorder(t);
  setAway(true);
  record(...numbered(0, 10_000));
  t.equal(troubles.length, 0);
  record(...numbered(10_000, 10_005));
  t.same(
    troubles.map(({ dropped }) => dropped),
    [1000],
  );
  setAway(false);
  await recorder.flush();
  t.same(stored(), numbered(1000, 10_005));
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
