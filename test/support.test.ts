import { Redis } from 'ioredis';
import pg from 'pg';
import t from 'tap';
import { freshDatabase, withPostgres } from './support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from './support/redis-namespace.js';
import { type RedisServer, withRedis } from './support/redis-server.js';
import { RespReader } from './support/resp-reader.js';
import { countTrips } from './support/trip-counter.js';

const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** One command on a connection of its own; rejects after half a second without an answer. */
async function ping(server: RedisServer): Promise<string> {
  const redis = new Redis(server.url, { commandTimeout: 500, maxRetriesPerRequest: 0, retryStrategy: null });
  redis.on('error', () => {});
  return redis.ping().finally(() => redis.disconnect());
}

async function rows(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, query_timeout: 500, connectionTimeoutMillis: 500 });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query(sql)).rows;
  } finally {
    client.end().catch(() => {});
  }
}

t.test('a private Redis freezes, dies and comes back on the same port', async (t) => {
  const server = await withRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  t.ok(server.port < 32_768, 'listens below the ephemeral range');
  t.equal(await ping(server), 'PONG');

  server.freeze();
  await t.rejects(ping(server), 'a frozen server does not answer');
  server.thaw();
  t.equal(await ping(server), 'PONG', 'a thawed one does');

  const redis = new Redis(server.url);
  await redis.set('kept', 'yes');
  redis.disconnect();
  const { pid, port } = server;
  await server.kill();
  t.notOk(alive(pid), 'kill waits for the end');
  await t.rejects(ping(server), 'nobody listens');

  await server.restart();
  t.equal(server.port, port);
  t.not(server.pid, pid);
  const again = new Redis(server.url);
  t.equal(await again.get('kept'), 'yes', 'the directory is the same');
  again.disconnect();
});

t.test('a private PostgreSQL freezes, dies and comes back with its data', async (t) => {
  const server = await withPostgres(t);
  await rows(server.url, 'CREATE TABLE kept (id int)');

  server.freeze();
  await t.rejects(rows(server.url, 'SELECT 1'), 'a frozen server does not answer');
  server.thaw();
  t.same(await rows(server.url, 'SELECT count(*)::int AS n FROM kept'), [{ n: 0 }]);

  const { pid } = server;
  await server.kill();
  t.notOk(alive(pid), 'kill waits for the end');
  await server.restart();
  t.same(await rows(server.url, 'SELECT count(*)::int AS n FROM kept'), [{ n: 0 }]);
});

t.test('every test gets an empty database, dropped at its end', async (t) => {
  let first = '';
  await t.test('creates a table', async (t) => {
    first = await freshDatabase(t);
    t.same(await rows(first, 'CREATE TABLE mine (id int)'), []);
  });
  await t.rejects(rows(first, 'SELECT 1'), { code: '3D000' }, 'the database is gone');
  const second = await freshDatabase(t);
  t.same(await rows(second, "SELECT 1 FROM pg_tables WHERE tablename = 'mine'"), []);
});

t.test('a key prefix is emptied at the end of its test, and only that', async (t) => {
  const redis = new Redis(sharedRedisUrl());
  t.teardown(() => redis.disconnect());
  const kept = freshPrefix(t);
  await redis.set(`${kept}key`, '1');
  let gone = '';
  await t.test('writes keys', async (t) => {
    gone = freshPrefix(t);
    t.equal(await redis.mset(`${gone}a`, '1', `${gone}b`, '2'), 'OK');
  });
  t.same(await redis.keys(`${gone}*`), []);
  t.equal(await redis.get(`${kept}key`), '1');
});

t.test('the trip counter counts bursts of commands', async (t) => {
  const prefix = freshPrefix(t);
  const counter = await countTrips(t, sharedRedisUrl());
  for (const protocol of [2, 3] as const) {
    await t.test(`RESP${protocol}`, async (t) => {
      const redis = new Redis(counter.url, { protocol });
      t.teardown(() => redis.disconnect());
      await redis.ping();
      counter.reset();

      await redis.pipeline().set(`${prefix}a`, 'x').get(`${prefix}a`).hgetall(`${prefix}h`).exec();
      t.equal(counter.trips(), 1, 'a pipeline of three');
      t.same(counter.commands(), ['set', 'get', 'hgetall']);

      counter.reset();
      for (const key of ['a', 'b', 'c']) await redis.get(prefix + key);
      t.equal(counter.trips(), 3, 'three in a row');

      counter.reset();
      await Promise.all([redis.get(`${prefix}a`), redis.get(`${prefix}b`)]);
      t.equal(counter.trips(), 1, 'two side by side');
    });
  }

  const late = new Redis(counter.url);
  t.teardown(() => late.disconnect());
  counter.reset();
  await late.script('LOAD', 'return 1');
  t.equal(counter.trips(), 0, 'setting up a connection is free');
  t.same(counter.commands(), []);
});

t.test('protocol values are cut out of chunks of any size', async (t) => {
  const values = [
    '+OK\r\n',
    '$-1\r\n',
    '%1\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n',
    '>2\r\n+x\r\n+y\r\n',
    '$4\r\n\r\n+\r\r\n',
  ];
  for (const size of [1, 3, 1_000]) {
    const reader = new RespReader();
    const stream = Buffer.from(values.join(''));
    const seen: string[] = [];
    for (let at = 0; at < stream.length; at += size) {
      for (const value of reader.read(stream.subarray(at, at + size))) seen.push(value.toString());
    }
    t.same(seen, values, `in chunks of ${size}`);
  }
});
