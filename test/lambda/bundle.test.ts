import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openDatabase } from '../../src/stores/sql/database.js';
import { httpDouble, type Received } from '../delivery/http-double.js';
import { signV4 } from '../delivery/sign-v4.js';
import { PASSWORD, TEST_KEY } from '../support/app.js';
import {
  buildBundle,
  httpEvent,
  type Instance,
  type LambdaAnswer,
  restEvent,
  startInstance,
} from '../support/lambda.js';
import { otherNode } from '../support/other-node.js';
import { freshDatabase } from '../support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { withRedis } from '../support/redis-server.js';

const bundle = await buildBundle();
const AWS_SECRET = 'zq9awssecret';

/** The settings of a function, on stores of the test's own; the schema is there, as after a deployment. */
async function settings(t: Test): Promise<Record<string, string>> {
  const url = await freshDatabase(t);
  const database = openDatabase({ url, dataDir: '' });
  await database.migrate();
  await database.close();
  return {
    NODE_ENV: 'production',
    PUBLIC_URL: 'https://auth.example.com',
    DATABASE_URL: url,
    REDIS_URL: sharedRedisUrl(),
    REDIS_PREFIX: freshPrefix(t),
    JWT_SIGNING_KEY: TEST_KEY,
  };
}

const json = ({ body }: LambdaAnswer) => JSON.parse(body);
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const COOKIES = { 'x-auth-transport': 'cookie', origin: 'https://auth.example.com' };

async function register(instance: Instance, email: string) {
  const answer = await instance.invoke(
    httpEvent('POST', '/api/auth/register', { body: { email, password: PASSWORD } }),
  );
  return json(answer) as { access: string; refresh: string; user: { id: string } };
}

for (const major of [22, 24] as const) {
  t.test(`on Node.js ${major}, from a folder with nothing else in it`, async (t) => {
    const env = await settings(t);
    const instance = await startInstance(t, { bundle, node: await otherNode(major), env });
    const someone = { email: `someone@example.com`, password: PASSWORD };

    await t.test('an HTTP API and a function URL: cookies, base64, several values', async (t) => {
      const registered = await instance.invoke(
        httpEvent('POST', '/api/auth/register', { body: someone, headers: COOKIES, base64: true }),
      );
      t.equal(registered.statusCode, 201, registered.body);
      t.equal(registered.isBase64Encoded, false);
      t.equal(registered.headers['set-cookie'], undefined, 'cookies are apart');
      t.strictSame(registered.cookies?.map((cookie) => cookie.split('=')[0]).sort(), [
        'latchkey_device',
        'latchkey_refresh',
      ]);
      for (const cookie of registered.cookies ?? []) t.match(cookie, /; HttpOnly; Secure; SameSite=Strict$/);
      for (const value of Object.values(registered.headers)) t.type(value, 'string');
      t.equal(json(registered).refresh, undefined);

      const cookies = registered.cookies!.map((cookie) => cookie.split(';')[0] as string);
      const refreshed = await instance.invoke(
        httpEvent('POST', '/api/auth/refresh', { headers: COOKIES, cookies }),
      );
      t.equal(refreshed.statusCode, 200, refreshed.body);
      const foreign = await instance.invoke(httpEvent('POST', '/api/auth/refresh', { cookies }));
      t.match([foreign.statusCode, json(foreign).code], [403, 'csrf_failed']);

      const headers = bearer(json(refreshed).access);
      const page = await instance.invoke(
        httpEvent('GET', '/api/auth/activity', { headers, query: 'limit=1' }),
      );
      t.equal(json(page).events.length, 1, 'a query that is read');
      const twice = await instance.invoke(
        httpEvent('GET', '/api/auth/activity', { headers, query: 'limit=1&limit=2' }),
      );
      t.equal(twice.statusCode, 400, 'two values are two values');
      const slash = await instance.invoke(httpEvent('GET', '/api/auth/me/', { headers }));
      t.equal(slash.statusCode, 200);
    });

    await t.test('a REST API: headers in any case, several cookies', async (t) => {
      const headers = { 'X-Auth-Transport': 'cookie', Origin: COOKIES.origin };
      const answer = await instance.invoke(restEvent('POST', '/api/auth/login', { body: someone, headers }));
      t.equal(answer.statusCode, 200, answer.body);
      t.equal(answer.multiValueHeaders?.['set-cookie']?.length, 2);
      t.equal(answer.headers['set-cookie'], undefined);
      const cookies = answer.multiValueHeaders!['set-cookie']!.map(
        (cookie) => cookie.split(';')[0] as string,
      );
      const refreshed = await instance.invoke(restEvent('POST', '/api/auth/refresh', { headers, cookies }));
      t.equal(refreshed.statusCode, 200, refreshed.body);
      const me = await instance.invoke(
        restEvent('GET', '/api/auth/me', { headers: { Authorization: `Bearer ${json(refreshed).access}` } }),
      );
      t.equal(json(me).email, someone.email);
    });

    await t.test('what is asked wrongly is answered as ever', async (t) => {
      const missing = await instance.invoke(httpEvent('GET', '/nowhere'));
      t.match([missing.statusCode, json(missing).code], [404, 'not_found']);
      const unreadable = await instance.invoke(httpEvent('GET', '/%zz'));
      t.match([unreadable.statusCode, json(unreadable).code], [400, 'invalid_request']);
      const nonsense = await instance.invoke(httpEvent('POST', '/api/auth/login', { body: '{"email":' }));
      t.match([nonsense.statusCode, json(nonsense).code], [400, 'invalid_request']);
      const form = await instance.invoke(
        httpEvent('POST', '/api/auth/login', { body: 'a=b', headers: { 'content-type': 'text/plain' } }),
      );
      t.match([form.statusCode, json(form).code], [415, 'unsupported_media_type']);
      const large = await instance.invoke(httpEvent('POST', '/api/auth/login', { body: 'x'.repeat(70_000) }));
      t.match([large.statusCode, json(large).code], [413, 'body_too_large']);
      const docs = await instance.invoke(httpEvent('GET', '/docs'));
      t.equal(docs.statusCode, 404, 'the documentation stays at home');
      t.equal(instance.timers(), 0);
    });
  });
}

