import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mock } from 'node:test';
import { pathToFileURL } from 'node:url';
import Fastify from 'fastify';
import t, { type Test } from 'tap';
import type { OutboxLimits } from '../../src/delivery/outbox.js';
import { DeliveryError } from '../../src/delivery/port.js';
import type { SmsMessage } from '../../src/delivery/sms.js';
import { createSmsOutbox } from '../../src/delivery/sms-outbox.js';
import { AuthError } from '../../src/errors.js';
import { describeError } from '../../src/lib/describe-error.js';

let numbers = 0;
const newMessage = (): SmsMessage => ({
  to: `+98912${String(1_000_000 + numbers++)}`,
  purpose: 'login',
  text: 'Your code is 804213',
  code: '804213',
});

const AWAY = new DeliveryError('fake answered 503', { retryable: true });
const REFUSED = new DeliveryError('fake answered 400', { retryable: false });
const WRONG_KEY = new DeliveryError('fake answered 401', { retryable: false, ofProvider: true });

/** One call of the provider. */
interface Call {
  message: SmsMessage;
  /** Milliseconds since the test began. */
  at: number;
  signal: AbortSignal;
  succeed(): void;
  fail(error: unknown): void;
}

interface Told {
  error: unknown;
  final: boolean;
}

type Options = Partial<OutboxLimits> & { mode?: 'background' | 'inline'; random?: () => number };

/** An outbox on a clock of the test's own, and a provider that answers what it is told: by default that it took it. */
function makeOutbox(t: Test, { mode = 'background', random = () => 0, ...limits }: Options = {}) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  t.teardown(() => mock.timers.reset());
  const calls: Call[] = [];
  const told: Told[] = [];
  let answer: (call: Call) => void = (call) => call.succeed();
  let slept = 0;
  const outbox = createSmsOutbox({
    mode,
    now: () => Date.now() + slept,
    random,
    limits,
    onTrouble: (error, { final }) => told.push({ error, final }),
    provider: {
      name: 'fake',
      send: (message, signal) =>
        new Promise((succeed, fail) => {
          const call = { message, signal, at: Date.now() - 1_000_000, succeed, fail };
          calls.push(call);
          answer(call);
        }),
    },
  });
  return {
    outbox,
    calls,
    told,
    times: () => calls.map(({ at }) => at),
    /** What `onTrouble` heard, shortly. */
    troubles: () => told.map(({ error, final }) => `${final ? 'final: ' : ''}${(error as Error).message}`),
    answerWith: (how: (call: Call) => void) => {
      answer = how;
    },
    failWith: (...errors: unknown[]) => {
      const rest = [...errors];
      answer = (call) => (rest.length > 0 ? call.fail(rest.shift()) : call.succeed());
    },
    /** The machine stands still: the clock has moved on, no timer has. */
    sleep: (ms: number) => {
      slept += ms;
    },
    hang: () => {
      answer = () => undefined;
    },
    /** The message, and each time that it was given up. */
    post: async (message: SmsMessage | undefined = newMessage()) => {
      const lost: unknown[] = [];
      await outbox.post(message, (error) => lost.push(error));
      return { message, lost };
    },
    /** `open`, or what callers are told. */
    state: (): string => {
      try {
        outbox.requireOpen();
        return 'open';
      } catch (error) {
        if (!(error instanceof AuthError)) throw error;
        t.equal(error.code, 'delivery_unavailable');
        return `retry after ${error.retryAfter}`;
      }
    },
  };
}

/** Lets what is due happen: immediates are real, timers are not. */
const settle = async (): Promise<void> => {
  for (let n = 0; n < 4; n++) await new Promise((resolve) => setImmediate(resolve));
};

/** Time passes in small steps, so that what a timer starts can start the next. */
async function pass(ms: number): Promise<void> {
  const step = 250;
  await settle();
  for (let left = ms; left > 0; left -= step) {
    mock.timers.tick(Math.min(step, left));
    await settle();
  }
}

