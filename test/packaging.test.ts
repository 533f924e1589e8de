import { execFile } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { decode } from './http/answers.js';
import { bearer, PASSWORD, TEST_KEY } from './support/app.js';
import { launch } from './support/daemon.js';
import { freePort } from './support/free-port.js';
import { api } from './support/http.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'latchkey-package-'));
t.teardown(() => rmSync(work, { recursive: true, force: true }));

const { PATH, HOME } = process.env;
const env = { PATH, HOME, NODE_OPTIONS: '' };
const tsc = join(root, 'node_modules/typescript/bin/tsc');

async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, env, maxBuffer: 16e6 });
  return stdout;
}

interface Packed {
  filename: string;
  files: { path: string; mode: number }[];
}

/** Packs a copy of what the package is made of: the folder of the tests stays as it is. */
async function pack(): Promise<Packed & { tarball: string }> {
  const copy = join(work, 'copy');
  mkdirSync(copy);
  const parts = [
    'package.json',
    'tsconfig.json',
    'README.md',
    'SECURITY.md',
    'LICENSE',
    'src',
    'plugins',
    'routes',
    'scripts',
  ];
  for (const part of parts) cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  for (const stray of ['dist/src/gone.js', 'test/secret.test.ts', '.latchkey/signing-key', '.env']) {
    mkdirSync(join(copy, stray, '..'), { recursive: true });
    writeFileSync(join(copy, stray), TEST_KEY);
  }
  const [packed] = JSON.parse((await run(copy, 'npm', 'pack', '--json')).replace(/^[^[]*/, '')) as [Packed];
  return { ...packed, tarball: join(copy, packed.filename) };
}

/** An application that has nothing but Latchkey and Fastify. */
async function emptyApplication(name: string, tarball: string): Promise<string> {
  const dir = join(work, name);
  mkdirSync(dir);
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }));
  const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await run(dir, 'npm', 'install', ...quietly, tarball, 'fastify');
  return dir;
}

const packed = await pack();
const javascript = await emptyApplication('javascript', packed.tarball);
const typescript = join(work, 'typescript');
// What npm would do once more.
cpSync(javascript, typescript, { recursive: true, verbatimSymlinks: true });

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const [, example = ''] = /^## In your own Fastify application$.*?^```ts\n(.*?)^```$/ms.exec(readme) ?? [];

t.test('what is in the package', async (t) => {
  const paths = packed.files.map(({ path }) => path);
  const others = paths.filter((path) => !/^dist\/(src|plugins|routes)\/[\w./-]+\.(js|d\.ts)$/.test(path));
  t.strictSame(
    // The names of the pages' files change with what is in them.
    [...new Set(others.map((path) => path.replace(/-[A-Z0-9]{8}\./, '-#.')))].sort(),
    [
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist/assets/js/jwt-auth.js',
      'dist/assets/js/jwt-client.js',
      'dist/assets/js/latchkey-client.js',
      'dist/assets/pages/account-page-#.js',
      'dist/assets/pages/admin-page-#.js',
      'dist/assets/pages/boot-#.js',
      'dist/assets/pages/charts-#.css',
      'dist/assets/pages/chunk-#.js',
      'dist/assets/pages/main-#.css',
      'dist/assets/pages/main-#.js',
      'dist/assets/pages/manifest.json',
      'dist/assets/pages/mark.svg',
      'package.json',
    ],
  );
  t.notOk(paths.includes('dist/src/gone.js'), 'built afresh');
  const installed = join(javascript, 'node_modules/latchkey');
  const text = paths.map((path) => readFileSync(join(installed, path), 'utf8')).join('\n');
  t.notOk(text.includes(TEST_KEY));
  t.notMatch(text, /-----BEGIN [A-Z ]*PRIVATE KEY-----\n/);

  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  const targets = Object.values<string | Record<string, string>>(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  );
  for (const target of [...targets, manifest.types, manifest.bin.latchkey]) {
    t.ok(existsSync(join(installed, target)), target);
  }
  t.notOk(existsSync(join(installed, 'node_modules/fastify')), "Fastify is the application's");
  t.match(await run(javascript, 'node_modules/.bin/latchkey', '--version'), /^\d+\.\d+\.\d+\n$/);
  await t.rejects(
    run(javascript, process.execPath, '-e', 'import("latchkey/dist/src/app.js")'),
    /ERR_PACKAGE_PATH_NOT_EXPORTED/,
  );
});

t.test('the example of the README in a JavaScript application', async (t) => {
  writeFileSync(join(javascript, 'app.js'), example);
  const port = await freePort();
  const http = api(`http://127.0.0.1:${port}`);
  const server = await launch(process.execPath, ['app.js'], {
    cwd: javascript,
    env: { ...env, PORT: String(port), JWT_SIGNING_KEY: TEST_KEY },
    ready: () =>
      http.get('/').then(
        () => true,
        () => false,
      ),
  });
  t.teardown(() => server.kill());

  const someone = { email: 'boss@example.com', password: PASSWORD };
  const registered = await http.post('/id/api/auth/register/', someone);
  t.equal(registered.status, 201);
  const { body } = await http.post<{ access: string; refresh: string; user: { id: string } }>(
    '/id/api/auth/login',
    someone,
  );
  t.match(decode(body.access).claims, { plan: 'pro', email: someone.email });
  const invoices = await http.get('/invoices', { token: body.access });
  t.strictSame(invoices.body, { of: body.user.id, plan: 'pro' });

  const refused = await http.get('/invoices');
  t.match([refused.status, refused.body.code], [401, 'token_missing']);
  const forbidden = await http.get('/reports', { token: body.access });
  t.match([forbidden.status, forbidden.body.code], [403, 'forbidden']);

  const next = await http.post<{ access: string }>('/id/api/auth/refresh', { refresh: body.refresh });
  t.equal(next.status, 200);
  t.equal((await http.post('/id/api/auth/logout', {}, { token: next.body.access })).status, 200);
  const script = await http.get('/id/static/js/jwt-client.js');
  t.equal(script.status, 200, 'what browsers load is found in the package');
  const ended = await http.get('/invoices', { headers: bearer(next.body.access) });
  t.match([ended.status, ended.body.code], [401, 'token_revoked']);
});