t.test('who is asking stands in the context and in no header', async (t) => {
  const instance = await startInstance(t, { bundle, env: await settings(t) });
  const { access } = await register(instance, 'asked@example.com');
  const forged = {
    'x-forwarded-for': '198.51.100.1, 127.0.0.1',
    forwarded: 'for=198.51.100.1',
    'x-real-ip': '198.51.100.1',
    'x-apigateway-event': encodeURIComponent(
      JSON.stringify({ requestContext: { http: { sourceIp: '198.51.100.1' } } }),
    ),
    'x-aws-lambda-fastify-request': 'x',
  };
  for (const [makeEvent, sourceIp] of [
    [httpEvent, '192.0.2.44'],
    [restEvent, '2001:db8::7'],
  ] as const) {
    const { refresh } = json(
      await instance.invoke(
        makeEvent('POST', '/api/auth/login', {
          body: { email: 'asked@example.com', password: PASSWORD },
          headers: forged,
          sourceIp,
        }),
      ),
    );
    t.type(refresh, 'string');
  }
  const { sessions } = json(
    await instance.invoke(httpEvent('GET', '/api/auth/sessions', { headers: bearer(access) })),
  );
  t.strictSame(sessions.map(({ ip }: { ip: string }) => ip).sort(), [
    '192.0.2.44',
    '2001:db8::7',
    '203.0.113.7',
  ]);

  const metrics = await instance.invoke(httpEvent('GET', '/metrics', { headers: { host: 'localhost' } }));
  t.equal(metrics.statusCode, 403, 'nobody is this machine');
  for (const event of [
    httpEvent('GET', '/metrics', { sourceIp: '' }),
    { httpMethod: 'GET', path: '/metrics', headers: {}, requestContext: { elb: { targetGroupArn: 'arn' } } },
    { source: 'aws.events' },
    {},
  ]) {
    await t.rejects(
      instance.invoke(event),
      /this is no event of an HTTP API/,
      'and no event without a caller is answered',
    );
  }
});

t.test('what happened is stored when the answer is there, and nothing is left to do', async (t) => {
  const env = await settings(t);
  const instance = await startInstance(t, { bundle, env });
  const { access, refresh } = await register(instance, 'stored@example.com');
  t.equal(instance.timers(), 0);
  const database = openDatabase({ url: env.DATABASE_URL, dataDir: '' });
  t.teardown(() => database.close());
  const stored = async () => {
    const rows = await database.db.selectFrom('events').select('type').orderBy('id').execute();
    return rows.map(({ type }) => type);
  };
  t.strictSame(await stored(), ['registered']);
  await instance.invoke(httpEvent('POST', '/api/auth/logout', { body: { refresh } }));
  t.equal(instance.timers(), 0);
  await instance.invoke(
    httpEvent('POST', '/api/auth/login', {
      body: { email: 'stored@example.com', password: 'not the password' },
    }),
  );
  t.equal(instance.timers(), 0);
  t.strictSame(await stored(), ['registered', 'logout', 'login_failed']);
  const me = await instance.invoke(httpEvent('GET', '/api/auth/me', { headers: bearer(access) }));
  t.match([me.statusCode, json(me).code], [401, 'token_revoked']);

  const old = Date.now() - 400 * 86_400_000;
  await database.db.updateTable('events').set({ at: old }).where('type', '=', 'login_failed').execute();
  t.match(await instance.clean(), /^Done: deleted 1 events/);
  t.equal(instance.timers(), 0);
  t.strictSame(await stored(), ['registered', 'logout']);
});