t.test('in the background nothing is done before the caller goes on', async (t) => {
  const { outbox, calls, told, post } = makeOutbox(t);
  const { message, lost } = await post();
  for (let n = 0; n < 20; n++) await Promise.resolve();
  t.equal(calls.length, 0, 'not in this turn of the event loop');
  await settle();
  t.strictSame(
    calls.map((call) => call.message),
    [message],
  );
  t.ok(calls[0]?.message === message, 'the very object');
  t.notOk(calls[0]?.signal.aborted);

  await outbox.post(undefined, () => t.fail('nothing can be lost'));
  await settle();
  t.equal(calls.length, 1, 'where there is no message nothing happens');
  t.strictSame([lost, told], [[], []]);
});

t.test('the provider is called after the answer was written', async (t) => {
  const order: string[] = [];
  const outbox = createSmsOutbox({
    mode: 'background',
    onTrouble: (error) => t.fail(error.message),
    provider: { name: 'fake', send: async () => void order.push('sent') },
  });
  const app = Fastify();
  app.addHook('onSend', async () => undefined);
  app.get('/send', async (_, reply) => {
    reply.raw.once('prefinish', () => order.push('answered'));
    await outbox.post(newMessage(), () => t.fail('lost'));
    return {};
  });
  t.teardown(() => app.close());
  const response = await fetch(`${await app.listen({ port: 0 })}/send`);
  t.equal(response.status, 200);
  await response.arrayBuffer();
  await outbox.close();
  t.strictSame(order, ['answered', 'sent']);
});

t.test('what may work a moment later is tried again', async (t) => {
  const { calls, post, failWith, times, troubles } = makeOutbox(t);
  failWith(AWAY, AWAY);
  const { lost, message } = await post();
  await pass(10_000);
  t.strictSame(times(), [0, 500, 5500]);
  t.ok(calls.every((call) => call.message === message));
  t.strictSame(troubles(), ['fake answered 503', 'fake answered 503']);
  t.strictSame(lost, []);
});

t.test('tries of many messages are spread', async (t) => {
  const { post, failWith, times } = makeOutbox(t, { random: () => 1 });
  failWith(AWAY, AWAY);
  await post();
  await pass(10_000);
  t.strictSame(times(), [0, 250, 2750], 'at most by half');
});

t.test('a message is given up once, and said to be', async (t) => {
  const { post, failWith, calls, troubles, told } = makeOutbox(t, { breakerThreshold: 100 });
  failWith(AWAY, AWAY, AWAY, REFUSED, AWAY, WRONG_KEY);
  const first = await post();
  await pass(40_000);
  t.equal(calls.length, 3);
  t.strictSame(first.lost, [AWAY]);
  t.strictSame(troubles(), ['fake answered 503', 'fake answered 503', 'final: fake answered 503']);

  const second = await post();
  await settle();
  t.strictSame([calls.length, second.lost], [4, [REFUSED]], 'what the provider refuses is not tried again');
  const third = await post();
  await pass(40_000);
  t.strictSame([calls.length, third.lost], [6, [WRONG_KEY]]);
  t.equal(told.filter(({ final }) => final).length, 3);
});

t.test('a provider that does not answer', async (t) => {
  const { post, hang, calls, times, troubles, outbox } = makeOutbox(t);
  hang();
  const { lost } = await post();
  await pass(5000);
  t.match(calls, [{ signal: { aborted: true } }], 'is left after five seconds, also when it heeds no signal');
  await pass(35_000);
  t.strictSame(times(), [0, 5500, 15_500]);
  t.strictSame(troubles(), [
    'fake did not answer in time',
    'fake did not answer in time',
    'final: fake did not answer in time',
  ]);
  t.equal(lost.length, 1);
  for (const call of calls) call.succeed();
  calls[0]?.fail(new Error('late'));
  await settle();
  t.equal(lost.length, 1, 'what it says later changes nothing');
  await outbox.close();
});

t.test('a message that is too old is given up wherever it is', async (t) => {
  const { post, hang, troubles, calls, sleep } = makeOutbox(t, { concurrency: 1, tryTimeoutMs: 20_000 });
  hang();
  const [first, second] = [await post(), await post()];
  await pass(20_000);
  t.equal(calls.length, 2, 'the second has its turn when the first is cut off');
  await pass(9750);
  t.strictSame([first.lost, second.lost], [[], []]);
  t.strictSame(troubles(), ['fake did not answer in time']);
  await pass(250);
  t.match(first.lost, [{ message: 'fake did not answer in time' }], 'waiting for its second try');
  t.match(second.lost, [{ message: 'fake did not answer in time' }], 'under way');
  t.ok(calls[1]?.signal.aborted);
  t.equal(troubles().length, 3);

  const [running, waiting, another] = [await post(), await post(), await post()];
  await settle();
  sleep(40_000);
  calls[2]?.fail(AWAY);
  await settle();
  t.strictSame(running.lost, [AWAY], 'not tried again');
  for (const { lost } of [waiting, another]) {
    t.match(lost, [{ message: 'the message waited too long', ofProvider: false }]);
  }
  t.equal(calls.length, 3, 'what is too old is not sent, however late the timers are');
});

