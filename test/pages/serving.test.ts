import Fastify from 'fastify';
import t from 'tap';
import latchkey from '../../src/index.js';
import { PATHS } from '../../src/pages/paths.js';
import { TEST_KEY, testApp } from '../support/app.js';
import { makeTempDir } from '../support/process-records.js';

const html = (headers: Record<string, unknown>): boolean =>
  String(headers['content-type']).startsWith('text/html');

t.test('every page is the same shell, and runs nothing but its own files', async (t) => {
  const { send } = await testApp(t);
  for (const path of [...Object.values(PATHS), `${PATHS.users}/someone`, `${PATHS.signIn}/`]) {
    const { statusCode, headers, body } = await send({ url: path });
    t.equal(statusCode, 200, path);
    t.ok(html(headers));
    t.equal(headers['cache-control'], 'no-store');
    t.equal(headers['referrer-policy'], 'no-referrer');
    t.equal(headers['x-frame-options'], 'DENY');
    const policy = String(headers['content-security-policy']);
    t.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    t.notMatch(policy, /unsafe|\*|https?:/);
    t.notMatch(body, /<script>|<style|style=|onclick|https?:/, 'nothing inline, nothing from elsewhere');
  }
});

t.test('the language is that of the reader, until they choose another', async (t) => {
  const { send } = await testApp(t);
  const shell = async (language: string) => {
    const { headers, body } = await send({ url: '/sign-in', headers: { 'accept-language': language } });
    return [headers['content-language'], /<html lang="(\w+)" dir="(\w+)">/.exec(body)?.slice(1)];
  };
  t.strictSame(await shell('de, fa-IR;q=0.9, en;q=0.5'), ['fa', ['fa', 'rtl']]);
  t.strictSame(await shell('en-GB'), ['en', ['en', 'ltr']]);
  t.strictSame(await shell(''), ['en', ['en', 'ltr']]);
  const persian = await testApp(t, { env: { DEFAULT_LOCALE: 'fa' } });
  t.match((await persian.send({ url: '/sign-in' })).body, /<html lang="fa" dir="rtl">/);
});

t.test('files stay as they are under a name', async (t) => {
  const { send } = await testApp(t);
  const { body } = await send({ url: '/sign-in' });
  const files = Array.from(body.matchAll(/(?:src|href)="([^"]+)"/g), ([, url]) => url as string);
  t.ok(files.length >= 5, files.join(' '));
  for (const url of files) {
    const { statusCode, headers } = await send({ url });
    t.equal(statusCode, 200, url);
    t.match(headers['cache-control'], url.endsWith('.svg') ? 'max-age=86400' : 'immutable');
    const again = await send({ url, headers: { 'if-none-match': String(headers.etag) } });
    t.equal(again.statusCode, 304);
    t.equal(again.body, '');
    if (url.endsWith('.svg')) continue;
    t.match(url, /-[A-Z0-9]{8}\.(js|css)$/);
  }
  for (const url of [
    '/assets/manifest.json',
    '/assets/nothing.js',
    '/assets/..%2f..%2fpackage.json',
    '/assets/',
  ]) {
    t.equal((await send({ url })).statusCode, 404, url);
  }
});

t.test('where one is led', async (t) => {
  const { send } = await testApp(t, { env: { PUBLIC_URL: 'http://localhost:8000' } });
  const leads = async (url: string, headers: Record<string, string> = {}) => {
    const answer = await send({ url, headers: { host: 'localhost:8000', ...headers } });
    return answer.statusCode === 302 ? answer.headers.location : answer.statusCode;
  };
  t.equal(await leads('/'), '/sign-in');
  t.equal(await leads('/', { cookie: 'latchkey_refresh=x' }), '/account');
  t.equal(await leads('/admin'), '/admin/users');
  t.equal(await leads('/templates/auth/jwt_login.html'), '/sign-in');
  t.equal(await leads('/templates/auth/jwt_login.html?next=/a%3Fb=1'), '/sign-in?next=/a%3Fb=1');
  t.equal(await leads('/core/enhanced-dashboard/'), '/account');
  t.equal(
    await leads('/sign-in?next=%2Fx', { host: '127.0.0.1:8000' }),
    'http://localhost:8000/sign-in?next=%2Fx',
  );
  t.equal(await leads('/sign-in', { host: '[::1]:8000' }), 'http://localhost:8000/sign-in');
  for (const host of [
    '127.0.0.1:9000',
    'evil.example',
    'localhost:8000',
    'localhost',
    '127.0.0.1:8000@evil.example',
  ]) {
    t.equal(await leads('/sign-in', { host }), 200, `${host} is left alone`);
  }
  const https = await testApp(t, { env: { PUBLIC_URL: 'https://id.example.com' } });
  t.equal((await https.send({ url: '/sign-in', headers: { host: '127.0.0.1:8000' } })).statusCode, 200);
});

t.test('they can be switched off', async (t) => {
  const { send } = await testApp(t, { env: { PAGES: 'off' } });
  for (const url of [...Object.values(PATHS), '/assets/mark.svg', '/core/enhanced-dashboard/']) {
    t.equal((await send({ url })).statusCode, 404, url);
  }
  t.equal((await send({ url: '/' })).headers.location, '/docs');
  const without = await testApp(t, { env: { COMPAT_ROUTES: 'off' } });
  t.equal((await without.send({ url: '/core/enhanced-dashboard/' })).statusCode, 404);
  t.equal((await without.send({ url: '/account' })).statusCode, 200);
});

t.test('in an application of somebody else they are there when asked for', async (t) => {
  const options = { dataDir: makeTempDir('data'), jwtSigningKey: TEST_KEY };
  const plain = Fastify();
  t.teardown(() => plain.close());
  await plain.register(latchkey, options);
  t.equal((await plain.inject('/sign-in')).statusCode, 404);

  const app = Fastify();
  t.teardown(() => app.close());
  await app.register(latchkey, { ...options, prefix: '/id', pages: true });
  for (const url of ['/id/sign-in', '/id/sign-in/']) {
    const { statusCode, body } = await app.inject(url);
    t.equal(statusCode, 200, url);
    t.match(body, '&quot;base&quot;:&quot;/id&quot;');
    const script = /type="module" src="(\/id\/assets\/[^"]+)"/.exec(body)?.[1] as string;
    t.equal((await app.inject(script)).statusCode, 200);
  }
  t.equal((await app.inject('/sign-in')).statusCode, 404);
  t.equal((await app.inject('/')).statusCode, 404, 'the start is the application');
});