t.test('an instance that stood still while Redis and PostgreSQL hung up', async (t) => {
  const redis = await withRedis(t, { args: ['--timeout', '1'] });
  const env: Record<string, string> = { ...(await settings(t)), REDIS_URL: redis.url };
  const instance = await startInstance(t, { bundle, env });
  const { access, refresh } = await register(instance, 'frozen@example.com');
  instance.freeze();
  const { default: pg } = await import('pg');
  const admin = new pg.Client({ connectionString: env.DATABASE_URL });
  await admin.connect();
  t.teardown(() => admin.end());
  await admin.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  );
  await untilNobody(redis.port);
  instance.thaw();

  const me = await instance.invoke(httpEvent('GET', '/api/auth/me', { headers: bearer(access) }));
  t.equal(me.statusCode, 200, 'the very first answer is right');
  const next = await instance.invoke(httpEvent('POST', '/api/auth/refresh', { body: { refresh } }));
  t.equal(next.statusCode, 200);
  t.notMatch(instance.output(), /lost|away|failed/, 'and no news');
});

t.test('stores that are away', async (t) => {
  const redis = await withRedis(t);
  const env: Record<string, string> = { ...(await settings(t)), REDIS_URL: redis.url };
  const instance = await startInstance(t, { bundle, env });
  const { access } = await register(instance, 'away@example.com');
  const asked = httpEvent('GET', '/api/auth/me', { headers: bearer(access) });
  const expectAway = async (what: string) => {
    const startedAt = performance.now();
    const answer = await instance.invoke(asked);
    const ms = performance.now() - startedAt;
    t.match([answer.statusCode, json(answer).code], [503, 'store_unavailable'], what);
    t.match(answer.headers['retry-after'], /^[1-9]\d*$/);
    t.ok(ms < 5000, `${what}: answered after ${Math.round(ms)} ms`);
    t.equal(instance.timers(), 0, 'nobody tries to connect behind the answer');
  };
  redis.freeze();
  await expectAway('a Redis that hangs');
  redis.thaw();
  t.equal((await instance.invoke(asked)).statusCode, 200, 'back at the next request');
  await redis.kill();
  await expectAway('a Redis that is gone');
  await redis.restart();
  const lost = await instance.invoke(asked);
  t.match([lost.statusCode, json(lost).code], [401, 'token_revoked'], 'it forgot the session, and says so');
});

t.test('settings that are refused end the instance, by name', async (t) => {
  const env = await settings(t);
  const refused = (changes: Record<string, string>, names: RegExp) =>
    t.rejects(startInstance(t, { bundle, env: { ...env, ...changes } }), names);
  await refused(
    { DATABASE_URL: '', REDIS_URL: '', LATCHKEY_ALLOW_EMBEDDED: '1' },
    /DATABASE_URL and REDIS_URL are required on Lambda/,
  );
  await refused({ JWT_SIGNING_KEY: 'short', NODE_ENV: '' }, /JWT_SIGNING_KEY .* is shorter/);
});

const AWS = {
  AWS_REGION: 'eu-central-1',
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: AWS_SECRET,
  AWS_SESSION_TOKEN: 'zq9session',
};