t.test('only so many calls are under way', async (t) => {
  const { post, hang, calls, answerWith } = makeOutbox(t, { concurrency: 3 });
  hang();
  for (let n = 0; n < 8; n++) await post();
  await settle();
  t.equal(calls.length, 3);
  calls[1]?.succeed();
  await settle();
  t.equal(calls.length, 4);
  answerWith((call) => call.succeed());
  for (const call of calls) call.succeed();
  await settle();
  t.equal(calls.length, 8);
  const order = calls.map(({ message }) => message.to);
  t.strictSame(order, [...order].sort(), 'first come, first served');
});

t.test('only so many messages wait', async (t) => {
  const { post, hang, calls, state, troubles } = makeOutbox(t, { maxWaiting: 3, concurrency: 2 });
  hang();
  const all = [await post(), await post()];
  t.equal(state(), 'open');
  all.push(await post());
  t.equal(state(), 'retry after 5', 'also while they have not been looked at');
  const over = await post();
  t.strictSame(over.lost, [], 'the caller goes on first');
  await settle();
  t.match(over.lost, [{ message: 'too many messages wait', retryable: true, ofProvider: false }]);
  t.strictSame(troubles(), ['final: too many messages wait']);
  t.strictSame(
    calls.map(({ message }) => message),
    all.slice(0, 2).map(({ message }) => message),
  );
  calls[0]?.succeed();
  await settle();
  t.equal(state(), 'open');
  t.ok(all.every(({ lost }) => lost.length === 0));
});

t.test('a provider that keeps failing is left alone', async (t) => {
  const { post, failWith, calls, state, answerWith } = makeOutbox(t, { breakerThreshold: 3, pausesMs: [] });
  failWith(AWAY, WRONG_KEY, REFUSED, AWAY, WRONG_KEY);
  for (let n = 0; n < 5; n++) {
    await post();
    await settle();
    t.equal(state(), 'open', 'not yet: a refused number shows that it is well');
  }
  failWith(WRONG_KEY);
  await post();
  await settle();
  t.equal(calls.length, 6);
  t.equal(state(), 'retry after 10');
  await pass(3250);
  t.equal(state(), 'retry after 7');

  // Whoever asked before it opened.
  const waiting = [await post(), await post(), await post()];
  await settle();
  t.equal(calls.length, 6, 'nobody calls it');
  answerWith(() => undefined);
  await pass(6750);
  t.equal(calls.length, 7, 'one message finds out');
  t.equal(calls[6]?.message, waiting[0]?.message);
  t.equal(state(), 'retry after 1');
  calls[6]?.fail(AWAY);
  await settle();
  t.equal(state(), 'retry after 10', 'it is as before');
  await pass(5000);
  t.equal(calls.length, 7);
  await pass(5000);
  t.equal(calls.length, 8);
  answerWith((call) => call.succeed());
  calls[7]?.succeed();
  await settle();
  t.equal(state(), 'open', 'it is back');
  t.equal(calls.length, 9, 'and the others go');
  t.strictSame(
    waiting.map(({ lost }) => lost.length),
    [1, 0, 0],
  );
  failWith(AWAY, AWAY);
  for (let n = 0; n < 2; n++) await post();
  await settle();
  t.equal(state(), 'open', 'failures are counted from none again');
});

t.test('when nobody waits, the next request is let in to find out', async (t) => {
  const { post, failWith, calls, state } = makeOutbox(t, { breakerThreshold: 1, pausesMs: [] });
  failWith(AWAY);
  await post();
  await settle();
  t.equal(state(), 'retry after 10');
  await pass(10_000);
  t.equal(state(), 'open');
  t.equal(state(), 'open', 'asking alone takes no place: an unknown number sends nothing');
  await post();
  await settle();
  t.equal(calls.length, 2);
  t.equal(state(), 'open');
});