/** Everything typed that the package offers, in an application with an error handler and a validator of its own. */
const TYPED = `
import Fastify, { type FastifyInstance } from 'fastify';
import latchkey, { AuthError, type Authenticated, type LatchkeyOptions, type TokenPair, type User } from 'latchkey';
import { createAuthClient, type AuthClientOptions } from 'latchkey/client';
import { attach } from 'latchkey/client/axios';
import { createTokenVerifier } from 'latchkey/verify';

const options: LatchkeyOptions = {
  jwtSigningKey: '${TEST_KEY}',
  claims: async (user: User) => ({ plan: user.isStaff ? 'staff' : 'free' }),
};
const app: FastifyInstance = Fastify();
app.setErrorHandler((error, _request, reply) => reply.code(418).send({ theirs: (error as Error).message }));
app.setValidatorCompiler(() => () => ({ error: new Error('refused by theirs') }));
await app.register(latchkey, { ...options, prefix: '/id' });
app.get('/mine', { onRequest: [app.authenticate] }, async (request) => {
  const auth: Authenticated = request.auth;
  return { email: auth.user.email, plan: auth.claims.payload.plan, left: auth.limit?.remaining };
});
app.get('/reports', { preHandler: app.authorize('reports:read', 'reports:list') }, async () => 'in');
app.post('/theirs', { schema: { body: {} } }, async () => 'in');

// @ts-expect-error an option that does not exist
({ databseUrl: '' }) satisfies LatchkeyOptions;
// @ts-expect-error no permission is no guard
() => app.authorize();
// @ts-expect-error what Latchkey stands on is not the application's
app.sessions;

const payload = { email: 'typed@example.com', password: '${PASSWORD}' };
const { user } = (await app.inject({ method: 'POST', url: '/id/api/auth/register', payload })).json<{ user: { id: string } }>();
const pair: TokenPair = await app.latchkey.issueTokens(user.id);
const codes: string[] = [];
const failing = async (work: () => Promise<unknown>) => {
  try {
    await work();
  } catch (error) {
    if (error instanceof AuthError) codes.push(error.code);
  }
};
const ask = async (url: string, method: 'GET' | 'POST' = 'GET', token = pair.access) => {
  const { statusCode, body } = await app.inject({ method, url, headers: { authorization: 'Bearer ' + token } });
  return [statusCode, body];
};
const answers = {
  mine: await ask('/mine'),
  reports: await ask('/reports'),
  theirs: await ask('/theirs', 'POST'),
};
const settings: AuthClientOptions = { baseUrl: await app.listen() + '/id' };
const client = createAuthClient(settings);
await client.login({ email: payload.email, password: payload.password });
const mine = await client.fetch('/mine');
const known: [number, string | null | undefined, string] = [mine.status, client.state.user?.email, typeof attach];
const next = await app.latchkey.refreshTokens(pair.refresh);
await app.latchkey.revokeToken(next.access);
await failing(() => app.latchkey.verifyToken(next.access));
await app.latchkey.revokeUser(user.id);
await failing(() => app.latchkey.refreshTokens(next.refresh));
await app.close();
console.log(JSON.stringify({ answers, codes, known, verifier: typeof createTokenVerifier }));
`;

t.test('a TypeScript application', async (t) => {
  const compilerOptions = {
    target: 'ES2022',
    module: 'NodeNext',
    strict: true,
    exactOptionalPropertyTypes: false,
    skipLibCheck: false,
    typeRoots: [join(root, 'node_modules/@types')],
    types: ['node'],
  };
  const files = ['typed.ts', 'example.ts'];
  writeFileSync(join(typescript, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
  writeFileSync(join(typescript, 'typed.ts'), TYPED);
  writeFileSync(join(typescript, 'example.ts'), example);
  const complaints = await run(typescript, process.execPath, tsc, '-p', '.').catch(
    (error: { stdout: string }) => error.stdout,
  );
  t.equal(complaints, '', 'compiles, with the declarations checked too');

  const told = JSON.parse(await run(typescript, process.execPath, 'typed.js'));
  t.match(told.answers, {
    mine: [200, JSON.stringify({ email: 'typed@example.com', plan: 'free', left: 999 })],
    reports: [403, /"code":"forbidden"/],
    theirs: [418, JSON.stringify({ theirs: 'refused by theirs' })],
  });
  t.strictSame(told.codes, ['token_revoked', 'session_ended']);
  t.equal(told.verifier, 'function');
  t.strictSame(told.known, [200, 'typed@example.com', 'function']);
});
