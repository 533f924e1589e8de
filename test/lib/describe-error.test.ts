import t from 'tap';
import { describeError } from '../../src/lib/describe-error.js';
import { testApp } from '../support/app.js';

t.test('an error is described by what it is, not by what hangs on it', async (t) => {
  const cause = Object.assign(new TypeError('inner'), { command: { args: ['secret'] } });
  const error = Object.assign(new RangeError('outer', { cause }), {
    code: 'E_CODE',
    detail: 'Key (email)=(somebody@example.com) already exists.',
    statusCode: 400,
  });
  const described = describeError(error);
  t.match(described, { type: 'RangeError', message: 'outer', code: 'E_CODE', stack: /RangeError: outer/ });
  t.match(described.cause, { type: 'TypeError', message: 'inner' });
  t.notMatch(JSON.stringify(described), /secret|somebody|statusCode/);
  t.equal(describeError(Object.assign(new Error('x'), { code: 7 })).code, undefined);
  for (const thrown of ['a text', undefined, null, { message: 'secret' }]) {
    t.strictSame(describeError(thrown), { type: typeof thrown, message: 'not an Error' });
  }
});

t.test('a chain of causes ends, also when it is a ring', async (t) => {
  const ring: Error & { cause?: unknown } = new Error('ring');
  ring.cause = ring;
  let depth = 0;
  for (let each = describeError(ring); each.cause; each = each.cause) depth += 1;
  t.equal(depth, 3);
});

t.test('the log says the same, whoever writes it', async (t) => {
  const { app, logs } = await testApp(t);
  const error = Object.assign(new TypeError('broken'), { parameters: ['zq9-secret'] });
  app.log.error({ err: describeError(error) }, 'described');
  app.log.error(error, 'as it is');
  const lines = logs()
    .split('\n')
    .filter((line) => line.includes('broken'))
    .map((line) => JSON.parse(line));
  t.equal(lines.length, 2);
  for (const line of lines) t.match(line, { level: 'error', err: { type: 'TypeError', message: 'broken' } });
  t.notMatch(logs(), /zq9-secret/);
});
