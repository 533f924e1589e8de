import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import type { AuthClient, AuthClientOptions, SessionEnd } from '../../src/client/auth-client.js';
import { PASSWORD, STORES, type Stores, type TestApp, testApp } from '../support/app.js';
import { freePort } from '../support/free-port.js';
import { withRedis } from '../support/redis-server.js';
import { NEURAL_FLOW, PHONE_OTP, PYCODER } from './documents.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const QUARTER_OF_AN_HOUR = 15 * 60_000;

const browser: Browser = await chromium.launch({
  executablePath: process.env.TEST_CHROMIUM as string,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
t.teardown(() => browser.close());

interface Service extends TestApp {
  url: string;
}

/** Latchkey on the origin that it takes for its own. */
async function service(t: Test, stores: Stores, env: Record<string, string> = {}): Promise<Service> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const demo = {
    PUBLIC_URL: url,
    PASSWORD_BLOCKLIST: 'off',
    OTP_TEST_NUMBERS: '09123456789:123456',
    OTP_RESEND: 'off',
  };
  const latchkey = await testApp(t, { stores, env: { ...demo, ...env } });
  await latchkey.app.listen({ host: '127.0.0.1', port });
  return { ...latchkey, url };
}

/** Files of the application whose pages these are: beside Latchkey, on its origin. */
const FILES: Record<string, { contentType: string; body: string }> = {
  '/empty.html': {
    contentType: 'text/html',
    body: '<!doctype html><title>Test</title><body><div id="app"></div>',
  },
  '/client.js': {
    contentType: 'text/javascript',
    body: readFileSync(new URL('../../assets/js/latchkey-client.js', import.meta.url), 'utf8'),
  },
  '/axios.js': {
    contentType: 'text/javascript',
    body: readFileSync(`${root}/node_modules/axios/dist/axios.min.js`, 'utf8'),
  },
};

interface Visit {
  context: BrowserContext;
  /** Requests that went out, by path. */
  asked: string[];
  open(path?: string): Promise<Page>;
}

/** A browser of somebody, with nothing in it. */
async function visit(t: Test, { url }: Service): Promise<Visit> {
  const context = await browser.newContext();
  t.teardown(() => context.close());
  const asked: string[] = [];
  context.on('request', (request) => asked.push(new URL(request.url()).pathname));
  for (const [path, file] of Object.entries(FILES)) {
    await context.route(`${url}${path}`, (route) => route.fulfill(file));
  }
  return {
    context,
    asked,
    async open(path = '/empty.html') {
      const page = await context.newPage();
      await page.goto(url + path);
      return page;
    },
  };
}

/** Runs a piece of a document as a module of the page and gives what it wrote to the console. */
async function run(page: Page, code: string): Promise<string[]> {
  const written: string[] = [];
  const listen = (message: { text(): string }) => void written.push(message.text());
  page.on('console', listen);
  const done = `done${Math.random().toString(36).slice(2)}`;
  await page.addScriptTag({ type: 'module', content: `${code}\n;console.log('${done}');` });
  const failed = new Promise<never>((_resolve, reject) => page.once('pageerror', reject));
  failed.catch(() => {});
  for (const deadline = Date.now() + 15_000; !written.includes(done); ) {
    if (Date.now() > deadline) throw new Error(`it did not end: ${written.join('\n')}`);
    await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 5))]);
  }
  page.off('console', listen);
  // The browser's own word on each answer from 400 up.
  return written.filter((line) => line !== done && !line.startsWith('Failed to load resource'));
}

declare global {
  /** In the page. */
  var client: AuthClient;
  var ends: SessionEnd[];
}

/** Gives the page a client of its own. */
const startClient = (page: Page, options: AuthClientOptions) =>
  page.evaluate(async (options) => {
    const path = '/client.js';
    const { createAuthClient } = (await import(path)) as typeof import('../../src/client/auth-client.js');
    globalThis.client = createAuthClient(options);
    globalThis.ends = [];
    client.on('ended', (end) => ends.push(end));
  }, options);

const login = (page: Page, email: string) =>
  page.evaluate(([email, password]) => client.login({ email, password } as never), [email, PASSWORD]);
const isSignedIn = (page: Page) => page.evaluate(() => client.state.authenticated);
/** The statuses of that many requests at once. */
const askMany = (page: Page, many: number) =>
  page.evaluate(
    (many) =>
      Promise.all(
        Array.from({ length: many }, () => client.fetch('/api/auth/me').then(({ status }) => status)),
      ),
    many,
  );
