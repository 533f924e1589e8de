import { hostname } from 'node:os';
import t from 'tap';
import { bearer, signUp, testApp } from '../support/app.js';
import { withServer } from '../support/server-process.js';

type Line = Record<string, unknown>;

t.test('GELF lines for Graylog', async (t) => {
  const testing = await testApp(t, { env: { LOG_FORMAT: 'gelf' } });
  const { app, send, logs } = testing;
  const lines = (): Line[] =>
    logs()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  const find = (fields: Line): Line =>
    lines().find((line) => Object.entries(fields).every(([name, value]) => line[name] === value)) ?? {};

  const person = await signUp(testing);
  await send({ url: '/api/auth/me', headers: bearer(person.access.slice(0, -3)) });
  const cause = new TypeError('the cause');
  app.log.error({ err: new Error('it broke', { cause }), 'odd name': [1, 2], none: null }, 'trouble');
  app.log.warn({ on: true, deep: { er: { count: 2 } } });
  app.log.debug({ socket: new (class Socket {})() }, 'with %s', 'values');

  const now = Date.now() / 1000;
  for (const line of lines()) {
    const { version, host, timestamp, level, short_message, ...others } = line;
    t.strictSame([version, host], ['1.1', hostname()]);
    t.ok(Number(timestamp) <= now && Number(timestamp) > now - 600, 'in seconds');
    t.ok([3, 4, 6, 7].includes(level as number), 'as syslog counts');
    t.ok(typeof short_message === 'string' && short_message !== '');
    for (const [name, value] of Object.entries(others)) {
      t.match(name, /^_[\w.-]+$/, 'names that GELF allows');
      t.ok(['string', 'number'].includes(typeof value), `${name} is a text or a number`);
    }
  }
  t.match(find({ _path: '/api/auth/register' }), {
    level: 6,
    _method: 'POST',
    _status: 201,
    _request_id: /^[\w-]{36}$/,
  });
  t.match(find({ short_message: 'trouble' }), {
    level: 3,
    '_err.message': 'it broke',
    '_err.cause.type': 'TypeError',
    '_err.stack': /it broke/,
    _odd_name: '[1,2]',
    _none: undefined,
  });
  t.match(find({ short_message: 'event' }), { level: 4, _on: 'true', '_deep.er.count': 2 });
  t.match(find({ short_message: 'with values' }), { level: 7, _socket: '[object Object]' });
  for (const secret of [person.access, person.refresh]) t.notOk(logs().includes(secret.slice(-20)));
});

t.test('nothing but GELF lines comes from a server that writes them', async (t) => {
  const greeting = /^Latchkey is ready\.$/m;
  t.match((await withServer(t)).output(), greeting);
  const gelf = await withServer(t, { env: { LOG_FORMAT: 'gelf' } });
  const lines = gelf.output().trim().split('\n');
  t.ok(lines.length > 0);
  for (const line of lines) t.match(JSON.parse(line), { version: '1.1', short_message: String });
});