t.test('settings that name parameters', async (t) => {
  const { JWT_SIGNING_KEY, DATABASE_URL = '', ...rest } = await settings(t);
  const store = await httpDouble(t);
  const known: Record<string, string> = {
    '/latchkey/test/key': JWT_SIGNING_KEY as string,
    '/aws/reference/secretsmanager/latchkey/database': DATABASE_URL,
  };
  let tries = 0;
  store.answerWith((response, { body }) => {
    tries += 1;
    if (tries === 1) {
      response.writeHead(400).end(JSON.stringify({ __type: 'com.amazonaws#ThrottlingException' }));
      return;
    }
    const { Names } = JSON.parse(body) as { Names: string[] };
    const there = Names.filter((name) => Object.hasOwn(known, name));
    response.writeHead(200).end(
      JSON.stringify({
        Parameters: there.map((Name) => ({ Name, Value: known[Name] })),
        InvalidParameters: Names.filter((name) => !there.includes(name)),
      }),
    );
  });
  const env = {
    ...rest,
    ...AWS,
    AWS_ENDPOINT_URL_SSM: store.url,
    JWT_SIGNING_KEY: 'ssm:/latchkey/test/key',
    DATABASE_URL: 'ssm:/aws/reference/secretsmanager/latchkey/database',
  };
  const instance = await startInstance(t, { bundle, env });
  await register(instance, 'secret@example.com');
  await register(instance, 'secret2@example.com');
  t.equal(store.received.length, 2, 'once for each instance, and once more when it was throttled');
  const asked = store.received[1] as Received;
  const { Names, WithDecryption } = JSON.parse(asked.body);
  t.strictSame([Names.sort(), WithDecryption], [Object.keys(known).sort(), true]);
  t.match(asked.headers, { 'x-amz-target': 'AmazonSSM.GetParameters', 'x-amz-security-token': 'zq9session' });
  t.equal(asked.headers.authorization, signV4(asked, AWS_SECRET));

  const refused = (changes: object, answer: RegExp) =>
    t.rejects(startInstance(t, { bundle, env: { ...env, ...changes } }), answer);
  await refused(
    { JWT_SIGNING_KEY: 'ssm:/latchkey/test/gone' },
    /JWT_SIGNING_KEY names a parameter that is not there/,
  );
  store.answer(400, { __type: 'AccessDeniedException', Message: 'zq9' });
  await refused({}, /AWS Systems Manager answered 400 \(AccessDeniedException\)/);
});

t.test('a code is with AWS before the answer is there', async (t) => {
  const sns = await httpDouble(t);
  sns.answer(
    200,
    '<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>',
    {
      'content-type': 'text/xml',
    },
  );
  const env = { ...(await settings(t)), ...AWS, SMS_PROVIDER: 'sns', AWS_ENDPOINT_URL_SNS: sns.url };
  const instance = await startInstance(t, { bundle, env });
  const send = httpEvent('POST', '/api/auth/otp/send', {
    body: { phone: '09123456789', purpose: 'register' },
  });
  t.equal((await instance.invoke(send)).statusCode, 200);
  t.equal(instance.timers(), 0);
  const code = /\b\d{6}\b/.exec(new URLSearchParams(sns.received[0]?.body).get('Message') ?? '')?.[0];
  const registered = await instance.invoke(
    httpEvent('POST', '/api/auth/register', { body: { phone: '09123456789', otp: code, first_name: 'A' } }),
  );
  t.equal(registered.statusCode, 201, registered.body);
});

t.test('the memory of a thousand requests', async (t) => {
  const off = ['LOGIN', 'REFRESH', 'USER', 'ANON'].map((name) => [`RATE_LIMIT_${name}`, 'off']);
  const env = { ...(await settings(t)), ...Object.fromEntries(off), ...deployedSettings() };
  const instance = await startInstance(t, { bundle, node: await otherNode(24), env });
  const someone = { email: 'memory@example.com', password: PASSWORD };
  let { access, refresh } = await register(instance, someone.email);
  let refused = 0;
  const ask = async (event: object) => {
    const answer = await instance.invoke(event);
    if (answer.statusCode !== 200) refused += 1;
    return json(answer);
  };
  for (let n = 0; n < 250; n++) {
    await ask(httpEvent('GET', '/api/auth/me', { headers: bearer(access) }));
    await ask(httpEvent('POST', '/api/auth/verify', { body: { token: access } }));
    ({ access, refresh } = await ask(httpEvent('POST', '/api/auth/refresh', { body: { refresh } })));
    await ask(
      n % 10 === 0
        ? httpEvent('POST', '/api/auth/login', { body: someone })
        : httpEvent('GET', '/api/auth/sessions', { headers: bearer(access) }),
    );
  }
  t.equal(refused, 0);
  const mib = instance.memory() / 2 ** 20;
  t.ok(mib < 128, `${Math.round(mib)} MiB at most`);
});

/** How serverless.yml has the process use memory. */
function deployedSettings(): Record<string, string> {
  const text = readFileSync(new URL('../../../serverless.yml', import.meta.url), 'utf8');
  const found = [...text.matchAll(/^ +(NODE_OPTIONS|MALLOC_\w+): '?(.+?)'?$/gm)];
  return Object.fromEntries(found.map(([, name, value]) => [name, value]));
}

t.test('what is in the folder', async (t) => {
  const files = readdirSync(bundle, { recursive: true, encoding: 'utf8' }).sort();
  t.strictSame(
    files.filter((file) => !/^[\w-]+-[A-Z0-9]{8}\.mjs$/.test(file)),
    ['argon2.glibc.node', 'bcrypt.glibc.node', 'index.mjs'].map((file) =>
      process.arch === 'arm64' ? file.replace('argon2', 'argon2.armv8') : file,
    ),
  );
});

