import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { createOauthClient, deleteOauthClient, listOauthClients } from '../../src/commands/oauth-clients.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import { createOauthClientStore } from '../../src/stores/sql/oauth-client-store.js';
import { freshDatabase } from '../support/postgres-server.js';
import { sharedRedisUrl } from '../support/redis-namespace.js';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** The command line as a process of its own, in an environment that has only what is said here. */
function commandLine(dataDir: string, extra: Record<string, string> = {}) {
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, NODE_OPTIONS: '', LATCHKEY_DATA_DIR: dataDir, ...extra };
  return (...args: string[]): Promise<Ran> =>
    new Promise((resolve) => {
      execFile(process.execPath, [CLI, ...args], { cwd: dataDir, env }, (error, stdout, stderr) =>
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
      );
    });
}

function freshDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'latchkey-clients-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

t.test('clients on the command line', async (t) => {
  const dataDir = freshDir(t);
  const latchkey = commandLine(dataDir);

  const none = await latchkey('client', 'list');
  t.match(none, { code: 0, stdout: /^There are no clients\./ }, 'also where nothing was ever started');

  const made = await latchkey('client', 'create', '--name', ' Bestellungen & سفارش ');
  t.equal(made.code, 0);
  const id = /^ {2}id {6}([0-9a-f]{32})$/m.exec(made.stdout)?.[1] as string;
  const secret = /^ {2}secret {2}([\w-]{43})$/m.exec(made.stdout)?.[1] as string;
  t.ok(id && secret, made.stdout);

  const other = await latchkey('client', 'create', '--name', 'billing', '--json');
  const billing = JSON.parse(other.stdout);
  t.match(billing, { id: /^[0-9a-f]{32}$/, name: 'billing', created_at: /Z$/, secret: /^[\w-]{43}$/ });
  t.not(billing.secret, secret);

  const listed = await latchkey('client', 'list');
  t.match(
    listed.stdout,
    new RegExp(`^${id}  20\\d\\d-.+Z  Bestellungen & سفارش\n${billing.id}  .+  billing\n$`),
  );
  const [first, second] = JSON.parse((await latchkey('client', 'list', '--json')).stdout);
  t.match(first, { id, name: 'Bestellungen & سفارش' });
  t.strictSame(Object.keys(second), ['id', 'name', 'created_at']);

  const files = readdirSync(dataDir).map((name) => readFileSync(join(dataDir, name)));
  t.notOk(
    files.some((content) => content.includes(secret) || content.includes(billing.secret)),
    'no secret is stored',
  );

  const gone = await latchkey('client', 'delete', '--id', id);
  t.match(gone, { code: 0, stdout: /^Deleted the client/ });
  t.match(await latchkey('client', 'delete', '--id', id), { code: 1, stderr: /There is no client/ });
  t.notMatch((await latchkey('client', 'list')).stdout, id);
});

t.test('what is asked wrongly', async (t) => {
  const database = openDatabase({ url: undefined, dataDir: freshDir(t) });
  t.teardown(() => database.close());
  await database.migrate();
  const store = createOauthClientStore(database.db);
  const names: [string | undefined, RegExp][] = [
    [undefined, /--name NAME/],
    ['  ', /--name NAME/],
    ['x'.repeat(101), /at most 100/],
    ['a\u001b[2Jb', /plain text/],
    ['a\nb', /plain text/],
  ];
  for (const [name, message] of names)
    await t.rejects(createOauthClient(store, { name, json: false, now: 0 }), { name: 'UsageError', message });
  await t.rejects(deleteOauthClient(store, undefined), { name: 'UsageError', message: /--id ID/ });
  t.equal(await listOauthClients(store, { json: true }), '[]', 'made nothing');

  const latchkey = commandLine(freshDir(t));
  const wrong: [string[], RegExp][] = [
    [['client', 'create'], /--name NAME/],
    [['client', 'create', '--secret', 'x'], /--secret/],
  ];
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await latchkey(...args);
    t.match({ code, stdout, stderr }, { code: 2, stdout: '', stderr: message }, args.join(' '));
    t.notMatch(stderr, /\n\s+at /, 'without a stack');
  }
});

t.test('in PostgreSQL', async (t) => {
  const url = await freshDatabase(t);
  const env = { DATABASE_URL: url, REDIS_URL: sharedRedisUrl(), JWT_SIGNING_KEY: 'k'.padEnd(40, 'xyz') };
  const latchkey = commandLine(freshDir(t), env);
  const { id, secret } = JSON.parse((await latchkey('client', 'create', '--name', 'shop', '--json')).stdout);
  const database = openDatabase({ url, dataDir: '.' });
  t.teardown(() => database.close());
  const [stored] = await createOauthClientStore(database.db).list();
  t.match(stored, { id, name: 'shop', secretHash: createHash('sha256').update(secret).digest('hex') });
  t.type(stored?.createdAt, 'number');

  const away = commandLine(freshDir(t), { ...env, DATABASE_URL: 'postgres://127.0.0.1:1/x' });
  const refused = await away('client', 'list');
  t.match(refused, { code: 1, stdout: '', stderr: /The database cannot be used/ });
});
