// npm run bench:cold: from spawning a process to its first answer, for an empty one, for a minimal Fastify application
// that is bundled alike (it verifies a token and asks Redis whether it was revoked) and for Latchkey's bundle; without
// and with NODE_COMPILE_CACHE. They take turns, so that a machine that is busy is busy for all. They run on the Node.js that
// serverless.yml names; BENCH_NODE is the path of another one.
import { execFileSync, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleLambda } from '../scripts/bundle-lambda.mjs';
import { bringOtherNodes } from '../test/runner/other-nodes.mjs';
import { KEY, startPostgres, startRedis, stop, stopAll } from './servers.mjs';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 10);
const GOAL = 1.5;
const root = fileURLToPath(new URL('..', import.meta.url));
const node = process.env.BENCH_NODE ?? (await nodeOfLambda());
const dir = mkdtempSync(join(tmpdir(), 'latchkey-cold-'));

const SOMEONE = { email: 'cold@example.com', password: 'correct horse battery' };

/** What the runtime of Lambda does: loads the module, hands it an event. */
const RUNTIME = `
const [, , file, event] = process.argv;
const answer = file && await (await import(file)).handler(JSON.parse(event), {});
process.stdout.write(JSON.stringify(answer?.statusCode ?? 200) + '\\n');
process.exit();
`;

const MINIMAL = `
import awsLambdaFastify from '@fastify/aws-lambda';
import jwt from '@fastify/jwt';
import Fastify from 'fastify';
import { Redis } from 'ioredis';
const redis = new Redis(process.env.REDIS_URL);
const app = Fastify();
await app.register(jwt, { secret: process.env.JWT_SIGNING_KEY });
const schema = { response: { 200: { type: 'object', properties: { sub: { type: 'string' } } } } };
app.get('/api/auth/me', { schema }, async (request, reply) => {
  await request.jwtVerify();
  if (await redis.exists('revoked:' + request.user.jti)) return reply.code(401).send();
  return { sub: request.user.sub };
});
export const handler = awsLambdaFastify(app, { decorateRequest: false });
await app.ready();
`;

const event = (method, path, { token, body } = {}) => ({
  version: '2.0',
  rawPath: path,
  rawQueryString: '',
  headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
  requestContext: { requestId: '1', http: { method, path, sourceIp: '203.0.113.7' } },
  body: body && JSON.stringify(body),
  isBase64Encoded: false,
});

const runtime = join(dir, 'runtime.mjs');
const minimal = join(dir, 'minimal.mjs');
const latchkey = join(dir, 'latchkey/index.mjs');

/** Once from the npm registry, as for the tests. */
async function nodeOfLambda() {
  await bringOtherNodes(root).there;
  const path = process.env.TEST_NODE_24;
  if (!existsSync(path))
    throw new Error('Node.js 24 did not come from the npm registry: name one by BENCH_NODE');
  return path;
}

async function prepare() {
  writeFileSync(runtime, RUNTIME);
  const options = await bundleLambda({ local: true, outdir: join(dir, 'latchkey') });
  await build({
    ...options,
    entryPoints: undefined,
    stdin: { contents: MINIMAL, resolveDir: root },
    outdir: undefined,
    outfile: minimal,
    outExtension: undefined,
    splitting: false,
    // It goes by Fastify's own compilers, which Latchkey leaves out.
    plugins: [],
    metafile: false,
  });
}

/** Registers somebody through the bundle itself, in this process, and gives the access token. */
async function signUp(env) {
  const { openDatabase } = await import('../.build/src/stores/sql/database.js');
  const database = openDatabase({ url: env.DATABASE_URL, dataDir: '' });
  await database.migrate();
  await database.close();
  Object.assign(process.env, env);
  const { handler } = await import(latchkey);
  const answer = await handler(event('POST', '/api/auth/register', { body: SOMEONE }), {});
  if (answer.statusCode !== 201) throw new Error(answer.body);
  return JSON.parse(answer.body).access;
}

function signFor(payload) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const input = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(payload)}`;
  return `${input}.${createHmac('sha256', KEY).update(input).digest('base64url')}`;
}

async function measure(args, env) {
  const startedAt = performance.now();
  const child = spawn(node, [runtime, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  await once(child.stdout, 'data');
  const ms = performance.now() - startedAt;
  await once(child, 'exit');
  if (!text.endsWith('200\n')) throw new Error(`${args[0]} answered ${text}`);
  return ms;
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function compare(subjects, env) {
  const times = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  // The first round fills the caches, of the disk and of the compiler.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, args] of Object.entries(subjects)) {
      const ms = await measure(args, env);
      if (round > 0) times[name].push(ms);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)]));
}

function report(title, { empty, minimal, latchkey, login }) {
  const ms = (value) => `${value.toFixed(0).padStart(6)} ms`;
  const ratio = latchkey / minimal;
  console.log(`\n${title}`);
  console.log(`empty process    ${ms(empty)}`);
  console.log(`minimal app      ${ms(minimal)}`);
  console.log(`Latchkey         ${ms(latchkey)}   ${ratio.toFixed(2)} × the minimal app (goal: ${GOAL})`);
  // Waits for the rest of the service and for argon2.
  console.log(`a first login    ${ms(login)}`);
}

const redis = await startRedis();
const postgres = await startPostgres();
try {
  await prepare();
  const settings = {
    AWS_LAMBDA_FUNCTION_NAME: 'latchkey-bench',
    NODE_ENV: 'production',
    LOG_LEVEL: 'error',
    REDIS_URL: redis.url,
    DATABASE_URL: postgres.url,
    JWT_SIGNING_KEY: KEY,
    RATE_LIMIT_USER: 'off',
    RATE_LIMIT_LOGIN: 'off',
    RATE_LIMIT_LOGIN_IP: 'off',
  };
  const token = await signUp(settings);
  const of = (file, bearer) => [file, JSON.stringify(event('GET', '/api/auth/me', { token: bearer }))];
  const subjects = {
    empty: [],
    minimal: of(minimal, signFor({ sub: '1', jti: '1', exp: Math.ceil(Date.now() / 1000) + 900 })),
    latchkey: of(latchkey, token),
    login: [latchkey, JSON.stringify(event('POST', '/api/auth/login', { body: SOMEONE }))],
  };
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
  console.log(`Spawn to first answer on node ${version}, medians of ${ROUNDS}`);
  report('as it comes', await compare(subjects, settings));
  const cached = { ...settings, NODE_COMPILE_CACHE: join(dir, 'cache') };
  report('with NODE_COMPILE_CACHE (Node.js 22.1 and newer)', await compare(subjects, cached));
} finally {
  await stop(redis.child);
  await postgres.stop();
  await stopAll(redis.dir);
  rmSync(dir, { recursive: true, force: true });
}
process.exit();
