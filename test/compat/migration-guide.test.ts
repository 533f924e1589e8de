import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { openDatabase } from '../../src/stores/sql/database.js';
import { ownStores, PLAIN } from '../resilience/people.js';
import { TEST_KEY } from '../support/app.js';
import { DJANGO_PYTHON } from '../support/django.js';
import { startDjango } from '../support/django-server.js';
import { withServer } from '../support/server-process.js';

const GUIDE = readFileSync(new URL('../../../docs/migrating-from-django.md', import.meta.url), 'utf8');
const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const PASSWORD = 'correct horse battery';
const NAME = 'Anna.K';

const FIXTURE = `
editors = Group.objects.create(name='Editors')
editors.permissions.add(Permission.objects.get(codename='view_user'))
for number, hasher in enumerate(['pbkdf2_sha256', 'pbkdf2_sha1', 'argon2', 'bcrypt_sha256', 'bcrypt']):
    user = User(username='user%d' % number, email='user%d@example.com' % number)
    user.password = hashers.make_password('${PASSWORD}', hasher=hasher)
    user.save()
anna = User.objects.create_user('${NAME}', email='anna@example.com', password='${PASSWORD}')
anna.groups.add(editors)
Profile.objects.create(user=anna, phone='09121234567', role='')
Token.objects.create(user=anna, key='f' * 40)
idle = User.objects.create_user('idle', password='${PASSWORD}', is_active=False)
User.objects.create(username='legacy', password='md5$x$y')
`;

