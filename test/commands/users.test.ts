import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { describeUser } from '../../routes/present.js';
import type { Standing } from '../../src/accounts/authority.js';
import { normalizeEmail } from '../../src/accounts/identifiers.js';
import { createOperator } from '../../src/accounts/operator.js';
import { readPassword } from '../../src/commands/read-password.js';
import {
  createUser,
  grantUser,
  listUsers,
  setUserActive,
  type UserOptions,
} from '../../src/commands/users.js';
import { newAccountId } from '../../src/lib/ids.js';
import { readPhoneNumber } from '../../src/otp/phone-number.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import { PASSWORD, STORES, type Stores, TEST_KEY, testApp } from '../support/app.js';
import { api, problem } from '../support/http.js';
import { freshDatabase } from '../support/postgres-server.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { withServer } from '../support/server-process.js';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

interface Account {
  id: string;
  email: string;
  role: string;
  permissions: string[];
  is_staff: boolean;
  is_superuser: boolean;
  is_active: boolean;
  email_verified: boolean;
  last_login: string | null;
}

interface Pair {
  access: string;
  refresh: string;
  user: Account;
}

type Env = Record<string, string>;

/** The command line as a process of its own, with what stands on its stdin. */
function commandLine(env: Env) {
  const { PATH, HOME } = process.env;
  const options = { cwd: env.LATCHKEY_DATA_DIR, env: { PATH, HOME, NODE_OPTIONS: '', ...env } };
  return (words: string, stdin = ''): Promise<Ran> =>
    new Promise((resolve) => {
      const child = execFile(process.execPath, [CLI, ...words.split(' ')], options, (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
      );
      child.stdin?.end(stdin);
    });
}

function freshDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-users-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function settings(t: Test, stores: Stores): Promise<Env> {
  const env = { LATCHKEY_DATA_DIR: freshDir(t), JWT_SIGNING_KEY: TEST_KEY };
  if (stores === 'embedded') return env;
  const [DATABASE_URL, REDIS_PREFIX] = [await freshDatabase(t), freshPrefix(t)];
  return { ...env, DATABASE_URL, REDIS_URL: sharedRedisUrl(), REDIS_PREFIX };
}

const expectFailure = (t: Test, ran: Ran, code: number, message: RegExp) => {
  t.match({ ...ran, code: ran.code }, { code, stdout: '', stderr: message }, String(message));
  t.notMatch(ran.stderr, /\n\s+at |AuthError/, 'without a stack');
};

for (const stores of STORES) {
  t.test(`accounts on the command line, ${stores}`, async (t) => {
    const env = await settings(t, stores);
    const latchkey = commandLine(env);
    const parse = <T = Account>({ stdout }: Ran): T => JSON.parse(stdout) as T;

    const made = await latchkey(
      'user create --email Root@Example.com --username root --superuser --password-stdin --json',
      `${PASSWORD}\n`,
    );
    t.match(made, { code: 0, stderr: '' });
    const root = parse(made);
    t.match(root, {
      email: 'Root@example.com',
      role: 'viewer',
      is_superuser: true,
      is_staff: true,
      is_active: true,
      email_verified: true,
      last_login: null,
    });

    const server = await withServer(t, { env });
    const http = api(server.url);
    const login = async (email: string) => http.post<Pair>('/api/auth/login', { email, password: PASSWORD });
    const me = (token: string) => http.get<Account>('/api/auth/me', { token });

    await t.test('the first one of staff signs in and administers', async (t) => {
      const { status, body } = await login('root@example.com');
      t.equal(status, 200);
      const listed = await http.get<{ users: Account[] }>('/api/admin/users', { token: body.access });
      t.equal(listed.status, 200);
      t.match(listed.body.users, [{ id: root.id }]);
    });

    await t.test('a server that runs believes everything at once', async (t) => {
      const { body: person } = await http.post<Pair>('/api/auth/register', {
        email: 'person@example.com',
        username: 'person',
        password: PASSWORD,
      });
      const said = await latchkey('user grant person@example.com --role admin --staff');
      t.match(said, { code: 0, stdout: /^The account person@example\.com is now staff, role admin\./ });
      const { body: granted } = await me(person.access);
      t.match(granted, { role: 'admin', is_staff: true });
      t.ok(granted.permissions.includes('users.grant'));

      const disabled = await latchkey(`user disable ${person.user.id.toUpperCase()}`);
      t.match(disabled, { code: 0, stdout: /^Disabled the account person@example\.com\./ });
      problem(t, (await me(person.access)) as never, 401, 'token_revoked');
      const refreshed = await http.post('/api/auth/refresh', { refresh: person.refresh });
      problem(t, refreshed, 401, 'session_ended');
      problem(t, (await login('person@example.com')) as never, 403, 'account_disabled');
    });

    if (stores === 'embedded') {
      await t.test('listing, and letting in again', async (t) => {
        const listed = await latchkey('user list --query roo');
        t.equal(listed.stdout, `${root.id}  Root@example.com  superuser, staff, role viewer\n`);
        t.match(await latchkey('user enable PERSON'), { code: 0, stdout: /^Enabled the account/ });
        t.equal((await login('person@example.com')).status, 200);
      });
    } else {
      await t.test('one superuser stays of two that are taken at the same moment', async (t) => {
        const second =
          'user create --email second@example.com --superuser --no-staff --password-stdin --json';
        t.match(parse(await latchkey(second, PASSWORD)), { is_superuser: true, is_staff: false });
        const both = await Promise.all([
          latchkey('user grant second@example.com --no-superuser'),
          latchkey('user disable root'),
        ]);
        t.same(both.map(({ code }) => code).sort(), [0, 1], both.map(({ stderr }) => stderr).join());
      });
    }

    await t.test('what happened is stored, and no password is', async (t) => {
      await server.stop();
      const database = openDatabase({ url: env.DATABASE_URL, dataDir: env.LATCHKEY_DATA_DIR! });
      t.teardown(() => database.close());
      const events = await database.db
        .selectFrom('events')
        .select(['type', 'actor_id'])
        .where('user_id', '=', root.id)
        .execute();
      for (const type of ['account_created', 'staff_granted', 'superuser_granted'])
        t.same(
          events.filter((event) => event.type === type),
          [{ type, actor_id: null }],
        );
      const stored = await database.db
        .selectFrom('users')
        .select('password_hash')
        .where('id', '=', root.id)
        .executeTakeFirst();
      t.match(stored?.password_hash, /^\$argon2id\$/);
      const files = readdirSync(env.LATCHKEY_DATA_DIR!, { withFileTypes: true }).filter((file) =>
        file.isFile(),
      );
      for (const { name } of files)
        t.notOk(readFileSync(join(env.LATCHKEY_DATA_DIR!, name)).includes(PASSWORD), name);
    });
  });
}

/** The commands in this process, on the stores of an application. */
async function commands(t: Test) {
  const { app, config } = await testApp(t);
  const operator = createOperator({
    store: app.database.userAdmin,
    accounts: app.database.accounts,
    events: app.events,
    countEvent: app.meter.countEvent,
    state: app.stateStore,
    hasher: { hash: async () => '$argon2id$none' },
    policy: config,
    readPhone: (raw) => readPhoneNumber(raw, 'IR')?.e164,
    now: Date.now,
    onTrouble: (error) => {
      throw error;
    },
  });
  const describe = ({ user, permissions }: Standing) => describeUser(user, permissions);
  return { app, needs: { operator, describe } };
}

t.test('what cannot be done', async (t) => {
  const { needs } = await commands(t);
  const create = (options: UserOptions, password = PASSWORD) =>
    createUser(needs, options, async () => password);
  await create({ email: 'root@example.com', username: 'root', superuser: true });
  const before = await listUsers(needs, { json: true });
  const email = 'new@example.com';

  const refusals: [() => Promise<string>, RegExp][] = [
    [() => create({ email: 'root@EXAMPLE.com' }), /^email: .+in use/],
    [() => create({ email, username: 'ROOT' }), /^username: .+in use/],
    [() => create({ email }, 'password1'), /^password: .+too common/],
    [() => create({ email }, 'short'), /^password: .+at least 8/],
    [() => create({ email }, email), /^password: .+your name/],
    [() => setUserActive(needs, 'nobody', false, {}), /no such account/],
    [() => setUserActive(needs, '+989120000000', false, {}), /no such account/],
    [() => setUserActive(needs, 'nobody@example.com', false, {}), /no such account/],
    [() => setUserActive(needs, '@', false, {}), /no such account/],
    [() => setUserActive(needs, '0197f3a1-7c00-7d3e-9a51-000000000000', true, {}), /no such account/],
    [() => setUserActive(needs, 'root', false, {}), /^Refused: no active superuser would be left\.$/],
    [() => grantUser(needs, 'root', { superuser: false }), /^Refused: no active superuser/],
  ];
  for (const [run, message] of refusals)
    await t.rejects(run(), { name: 'Refusal', message }, String(message));

  const misuses: [() => Promise<string>, RegExp][] = [
    [() => create({ email, role: 'chief' }), /no such role/],
    [() => create({ email, username: '09123456789' }), /^username: /],
    [() => create({ email: 'nobody' }), /^email: /],
    [() => create({}), /--email ADDRESS/],
    [() => setUserActive(needs, undefined, false, {}), /Say which account/],
    [() => grantUser(needs, 'root', {}), /Say what to grant/],
    [() => grantUser(needs, 'root', { role: 'chief' }), /no such role/],
    [() => listUsers(needs, { limit: '0' }), /--limit/],
    [() => listUsers(needs, { limit: '1e3' }), /--limit/],
  ];
  for (const [run, message] of misuses)
    await t.rejects(run(), { name: 'UsageError', message }, String(message));
  t.equal(await listUsers(needs, { json: true }), before, 'nothing has changed');

  await t.rejects(
    createUser(needs, { email }, async () => {
      throw new TypeError('a fault of ours');
    }),
    TypeError,
    'which is told as one',
  );
});

t.test('what is printed', async (t) => {
  const { app, needs } = await commands(t);
  const made = await createUser(
    needs,
    { email: 'a@example.com', role: 'admin', staff: true },
    async () => PASSWORD,
  );
  t.match(made, /^Made the account a@example\.com: staff, role admin\.\n\n {2}id {2}[0-9a-f-]{36}$/);
  const noStaff = { email: 'b@example.com', superuser: true, staff: false, json: true };
  t.match(JSON.parse(await createUser(needs, noStaff, async () => PASSWORD)), {
    ...{ is_superuser: true, is_staff: false },
  });
  t.match(await setUserActive(needs, 'a@example.com', true, {}), /was enabled already/);
  t.match(await setUserActive(needs, 'a@example.com', false, {}), /^Disabled .+ on every server\.$/);
  t.match(await setUserActive(needs, 'a@example.com', false, {}), /was disabled already/);
  t.match(JSON.parse(await setUserActive(needs, 'a@example.com', true, { json: true })), { is_active: true });

  await app.database.db
    .updateTable('users')
    .set({ email: null, email_key: null, phone: '+989121234567', role: 'a\u001b[2J' })
    .where('email', '=', 'a@example.com')
    .execute();
  const shown = await listUsers(needs, { query: '0912 123 4567' });
  t.match(shown, / {2}\+989121234567 {2}staff, role a\?\[2J$/, 'nothing drives the terminal');
  t.match(await grantUser(needs, '۰۹۱۲۱۲۳۴۵۶۷', { staff: false }), /is now role a\?/);

  for (let n = 0; n < 120; n++) {
    const email = normalizeEmail(`n${n}@example.org`) ?? null;
    const names = { email, username: null, phone: null, firstName: '', lastName: '', userType: null };
    const rest = { passwordHash: null, role: 'viewer', isStaff: false, isSuperuser: false, dateJoined: n };
    await app.database.userAdmin.insert({ id: newAccountId(), ...names, ...rest }, []);
  }
  const count = async (options: UserOptions): Promise<number> =>
    JSON.parse(await listUsers(needs, { json: true, ...options })).length;
  t.equal(await count({}), 50, 'as many as fit a screen or two');
  t.equal(await count({ limit: '105' }), 105, 'more than one page');
  t.equal(await count({ limit: '999999' }), 122);
  t.equal(await count({ superuser: true, role: 'viewer' }), 1);
  t.equal(await count({ staff: true }), 0);
});

t.test('what is asked wrongly', async (t) => {
  const latchkey = commandLine(await settings(t, 'embedded'));
  const wrong: [words: string, code: number, message: RegExp][] = [
    ['user create --email new@example.com --password hunter22', 2, /--password/],
    ['user disable one two', 2, /"user disable" takes no word "two"/],
    ['client create reports', 2, /"client create" takes no word "reports"/],
    ['user adore one', 2, /no command "user adore one"/],
    ['user disable nobody', 1, /no such account/],
  ];
  for (const [words, code, message] of wrong)
    expectFailure(t, await latchkey(words, PASSWORD), code, message);
});

t.test('while a store is away nothing is done', async (t) => {
  const env = await settings(t, 'servers');
  const database = openDatabase({ url: env.DATABASE_URL, dataDir: '.' });
  t.teardown(() => database.close());
  await database.migrate();
  const account = {
    id: newAccountId(),
    username: 'root',
    username_key: 'root',
    role: 'viewer',
    date_joined: 1,
  };
  await database.db
    .insertInto('users')
    .values({ ...NOTHING, ...account })
    .execute();

  const withoutRedis = commandLine({ ...env, REDIS_URL: 'redis://127.0.0.1:1' });
  const refused = await withoutRedis('user disable root');
  expectFailure(t, refused, 1, /A store cannot be used .*nothing was done.*REDIS_URL/);
  const query = database.db.selectFrom('users').select('is_active');
  t.same(await query.execute(), [{ is_active: 1 }]);
  const withoutSql = commandLine({ ...env, DATABASE_URL: 'postgres://127.0.0.1:1/x' });
  expectFailure(t, await withoutSql('user list'), 1, /cannot be used \(ECONNREFUSED\)/);
});

const NOTHING = {
  ...{ email: null, email_key: null, phone: null, password_hash: null, first_name: '', last_name: '' },
  ...{ user_type: null, is_staff: 0, is_superuser: 0, is_active: 1, email_verified: 0, phone_verified: 0 },
  ...{ last_login: null, version: 1, auth_version: 1, auth_reason: null },
};

t.test('an option of another command is refused, and nothing is done', async (t) => {
  const latchkey = commandLine(await settings(t, 'embedded'));
  await latchkey('user create --email root@example.com --superuser --password-stdin', PASSWORD);
  await latchkey('user create --email second@example.com --superuser --password-stdin', PASSWORD);
  const before = (await latchkey('user list --json')).stdout;
  const wrong: [words: string, option: string][] = [
    ['user disable second@example.com --dry-run', 'dry-run'],
    ['user disable second@example.com --no-superuser', 'superuser'],
    ['user grant second@example.com --role admin --email x@example.com', 'email'],
    ['user create --email third@example.com --password-stdin --dry-run', 'dry-run'],
    ['clean --dry-run', 'dry-run'],
    ['migrate --json', 'json'],
    ['client delete --id x --json', 'json'],
  ];
  for (const [words, option] of wrong)
    expectFailure(t, await latchkey(words, PASSWORD), 2, new RegExp(`has no --${option}\\. .*--help`));
  t.equal((await latchkey('user list --json')).stdout, before);
});

t.test('whoever reads may stop reading', async (t) => {
  const env = await settings(t, 'embedded');
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [CLI, '--help'], {
    env: { PATH, HOME, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.destroy();
  const shown = text(child.stderr);
  const [code] = await once(child, 'close');
  t.equal(code, 0);
  t.equal(await shown, '');
});

t.test('a password that comes by a pipe', async (t) => {
  const piped = (text: string) => {
    const source = new PassThrough();
    source.end(text);
    return readPassword(source, { fromStdin: true, ask: () => t.fail('nobody is asked') });
  };
  t.equal(await piped('correct horse'), 'correct horse');
  t.equal(await piped(' pässword \r\n'), ' pässword ', 'without the line break, and nothing else');
  t.equal(await piped('one\n'), 'one');
  t.equal(await piped(''), '');
  await t.rejects(piped('two\nlines\n'), { name: 'UsageError', message: /more than one line/ });
  await t.rejects(piped('one\n\n'), { name: 'UsageError', message: /more than one line/ });
  await t.rejects(piped('x'.repeat(5000)), { name: 'UsageError', message: /too long/ });
  const pipe = new PassThrough();
  const asked = readPassword(pipe, { fromStdin: false, ask: () => undefined });
  await t.rejects(asked, { name: 'UsageError', message: /no terminal.+--password-stdin/ });
});

t.test('a password that is typed', async (t) => {
  /** A terminal, somebody at it, and what it shows. */
  function terminal() {
    const keys = new PassThrough();
    const modes: boolean[] = [];
    let shown = '';
    const source = Object.assign(keys, {
      isTTY: true,
      setRawMode: (raw: boolean) => {
        modes.push(raw);
      },
    });
    const ask = (text: string) => {
      shown += text;
    };
    return {
      source,
      keys,
      modes,
      shown: () => shown,
      read: () => readPassword(source, { fromStdin: false, ask }),
    };
  }
  const usage = (message: RegExp) => ({ name: 'UsageError', message });

  await t.test('is asked for twice and not shown', async (t) => {
    const { keys, modes, shown, read } = terminal();
    const reading = read();
    // In pieces, as keys come; one is taken back, and a letter of two bytes is cut in the middle.
    const typed = Buffer.from('pässx\u007fword\r');
    for (const byte of typed) keys.write(Buffer.from([byte]));
    keys.write('pässword\r');
    t.equal(await reading, 'pässword');
    t.equal(shown(), 'Password: \nAgain: \n');
    t.same(modes, [true, false], 'the terminal is as it was');
    t.ok(keys.destroyed, 'and is let go of');
  });

  await t.test('must be the same twice', async (t) => {
    const { keys, modes, read } = terminal();
    keys.write('one\ntwo\n');
    await t.rejects(read(), usage(/not the same/));
    t.same(modes, [true, false]);
  });

  await t.test('may be left', async (t) => {
    for (const key of ['\u0003', '\u0004', undefined]) {
      const { keys, modes, read } = terminal();
      keys.write('half');
      keys.end(key);
      await t.rejects(read(), usage(/No password was given/));
      t.same(modes, [true, false]);
    }
  });

  await t.test('is not kept without end', async (t) => {
    const { keys, read } = terminal();
    keys.write(`${'x'.repeat(10_000)}\n${'x'.repeat(4096)}\n`);
    t.equal((await read()).length, 4096);
  });
});