t.test('what was under way when it opened', async (t) => {
  const { post, hang, calls, state } = makeOutbox(t, { breakerThreshold: 2, pausesMs: [] });
  hang();
  for (let n = 0; n < 5; n++) await post();
  await settle();
  for (const call of calls.slice(0, 2)) call.fail(AWAY);
  await pass(4000);
  t.equal(state(), 'retry after 6');
  calls[2]?.fail(AWAY);
  await settle();
  t.equal(state(), 'retry after 6', 'does not put the probe off when it fails');
  calls[3]?.fail(REFUSED);
  await settle();
  t.equal(state(), 'open', 'and closes it when it shows that the provider is well');
});

t.test('while it is left alone messages grow old', async (t) => {
  const { post, answerWith, troubles } = makeOutbox(t, { breakerThreshold: 1, breakerCoolMs: 60_000 });
  answerWith((call) => call.fail(AWAY));
  const tried = await post();
  await settle();
  const untried = await post();
  await pass(29_750);
  t.strictSame([tried.lost, untried.lost], [[], []]);
  await pass(250);
  t.strictSame(tried.lost, [AWAY], 'with what it met');
  t.match(untried.lost, [{ message: 'the message waited too long', ofProvider: false }]);
  t.equal(troubles().length, 3);
});

t.test('the end waits for what is under way', async (t) => {
  const { post, hang, calls, outbox, state, answerWith } = makeOutbox(t, { concurrency: 1 });
  hang();
  const first = await post();
  const second = await post();
  await settle();
  let closed = false;
  const closing = outbox.close().then(() => {
    closed = true;
  });
  t.equal(outbox.close(), outbox.close(), 'once');
  t.equal(state(), 'retry after 5');
  const late = await post();
  await settle();
  t.match(late.lost, [{ message: 'the service is ending' }]);
  await pass(1000);
  t.notOk(closed);
  answerWith((call) => call.succeed());
  calls[0]?.succeed();
  await closing;
  t.equal(calls.length, 2);
  t.strictSame([first.lost, second.lost], [[], []]);
});

t.test('but not for ever', async (t) => {
  const { post, hang, failWith, calls, outbox, told } = makeOutbox(t, { concurrency: 1 });
  failWith(AWAY);
  const pausing = await post();
  await settle();
  hang();
  const running = await post();
  await settle();
  const waiting = await post();
  const closing = outbox.close();
  await pass(3000);
  await closing;
  t.ok(calls[1]?.signal.aborted);
  for (const { lost } of [pausing, running, waiting]) {
    t.match(lost, [{ message: 'the service is ending', retryable: true, ofProvider: false }]);
  }
  calls[1]?.succeed();
  calls[1]?.fail(AWAY);
  await pass(60_000);
  t.equal(calls.length, 2, 'nothing is sent any more');
  t.equal(told.filter(({ final }) => final).length, 3);
  t.strictSame(
    [pausing, running, waiting].map(({ lost }) => lost.length),
    [1, 1, 1],
    'each is given up once',
  );
});

t.test('where nothing is under way the end comes at once', async (t) => {
  const { outbox, post } = makeOutbox(t);
  await post();
  await settle();
  await t.resolves(outbox.close());
});