const failureOf = (page: Page, path: string) =>
  page.evaluate(
    (path) =>
      client.fetch(path).then(
        () => null,
        ({ code, reason, status }) => ({ code, reason, status }),
      ),
    path,
  );

async function newPerson({ send }: TestApp): Promise<string> {
  const email = `browser${Math.random().toString(36).slice(2)}@example.com`;
  const payload = { email, password: PASSWORD };
  const { statusCode } = await send({ method: 'POST', url: '/api/auth/register', payload });
  if (statusCode !== 201) throw new Error(`register answered ${statusCode}`);
  return email;
}

const countOf = (asked: string[], path: string) => asked.filter((each) => each === path).length;

for (const stores of STORES) {
  t.test(`the old front ends: ${stores}`, async (t) => {
    const server = await service(t, stores, { COMPAT_ROTATION: 'off' });

    await t.test('phone OTP', async (t) => {
      const { open, asked } = await visit(t, server);
      const page = await open();
      await page.addScriptTag({ url: '/static/js/jwt-client.js' });
      await page.addScriptTag({ content: PHONE_OTP.initialize });

      t.same(await run(page, PHONE_OTP.status), ['User is not authenticated']);
      t.match(await run(page, PHONE_OTP.login), [/^Login failed: ./]);
      t.match(await run(page, PHONE_OTP.sendOtp), [/^OTP sent: [^{]/]);
      t.match(await run(page, PHONE_OTP.register), [/^Registration successful: .*John/]);
      t.match(await run(page, PHONE_OTP.status), ['User is authenticated', /User data: .*John/]);
      t.match(await run(page, PHONE_OTP.request), [/^User profile: /]);

      server.advance(QUARTER_OF_AN_HOUR);
      const codes = await page.evaluate(async () => {
        const { jwtClient } = globalThis as never as {
          jwtClient: { apiRequest(path: string): Promise<Response> };
        };
        const answers = await Promise.all([1, 2, 3, 4].map(() => jwtClient.apiRequest('/dashboard/')));
        return Promise.all(
          answers.map(async (answer) => [
            answer.status,
            ((await answer.json()) as { data: { user: { phone: string } } }).data.user.phone,
          ]),
        );
      });
      t.same(codes, Array(4).fill([200, '09123456789']));
      t.equal(countOf(asked, '/api/auth/refresh'), 1, 'renewed once');

      const later = await open();
      await later.addScriptTag({ url: '/static/js/jwt-client.js' });
      t.match(await run(later, PHONE_OTP.status), ['User is authenticated', /John/], 'kept for other pages');
      t.same(await run(page, PHONE_OTP.logout), ['Logged out successfully']);
      t.same(await run(page, PHONE_OTP.status), ['User is not authenticated']);
      t.same(await run(later, PHONE_OTP.status), ['User is not authenticated'], 'and signed out with them');
      t.same(
        await page.evaluate(() => ({ ...(globalThis as never as { localStorage: object }).localStorage })),
        {},
      );

      await run(page, PHONE_OTP.sendOtp.replace('register', 'login'));
      t.match(await run(page, PHONE_OTP.login), [/^Login successful: .*John/]);
      const all = 'console.log((await jwtClient.logoutAll()).success, jwtClient.isAuthenticated())';
      t.same(await run(page, all), ['true false']);
    });

    await t.test('NeuralFlow', async (t) => {
      const { open, asked } = await visit(t, server);
      const page = await open();
      await page.addScriptTag({ url: '/static/js/jwt-auth.js' });
      const tell = '\nconsole.log(JSON.stringify(result));';
      const [registered] = await run(page, NEURAL_FLOW.register + tell);
      t.match(JSON.parse(registered as string), { success: true, user: { email: 'user@example.com' } });
      t.notMatch(registered, /eyJ/, 'no token among it');
      t.match(await run(page, NEURAL_FLOW.register + tell), [/"success":false,"error":/]);
      t.match(await run(page, NEURAL_FLOW.login), [/^Logged in: .*username/]);
      const wrong = NEURAL_FLOW.login.replace("'password'", "'wrong'");
      t.match(await run(page, wrong + tell), [/"success":false/]);

      const show = '\nconsole.log(response.status, Object.keys(data).sort().join());';
      t.same(await run(page, NEURAL_FLOW.request + show), ['200 activity,sessions,user']);
      server.advance(QUARTER_OF_AN_HOUR);
      t.same(await run(page, NEURAL_FLOW.request + show), ['200 activity,sessions,user']);
      t.equal(countOf(asked, '/api/auth/refresh'), 1);

      // The page for somebody signed in leads to the login page, and back.
      const context = page.context();
      const dashboard = '/core/enhanced-dashboard/';
      const html = '<!doctype html><script src="/static/js/jwt-auth.js"></script><p>Dashboard';
      for (const path of [`${dashboard}*`, `${dashboard.slice(0, -1)}*`, '/templates/auth/jwt_login.html*']) {
        await context.route(server.url + path, (route) =>
          route.fulfill({ contentType: 'text/html', body: html }),
        );
      }
      await page.goto(`${server.url}${dashboard}?tab=1`);
      t.equal(await page.evaluate('jwtAuth.isAuthenticated()'), true);
      await Promise.all([
        page.waitForURL('**/jwt_login.html*'),
        page.evaluate('jwtAuth.logout()').catch(() => {}),
      ]);
      t.equal(new URL(page.url()).searchParams.get('next'), `${dashboard}?tab=1`);
      await page.goto(server.url + dashboard).catch(() => {});
      await page.waitForURL('**/jwt_login.html*');
    });

    await t.test('PyCoder', async (t) => {
      const { open, asked } = await visit(t, server);
      const page = await open();
      await page.addScriptTag({ url: '/axios.js' });
      // The document leaves these two to the reader.
      await page.addScriptTag({
        content: `const axiosClient = axios.create(); let originalRequest;
          axiosClient.interceptors.response.use(null, (error) => { originalRequest = error.config; throw error; });`,
      });
      await run(page, PYCODER.requestInterceptor);
      await run(page, PYCODER.responseInterceptor);
      const code = PYCODER.register.replace('user@example.com', `py.${stores}@example.com`);
      await run(page, `${code}\nconst { tokens } = response.data\n${PYCODER.store}`);
      const me = "console.log((await axiosClient.get('/api/user/')).data.email)";
      t.same(await run(page, me), [`py.${stores}@example.com`]);
      for (const refreshes of [1, 2, 3]) {
        server.advance(QUARTER_OF_AN_HOUR);
        const said = await run(page, me);
        t.equal(said.at(-1), `py.${stores}@example.com`);
        t.equal(countOf(asked, '/api/token/refresh/'), refreshes);
      }
      await run(page, `${PYCODER.logout}\nlogout()`);
      t.equal(await page.evaluate("localStorage.getItem('access_token')"), null);
    });
  });

  t.test(`tabs: ${stores}`, async (t) => {
    const server = await service(t, stores);
    for (const transport of ['body', 'cookie'] as const) {
      // Each store sees both ways of either kind.
      const locks = (transport === 'body') === (stores === 'embedded');
      const name = `${transport}, ${locks ? 'with' : 'without'} locks`;
      const { context, open, asked } = await visit(t, server);
      if (!locks)
        await context.addInitScript('Object.defineProperty(navigator, "locks", { value: undefined })');
      const options = { transport, storage: 'localStorage' } as const;
      const tabs = [await open(), await open()] as const;
      const [one, two] = tabs;
      for (const tab of tabs) await startClient(tab, options);
      const email = await newPerson(server);
      await login(one, email);
      await two.waitForFunction(() => client.state.authenticated);
      t.equal(await two.evaluate(() => client.state.user?.email), email, `${name}: one login`);

      server.advance(QUARTER_OF_AN_HOUR);
      const answers = await Promise.all(tabs.map((tab) => askMany(tab, 8)));
      t.same([...new Set(answers.flat())], [200]);
      const refreshes = countOf(asked, '/api/auth/refresh');
      t.ok(refreshes >= 1 && refreshes <= (locks ? 1 : 2), `${name}: ${refreshes} refreshes`);
      server.advance(QUARTER_OF_AN_HOUR);
      t.same(await askMany(one, 1), [200]);
      t.same(await askMany(two, 1), [200]);
      t.equal(countOf(asked, '/api/auth/refresh'), refreshes + 1, `${name}: and the next one is for both`);

      await two.reload();
      await startClient(two, options);
      t.equal(await isSignedIn(two), true, `${name}: outlives a reload`);
      t.equal((await two.evaluate(() => client.restore()))?.email, email);
      t.equal(await two.evaluate("localStorage.getItem('latchkey').includes('eyJ')"), transport === 'body');

      await one.evaluate(() => client.logout());
      await two.waitForFunction(() => !client.state.authenticated);
      t.match(await two.evaluate(() => ends), [{ reason: 'logout' }], `${name}: one logout`);
      t.same(await one.evaluate(() => ends), []);
      t.equal(
        (await context.cookies()).some(({ name }) => name === 'latchkey_refresh'),
        false,
      );
      await context.close();
    }
  });

  t.test(`work goes on: ${stores}`, async (t) => {
    const redis = stores === 'servers' ? await withRedis(t) : undefined;
    const server = await service(t, stores, redis && { REDIS_URL: redis.url });
    const { context, open, asked } = await visit(t, server);
    const [page, other] = [await open(), await open()];
    await startClient(page, { storage: 'localStorage' });
    const email = await newPerson(server);
    await login(page, email);

    server.advance(QUARTER_OF_AN_HOUR);
    const saved = await page.evaluate(
      async () => (await client.updateProfile({ first_name: 'Late' })).first_name,
    );
    t.equal(saved, 'Late', 'what was sent with an expired token is sent again');

    server.advance(QUARTER_OF_AN_HOUR);
    await context.setOffline(true);
    t.match(await page.evaluate(() => client.me().catch(({ code }) => code)), 'network_error');
    t.equal(await isSignedIn(page), true, 'offline ends nothing');
    await context.setOffline(false);
    t.same(await askMany(page, 3), [200, 200, 200]);

    const mine = await page.evaluate(() => client.state.sessionId);
    await startClient(other, {});
    await login(other, email);
    await other.evaluate((id) => client.endSession(id as string), mine);
    t.match(await failureOf(page, '/api/auth/me'), { code: 'session_ended', reason: 'session_deleted' });
    t.match(await page.evaluate(() => ends), [{ reason: 'session_deleted' }]);
    t.equal(await page.evaluate("localStorage.getItem('latchkey')"), null);
    t.equal(countOf(asked, '/api/auth/refresh'), 3, 'one for each time it was due');

    if (redis) {
      await login(page, email);
      server.advance(QUARTER_OF_AN_HOUR);
      redis.freeze();
      t.match(await failureOf(page, '/api/auth/me'), { code: 'store_unavailable', status: 503 });
      t.equal(await isSignedIn(page), true, 'and neither does a store that is away');
      redis.thaw();
      await page.waitForFunction(() => client.me().then(Boolean, () => false), undefined, { polling: 200 });
    }
  });
}

t.test('the scripts', async (t) => {
  const { send } = await testApp(t);
  for (const name of ['jwt-client.js', 'jwt-auth.js']) {
    const url = `/static/js/${name}`;
    const { statusCode, headers, body } = await send({ method: 'GET', url });
    t.equal(statusCode, 200, name);
    t.match(headers, {
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=300',
      'x-content-type-options': 'nosniff',
      'content-security-policy': /^default-src 'none'/,
      etag: /^"[\w-]{43}"$/,
    });
    t.ok(body.length > 1000);
    const again = (etag: string) => send({ method: 'GET', url, headers: { 'if-none-match': etag } });
    for (const etag of [headers.etag as string, `W/${headers.etag}`, `"x", ${headers.etag}`, '*']) {
      const unchanged = await again(etag);
      t.match([unchanged.statusCode, unchanged.body], [304, '']);
    }
    t.equal((await again('"x"')).statusCode, 200);
    t.equal((await send({ method: 'HEAD', url })).statusCode, 200);
  }
  t.equal((await send({ method: 'GET', url: '/static/js/latchkey-client.js' })).statusCode, 404);
  t.equal((await send({ method: 'GET', url: '/static/js/..%2f..%2fplugins%2fscripts.js' })).statusCode, 404);

  const { send: modern } = await testApp(t, { env: { COMPAT_ROUTES: 'off' } });
  t.equal((await modern({ method: 'GET', url: '/static/js/jwt-client.js' })).statusCode, 404);
});

t.test('the React example', async (t) => {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['examples/react/app.tsx'],
    bundle: true,
    format: 'iife',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    alias: { 'latchkey/client': './src/client/auth-client.ts' },
    write: false,
  });
  const server = await service(t, 'embedded');
  const { context, open } = await visit(t, server);
  await context.route(`${server.url}/app.html`, (route) =>
    route.fulfill({
      contentType: 'text/html',
      body: '<!doctype html><div id="app"></div><script src="/app.js"></script>',
    }),
  );
  await context.route(`${server.url}/app.js`, (route) =>
    route.fulfill({ contentType: 'text/javascript', body: outputFiles[0]!.text }),
  );
  const email = await newPerson(server);
  const page = await open('/app.html');
  const signIn = async (password: string) => {
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  };
  await signIn('not the password');
  await page.getByRole('alert').filter({ hasText: /./ }).waitFor();
  await signIn(PASSWORD);
  await page.getByRole('heading', { name: `Hello ${email}` }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: `Hello ${email}` }).waitFor();
  const second = await open('/app.html');
  await second.getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('You were signed out (logout).').waitFor();
  t.pass();
});