/** The blocks of a language in a chapter, a command in each line. */
function commandsOf(chapter: string, language: string): string[] {
  const text = GUIDE.split(/^## /m).find((part) => part.startsWith(`${chapter}\n`)) ?? '';
  const blocks = Array.from(text.matchAll(/^```(\w+)\n(.*?)^```$/gms));
  return blocks.filter(([, name]) => name === language).flatMap(([, , lines]) => lines!.trim().split('\n'));
}

/** On a machine as busy as a whole run of the tests makes it, a store may answer too late for once. */
const isAway = (text: string): boolean =>
  text.includes('"store_unavailable"') || text.includes('Service temporarily');

t.test('the guide, step by step', async (t) => {
  const django = await startDjango(t, { signingKey: TEST_KEY, fixture: FIXTURE });
  const obtain = async (username: string) => {
    const response = await fetch(`${django.url}/api/token/`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, password: PASSWORD }),
    });
    return (await response.json()) as { access: string; refresh: string };
  };
  const old = await obtain(NAME);
  const other = await obtain(NAME);
  const spent = await obtain('user1');
  await fetch(`${django.url}/api/token/refresh/`, {
    method: 'POST',
    body: new URLSearchParams({ refresh: spent.refresh }),
  });

  // What the guide calls by name: these are on the path of whoever follows it.
  const bin = join(django.dir, 'bin');
  mkdirSync(bin);
  const program = (name: string, words: string[]) => {
    writeFileSync(join(bin, name), `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(' ')} "$@"\n`);
    chmodSync(join(bin, name), 0o755);
  };
  program('python', [DJANGO_PYTHON]);
  program('latchkey', [process.execPath, CLI]);

  const settings = Object.fromEntries(
    commandsOf('From SimpleJWT', 'ini').map((line) => line.split('=') as [string, string]),
  );
  t.same(settings, {
    JWT_SIGNING_KEY: 'the-signing-key-of-simple-jwt',
    JWT_USER_ID: 'legacy_id',
    LEGACY_JWT_KEY: 'the-signing-key-of-simple-jwt',
    DRF_TOKENS: 'on',
  });
  const stores = await ownStores(t);
  const env = { ...PLAIN, ...stores, ...settings, JWT_SIGNING_KEY: TEST_KEY, LEGACY_JWT_KEY: TEST_KEY };
  const { PATH, HOME } = process.env;
  const shell = {
    ...env,
    ...{ PATH: `${bin}:${PATH}`, HOME, LATCHKEY_DATA_DIR: django.dir },
    ...{ NAME, PASSWORD, OLD_ACCESS: old.access, OLD_REFRESH: old.refresh, BASE: '' },
  };
  const run = async (command: string): Promise<string> => {
    for (;;) {
      const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: django.dir, env: shell });
      if (!isAway(stdout)) return stdout;
    }
  };

  const commands = commandsOf('From SimpleJWT', 'sh');
  /** Runs the next command of the guide, which has to be this one. */
  const step = async (command: string) => {
    t.equal(commands.shift(), command, 'as the guide has it');
    return run(command);
  };
  const DUMP =
    'python manage.py dumpdata contenttypes auth authtoken token_blacklist accounts.profile --output users.json';

  await step(DUMP);
  t.match(
    await step('latchkey import django users.json --dry-run'),
    /Nothing was written.*\n\n +users +7 imported/,
  );
  // Somebody else comes before the move.
  await obtain('user2');
  await step(DUMP);
  const report = await step('latchkey import django users.json');
  t.match(report, /users +7 imported, 0 there already, 1 skipped, of 8/);
  t.match(report, /roles +1 added: Editors/);
  t.match(report, /revoked tokens +1 imported/);
  t.match(report, /API keys +1 imported/);
  t.match(report, /Skipped:\n {2}auth\.user \d+: its password hash/);
  await django.stop();

  t.equal(commands.shift(), 'latchkey serve');
  const server = await withServer(t, { env });
  shell.BASE = server.url;
  const ask = async (path: string, init: RequestInit): Promise<{ status: number; body: unknown }> => {
    for (;;) {
      const response = await fetch(`${server.url}${path}`, init);
      const body = await response.text();
      if (!isAway(body)) return { status: response.status, body: JSON.parse(body) };
    }
  };
  const post = (path: string, body: object) =>
    ask(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  t.equal(await step('curl -s $BASE/api/token/verify/ -d token=$OLD_ACCESS'), '{}');
  const me = JSON.parse(await step('curl -s $BASE/api/auth/me -H "Authorization: Bearer $OLD_ACCESS"'));
  t.match(me, { username: NAME, phone: '+989121234567', role: 'Editors', permissions: ['auth.view_user'] });
  const renewed = JSON.parse(await step('curl -s $BASE/api/token/refresh/ -d refresh=$OLD_REFRESH'));
  t.match(renewed, { access: /^eyJ/, refresh: /^eyJ/ });
  const blacklisted = await post('/api/token/refresh/', { refresh: spent.refresh });
  t.same(
    [blacklisted.status, blacklisted.body],
    [401, { detail: 'Token is blacklisted', code: 'token_not_valid' }],
  );

  const database = openDatabase({ url: stores.DATABASE_URL, dataDir: '.' });
  t.teardown(() => database.close());
  const hashOf = async (username_key: string) =>
    (
      await database.db
        .selectFrom('users')
        .select('password_hash')
        .where('username_key', '=', username_key)
        .executeTakeFirstOrThrow()
    ).password_hash;
  t.match(await hashOf('anna.k'), /^pbkdf2_sha256\$/);
  const login =
    'curl -s $BASE/api/token/ --data-urlencode username="$NAME" --data-urlencode password="$PASSWORD"';
  t.match(JSON.parse(await step(login)), { access: /^eyJ/, refresh: /^eyJ/ });
  t.match(await hashOf('anna.k'), /^\$argon2id\$/, 'hashed anew');
  t.match(await step('latchkey user list --query "$NAME"'), /anna@example\.com {2}role Editors/);
  for (let number = 0; number < 5; number += 1) {
    const username = `user${number}`;
    t.equal((await post('/api/token/', { username, password: PASSWORD })).status, 200, username);
    t.match(await hashOf(username), /^\$argon2id\$/);
  }
  t.equal((await post('/api/token/', { username: 'idle', password: PASSWORD })).status, 401);

  const key = { authorization: `Token ${'f'.repeat(40)}` };
  const byKey = () => ask('/api/user/', { headers: key });
  t.match(await byKey(), { status: 200, body: { id: me.legacy_id, username: NAME } }, 'a key of DRF');

  t.match(
    await step('curl -s -X POST $BASE/api/auth/logout-all -H "Authorization: Bearer $OLD_ACCESS"'),
    /message/,
  );
  t.match(await step('curl -s $BASE/api/token/verify/ -d token=$OLD_ACCESS'), /"code":"token_not_valid"/);
  t.match(await step('curl -s $BASE/api/token/refresh/ -d refresh=$OLD_REFRESH'), /"code":"token_not_valid"/);
  for (const token of [other.access, other.refresh, renewed.access, renewed.refresh])
    t.equal(
      (await post('/api/token/verify/', { token })).status,
      401,
      'every other one of that user as well',
    );
  t.equal((await byKey()).status, 401, 'the key too');
  t.equal((await post('/api/token/verify/', { token: spent.access })).status, 200, 'nobody else’s');
  t.same(commands, [], 'and that is all');
});