t.test('inline it takes the same time whatever happens', async (t) => {
  const cases: [string, (box: ReturnType<typeof makeOutbox>) => void, tries: number, lost: number][] = [
    ['no message', () => undefined, 0, 0],
    ['taken at once', () => undefined, 1, 0],
    ['taken late', (box) => box.answerWith((call) => setTimeout(() => call.succeed(), 2000)), 1, 0],
    ['taken at the second try', (box) => box.failWith(AWAY), 2, 0],
    ['refused', (box) => box.failWith(REFUSED), 1, 1],
    ['away', (box) => box.failWith(AWAY, AWAY, AWAY), 2, 1],
    ['no answer', (box) => box.hang(), 1, 1],
    ['an answer too late', (box) => box.answerWith((call) => setTimeout(() => call.succeed(), 2400)), 1, 1],
  ];
  for (const [name, prepare, tries, losses] of cases) {
    await t.test(name, async (t) => {
      const box = makeOutbox(t, { mode: 'inline' });
      prepare(box);
      const lost: unknown[] = [];
      let endedAt = 0;
      void box.outbox
        .post(tries === 0 ? undefined : newMessage(), (error) => lost.push(error))
        .then(() => {
          endedAt = Date.now() - 1_000_000;
        });
      t.equal(box.calls.length, Math.min(tries, 1), 'the provider is called before the answer');
      await pass(2250);
      t.equal(lost.length, losses, 'what is lost is lost before');
      t.equal(endedAt, 0);
      await pass(250);
      t.equal(endedAt, 2500);
      t.equal(box.calls.length, tries);
      await pass(30_000);
      t.equal(lost.length, losses);
      t.equal(box.calls.length, tries);
    });
  }

  await t.test('what keeps failing is said to everybody', async (t) => {
    const box = makeOutbox(t, { mode: 'inline', breakerThreshold: 2 });
    box.hang();
    for (let n = 0; n < 2; n++) {
      t.equal(box.state(), 'open');
      void box.post();
      await pass(2500);
    }
    t.equal(box.state(), 'retry after 10');
    await pass(9750);
    t.equal(box.state(), 'open');
  });

  await t.test('at the end', async (t) => {
    const box = makeOutbox(t, { mode: 'inline' });
    await box.outbox.close();
    const posting = box.post();
    await pass(2500);
    t.match((await posting).lost, [{ message: 'the service is ending' }]);
  });
});

t.test('no error tells what is in a message', async (t) => {
  const { post, failWith, answerWith, told } = makeOutbox(t, { pausesMs: [], breakerThreshold: 100 });
  const thrown = [
    new TypeError(`cannot send to +989121234567: 804213`, { cause: new Error('804213') }),
    Object.assign(new Error('x'), { name: 'to +989121234567' }),
    Object.assign(new Error('x'), { name: '989121234567' }),
    '804213',
    undefined,
    null,
  ];
  failWith(...thrown);
  const all = [];
  for (const _ of thrown) {
    all.push(await post());
    await settle();
  }
  answerWith(() => {
    throw new Error('at once: 804213');
  });
  all.push(await post());
  await settle();
  t.strictSame(
    all.map(({ lost }) => (lost[0] as Error).message),
    ['TypeError', 'object', 'object', 'string', 'undefined', 'object', 'Error'].map(
      (kind) => `fake failed (${kind})`,
    ),
  );
  for (const { lost } of all) t.match(lost, [{ retryable: true, ofProvider: true }]);
  for (const { error } of told) t.notMatch(JSON.stringify(describeError(error)), /804213|12345|9891/);
});

const OUTBOX = pathToFileURL(new URL('../../src/delivery/sms-outbox.js', import.meta.url).pathname).href;

/** What a process of its own prints until it ends by itself. */
async function run(code: string): Promise<string> {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', `const { createSmsOutbox } = await import('${OUTBOX}');${code}`],
    { env: { PATH: process.env.PATH, NODE_OPTIONS: '' }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [status] = await once(child, 'close');
  return `${output}${status}`;
}

t.test('a process ends when it has nothing else to do, but not under a request', async (t) => {
  const needs = `onTrouble: () => {}, provider: { name: 'fake', send: async () => { throw new Error() } },
    limits: { pausesMs: [600_000], maxAgeMs: 900_000, breakerCoolMs: 600_000, inlineMs: 300, closeMs: 100 }`;
  t.equal(
    await run(`const outbox = createSmsOutbox({ mode: 'background', ${needs} });
      for (let n = 0; n < 20; n++) await outbox.post({}, () => console.log('lost'));`),
    '0',
    'retries and the breaker are no reason to live on',
  );
  t.equal(
    await run(`const outbox = createSmsOutbox({ mode: 'background', ${needs} });
      await outbox.post({}, () => console.log('lost')); await outbox.close(); console.log('closed');`),
    'lost\nclosed\n0',
    'but whoever waits for the end sees it',
  );
  t.equal(
    await run(`const outbox = createSmsOutbox({ mode: 'inline', ${needs} });
      await outbox.post(undefined, () => {}); await outbox.post({}, () => console.log('lost')); console.log('answered');`),
    'lost\nanswered\n0',
  );
});