t.test('what a first request reads', async (t) => {
  const read = new Set<string>();
  const follow = (file: string) => {
    if (read.has(file)) return;
    read.add(file);
    const text = readFileSync(join(bundle, file), 'utf8');
    for (const [, next] of text.matchAll(/(?:from|^import|[;\n]import) ?"\.\/([\w.-]+\.mjs)"/g))
      follow(next as string);
  };
  follow('index.mjs');
  const textOf = (files: Iterable<string>) =>
    [...files].map((file) => readFileSync(join(bundle, file), 'utf8')).join('\n');
  const modules = readdirSync(bundle).filter((file) => file.endsWith('.mjs'));
  const [first, rest] = [textOf(read), textOf(modules.filter((file) => !read.has(file)))];
  t.ok(first.includes('"/refresh"'));
  const ofAjv = 'NOT SUPPORTED: keyword';
  for (const later of ['"/register"', '/api/admin', 'nodemailer', ofAjv, 'argon2']) {
    t.notOk(first.includes(later), `${later} is read when it is asked for`);
    t.ok(rest.includes(later), `${later} is there`);
  }
});

t.test('what stands in front and what is built later stand on the same stores', async (t) => {
  const redis = await withRedis(t);
  const env: Record<string, string> = { ...(await settings(t)), REDIS_URL: redis.url };
  const first = await startInstance(t, { bundle, env });
  const { access, refresh } = await register(first, 'front@example.com');

  const front = await startInstance(t, { bundle, env });
  const me = await front.invoke(httpEvent('GET', '/api/auth/me', { headers: bearer(access) }));
  t.equal(json(me).email, 'front@example.com');
  const verified = await front.invoke(restEvent('POST', '/api/auth/verify', { body: { token: access } }));
  t.equal(json(verified).valid, true, verified.body);
  const pair = await front.invoke(httpEvent('POST', '/api/auth/refresh', { body: { refresh } }));
  t.equal(json(pair).token_type, 'Bearer', pair.body);
  const wrong = await front.invoke(httpEvent('POST', '/api/auth/refresh', { body: { refresh: 1 } }));
  t.match([wrong.statusCode, json(wrong).code], [400, 'invalid_request']);

  const headers = bearer(json(pair).access);
  const sessions = await front.invoke(httpEvent('GET', '/api/auth/sessions', { headers }));
  t.equal(json(sessions).sessions.length, 1, 'what is not in front is there too');
  t.equal(await countClients(redis.port), 2, 'by one connection each');
  await front.invoke(httpEvent('POST', '/api/auth/logout', { headers }));
  const ended = await front.invoke(httpEvent('GET', '/api/auth/me', { headers }));
  t.match([ended.statusCode, json(ended).code], [401, 'token_revoked'], 'and one knows what the other did');
});

t.test('SQL is opened with the first request, and not waited for where it is not needed', async (t) => {
  const env = await settings(t);
  const { access } = await register(await startInstance(t, { bundle, env }), 'verified@example.com');
  const asked = httpEvent('POST', '/api/auth/verify', { body: { token: access } });
  const away = { ...env, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' };
  const instance = await startInstance(t, { bundle, env: away });
  const answer = await instance.invoke(asked);
  t.match([answer.statusCode, json(answer).valid], [200, true], answer.body);
  const me = await instance.invoke(httpEvent('GET', '/api/auth/me', { headers: bearer(access) }));
  t.match([me.statusCode, json(me).code], [503, 'store_unavailable']);
  t.equal(instance.timers(), 0);
});

t.test('an instance that is started ahead', async (t) => {
  const env = { ...(await settings(t)), AWS_LAMBDA_INITIALIZATION_TYPE: 'provisioned-concurrency' };
  const instance = await startInstance(t, { bundle, env });
  const unknown = await instance.invoke(httpEvent('GET', '/nowhere'));
  t.equal(unknown.statusCode, 404);
});

/** Connections to Redis but for the one that asks. */
async function countClients(port: number): Promise<number> {
  const { Redis } = await import('ioredis');
  const redis = new Redis(port, '127.0.0.1');
  try {
    return (
      String(await redis.client('LIST'))
        .trim()
        .split('\n').length - 1
    );
  } finally {
    redis.disconnect();
  }
}

/** Redis looks for idle clients a few times a second. */
async function untilNobody(port: number): Promise<void> {
  while ((await countClients(port)) > 0) await new Promise((resolve) => setTimeout(resolve, 50));
}
