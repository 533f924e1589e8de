import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { sql } from 'kysely';
import pg from 'pg';
import t, { type Test } from 'tap';
import type { NewAccount } from '../../src/accounts/account-store.js';
import { normalizeEmail, normalizeUsername } from '../../src/accounts/identifiers.js';
import { createFieldCipher } from '../../src/audit/field-cipher.js';
import { AuthError } from '../../src/errors.js';
import { newAccountId, newTokenId } from '../../src/lib/ids.js';
import { createAccountStore } from '../../src/stores/sql/account-store.js';
import { type Database, type Dialect, openDatabase } from '../../src/stores/sql/database.js';
import { brokenUniqueness, isUnavailable, run } from '../../src/stores/sql/errors.js';
import { createEventStore } from '../../src/stores/sql/event-store.js';
import { createEventWriter } from '../../src/stores/sql/event-writer.js';
import { accounts as accountsMigration } from '../../src/stores/sql/migrations/0001-accounts.js';
import { embeddedState } from '../../src/stores/sql/migrations/0002-embedded-state.js';
import { openPostgres, openPostgresForMigrations } from '../../src/stores/sql/postgres.js';
import { freePort } from '../support/free-port.js';
import { freshDatabase } from '../support/postgres-server.js';

const MIGRATIONS = [
  '0001-accounts',
  '0002-embedded-state',
  '0003-oauth-clients',
  '0004-security-events',
  '0005-roles',
  '0006-legacy-tokens',
  '0007-password-costs',
];
const unavailable = { name: 'AuthError', code: 'store_unavailable', retryAfter: 1 };

interface Place {
  url: string | undefined;
  dataDir: string;
}

async function freshPlace(t: Test, dialect: Dialect): Promise<Place> {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-sql-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  return { url: dialect === 'postgres' ? await freshDatabase(t) : undefined, dataDir };
}

function open(t: Test, place: Place): Database {
  const database = openDatabase(place);
  t.teardown(() => database.close());
  return database;
}

async function openMigrated(t: Test, dialect: Dialect): Promise<Database> {
  const database = open(t, await freshPlace(t, dialect));
  await database.migrate();
  return database;
}

function openStores(database: Pick<Database, 'db' | 'prepare' | 'dialect'>) {
  const { db, dialect } = database;
  const cipher = createFieldCipher([]);
  const write = createEventWriter(dialect, { cipher });
  return {
    accounts: createAccountStore(database, write),
    events: createEventStore(db, { dialect, cipher, write }),
  };
}

let people = 0;

function makeAccount(fields: Partial<NewAccount> = {}): NewAccount {
  people += 1;
  return {
    id: newAccountId(),
    email: normalizeEmail(`Person${people}@Example.com`) ?? null,
    username: normalizeUsername(`Person${people}x`) ?? null,
    phone: `+98912${String(people).padStart(7, '0')}`,
    passwordHash: '$hash',
    firstName: 'زهرا',
    lastName: "O'Neil; --",
    userType: 'business',
    role: 'viewer',
    dateJoined: 1_767_610_800_123,
    ...fields,
  };
}

const registered = (account: NewAccount) =>
  ({ type: 'registered', at: 5, userId: account.id, ip: '192.0.2.1' }) as const;

for (const dialect of ['sqlite', 'postgres'] as const) {
  t.test(dialect, async (t) => {
    await t.test('migrations', (t) => migrations(t, dialect));
    await t.test('errors', (t) => errors(t, dialect));
    const database = await openMigrated(t, dialect);
    await t.test('accounts', (t) => accountStore(t, database));
    await t.test('unique fields', (t) => uniqueFields(t, database));
    await t.test('deleting', (t) => deleting(t, database));
  });
}

t.test('a connection that dies between two statements takes nobody along', async (t) => {
  const url = await freshDatabase(t);
  for (const db of [
    openPostgresForMigrations(url),
    openPostgres({ url, mayFreeze: false, onError: () => undefined }).db,
  ]) {
    t.teardown(() => db.destroy());
    const ask = async () =>
      (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]?.pid;
    const pid = await ask();
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    await admin.query('select pg_terminate_backend($1, 5000)', [pid]);
    await admin.end();
    t.not(await ask(), pid, 'the next one is another');
  }
});

async function migrations(t: Test, dialect: Dialect): Promise<void> {
  const place = await freshPlace(t, dialect);
  const database = open(t, place);
  const [tables, again] = [() => tablesOf(database), open(t, place)];

  t.same(await database.migrate(), MIGRATIONS);
  t.same(await database.migrate(), [], 'each runs once');
  t.same(await again.migrate(), [], 'for all processes');
  const own = [
    'clients',
    'drf_tokens',
    'event_counts',
    'events',
    'guards',
    'jobs',
    'password_costs',
    'revoked_tokens',
    'roles',
    'users',
    'webhook_deliveries',
    ...(dialect === 'sqlite' ? ['state'] : []),
  ].sort();
  t.same(await tables(), own, 'state is a table of the embedded database only');
  for (const migration of [accountsMigration(dialect), embeddedState(dialect)]) {
    t.notOk('down' in migration, 'there is no way back');
  }

  await t.test('a schema from the future is refused, and left alone', async (t) => {
    await sql`insert into kysely_migration (name, timestamp) values ('9999-future', '2099')`.execute(
      database.db,
    );
    await t.rejects(again.migrate(), /9999-future/);
    t.same(await tables(), own);
  });

  await t.test('processes that start together take turns', async (t) => {
    const shared = await freshPlace(t, dialect);
    const ran = await migrateTogether(shared, 4);
    t.same(ran.flat().sort(), MIGRATIONS, 'each migration ran in one of them');
    t.same(await open(t, shared).migrate(), []);
  });
}

async function tablesOf({ db }: Database): Promise<string[]> {
  const tables = await db.introspection.getTables();
  return tables
    .map(({ name }) => name)
    .filter((name) => !/^(kysely|sqlite)_/.test(name))
    .sort();
}

/** Threads with a connection each: to the locks of either database they are processes. */
function migrateTogether(place: Place, count: number): Promise<string[][]> {
  const gate = new SharedArrayBuffer(4);
  const module = new URL('../../src/stores/sql/database.js', import.meta.url).href;
  const workerData = { ...place, module, gate, count };
  const start = () =>
    new Promise<string[]>((resolve, reject) => {
      new Worker(MIGRATE_TOGETHER, { eval: true, workerData }).once('message', resolve).once('error', reject);
    });
  return Promise.all(Array.from({ length: count }, start));
}

const MIGRATE_TOGETHER = `
const { parentPort, workerData } = require('node:worker_threads');
const { url, dataDir, module: path, gate, count } = workerData;
import(path).then(async ({ openDatabase }) => {
  const arrived = new Int32Array(gate);
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < count) {}
  const database = openDatabase({ url, dataDir });
  const ran = await database.migrate();
  await database.close();
  parentPort.postMessage(ran);
});`;

async function errors(t: Test, dialect: Dialect): Promise<void> {
  const place = await freshPlace(t, dialect);
  const database = open(t, place);
  const { db } = database;

  await t.test('what is wrong with a statement is no outage', async (t) => {
    const missing = run(() => sql`select * from not_there`.execute(db));
    await t.rejects(missing, (dialect === 'postgres' ? { code: '42P01' } : /no such table/) as never);
    const syntax = run(() => sql`selec 1`.execute(db));
    await t.rejects(syntax, (dialect === 'postgres' ? { code: '42601' } : /syntax error/) as never);
    for (const failing of [missing, syntax]) await failing.catch((e) => t.notOk(e instanceof AuthError));
    await database.ping();
  });

  await t.test('a store that does not answer in time is away', async (t) => {
    await database.migrate();
    const { accounts } = openStores(database);
    if (dialect === 'postgres') {
      const started = Date.now();
      await t.rejects(
        run(() => sql`select pg_sleep(20)`.execute(db)),
        unavailable,
      );
      t.ok(Date.now() - started < 3000, 'it is not waited for');
    } else {
      const known = makeAccount();
      await accounts.insert(known, registered(known));
      // The busy one has a transaction open for longer than anybody waits.
      const busy = open(t, place);
      await busy.db.connection().execute(async (held) => {
        await sql`begin immediate`.execute(held);
        await t.rejects(accounts.insert(makeAccount(), registered(known)), unavailable, 'a transaction');
        await t.rejects(accounts.recordLogin(known.id, 7), unavailable, 'a single write');
        t.match(await accounts.findById(known.id), { lastLogin: known.dateJoined }, 'reading goes on');
        await sql`rollback`.execute(held);
      });
      await accounts.recordLogin(known.id, 8);
      t.match(await accounts.findById(known.id), { lastLogin: 8 });
      t.equal(await database.sqlite?.exclusive((raw) => raw.prepare('delete from state').run().changes), 0);
    }
    t.ok(
      'user' in (await accounts.insert(makeAccount(), registered(makeAccount()))),
      'and nothing is left broken',
    );
  });

  if (dialect === 'postgres') {
    await t.test('a server that is not there', async (t) => {
      const nowhere = open(t, { ...place, url: `postgres://x@127.0.0.1:${await freePort()}/x` });
      await t.rejects(nowhere.ping(), { ...unavailable, cause: { code: 'ECONNREFUSED' } });
      await t.rejects(openStores(nowhere).accounts.findById(newAccountId()), unavailable);
    });
  }
}

async function accountStore(t: Test, database: Database): Promise<void> {
  const { accounts } = openStores(database);
  const account = makeAccount();
  const result = await accounts.insert(account, registered(account));
  if (!('user' in result)) throw new Error('not inserted');
  const { user } = result;

  t.strictSame(user, {
    id: account.id,
    legacyId: user.legacyId,
    email: account.email?.display,
    username: account.username?.display,
    phone: account.phone,
    firstName: 'زهرا',
    lastName: "O'Neil; --",
    userType: 'business',
    role: 'viewer',
    isStaff: false,
    isSuperuser: false,
    isActive: true,
    emailVerified: false,
    phoneVerified: false,
    dateJoined: account.dateJoined,
    lastLogin: account.dateJoined,
    version: 1,
    authVersion: 1,
    authReason: null,
  });
  t.ok(Number.isSafeInteger(user.legacyId) && user.legacyId > 0);

  await t.test('is found by whatever it is known by', async (t) => {
    t.strictSame(await accounts.findById(user.id), user);
    const found = { user, passwordHash: '$hash' };
    for (const [kind, key] of [
      ['email', account.email?.key],
      ['username', account.username?.key],
      ['phone', account.phone],
    ] as const) {
      t.strictSame(await accounts.findByIdentifier({ kind, key: key as string }), found, kind);
      t.equal(await accounts.findByIdentifier({ kind, key: `${key}0` }), undefined);
      t.equal(await accounts.findByIdentifier({ kind, key: "' or 1=1 --" }), undefined);
    }
    t.equal(
      await accounts.findByIdentifier({ kind: 'email', key: account.email?.display as string }),
      undefined,
    );
    t.equal(await accounts.findPasswordHash(user.id), '$hash');
    t.equal(await accounts.findById(newAccountId()), undefined);
    t.equal(await accounts.findPasswordHash(newAccountId()), undefined);
  });

  await t.test('may have nothing but an id', async (t) => {
    const bare = makeAccount({
      email: null,
      username: null,
      phone: null,
      passwordHash: null,
      userType: null,
    });
    const twin = { ...bare, id: newAccountId() };
    t.match(await accounts.insert(bare, registered(bare)), {
      user: { email: null, username: null, phone: null },
    });
    t.match(
      await accounts.insert(twin, registered(twin)),
      { user: { id: twin.id } },
      'two nulls are not the same',
    );
    t.equal(await accounts.findPasswordHash(bare.id), null);
    t.same(await accounts.findTaken(bare), []);
  });

  await t.test('numbers rise and are never given twice', async (t) => {
    const [one, two] = [makeAccount(), makeAccount()];
    const first = await accounts.insert(one, registered(one));
    await accounts.erase(one.id, 9);
    const second = await accounts.insert(two, registered(two));
    if (!('user' in first && 'user' in second)) throw new Error('not inserted');
    t.ok(first.user.legacyId > user.legacyId);
    t.ok(second.user.legacyId > first.user.legacyId);
  });

  await t.test('a login is noted, with a new hash or without', async (t) => {
    await accounts.recordLogin(user.id, 1_767_700_000_000);
    t.strictSame(await accounts.findById(user.id), { ...user, lastLogin: 1_767_700_000_000 });
    t.equal(await accounts.findPasswordHash(user.id), '$hash');
    await accounts.recordLogin(user.id, 1_767_700_000_001, { from: '$other', to: '$lost' });
    t.not(await accounts.findPasswordHash(user.id), '$lost', 'a password changed meanwhile stays');
    const from = (await accounts.findPasswordHash(user.id)) as string;
    await accounts.recordLogin(user.id, 1_767_700_000_001, { from, to: '$new' });
    t.equal(await accounts.findPasswordHash(user.id), '$new');
  });

  await t.test('a profile changes in the fields that are named', async (t) => {
    const before = await accounts.findById(user.id);
    const renamed = { firstName: '', username: { display: 'Zoé', key: `zoé${people}` } };
    const changed = await accounts.updateProfile(user.id, renamed);
    t.strictSame(changed, { user: { ...before, firstName: '', username: 'Zoé', version: 2 } });
    t.match(await accounts.findByIdentifier({ kind: 'username', key: renamed.username.key }), {
      user: { id: user.id },
    });
    t.match(await accounts.updateProfile(user.id, { lastName: 'Z', userType: 'individual' }), {
      user: {
        firstName: '',
        lastName: 'Z',
        userType: 'individual',
        username: 'Zoé',
        version: 3,
        authVersion: 1,
      },
    });
    t.equal(await accounts.updateProfile(newAccountId(), { firstName: 'x' }), undefined);
  });

  await t.test('shutting out and letting in end older sessions', async (t) => {
    const out = await accounts.setActive(user.id, false, 'account_disabled');
    t.match(out, { isActive: false, version: 4, authVersion: 2, authReason: 'account_disabled' });
    t.match(await accounts.setActive(user.id, true, 'account_disabled'), {
      isActive: true,
      version: 5,
      authVersion: 3,
    });
    t.equal(await accounts.setActive(newAccountId(), false, 'admin'), undefined);
  });
}

async function uniqueFields(t: Test, database: Database): Promise<void> {
  const { db } = database;
  const { accounts } = openStores(database);
  const alone = { email: null, username: null, phone: null };

  for (const field of ['email', 'username', 'phone'] as const) {
    await t.test(`two who want one ${field} at the same moment`, async (t) => {
      const wanted = makeAccount();
      const rivals = Array.from({ length: 6 }, () => makeAccount({ ...alone, [field]: wanted[field] }));
      const results = await Promise.all(rivals.map((rival) => accounts.insert(rival, registered(rival))));
      const winners = results.filter((result) => 'user' in result);
      t.equal(winners.length, 1);
      t.strictSame(
        results.filter((result) => 'taken' in result),
        Array.from({ length: 5 }, () => ({ taken: field })),
      );
      const ids = rivals.map(({ id }) => id);
      const events = await db.selectFrom('events').select('user_id').where('user_id', 'in', ids).execute();
      t.equal(events.length, 1, 'the losers leave no event behind');
      t.same(await accounts.findTaken({ ...alone, [field]: wanted[field] }), [field]);
    });
  }

  await t.test('all that is taken is told, in one order', async (t) => {
    const [one, two, three] = [makeAccount(), makeAccount(), makeAccount()];
    for (const each of [three, two, one]) await accounts.insert(each, registered(each));
    const { findTaken } = accounts;
    t.same(await findTaken({ email: one.email, username: two.username, phone: three.phone }), [
      'email',
      'username',
      'phone',
    ]);
    t.same(await findTaken({ email: makeAccount().email, username: two.username, phone: null }), [
      'username',
    ]);
    t.same(await findTaken(makeAccount()), []);
  });

  await t.test('a profile cannot take what is taken', async (t) => {
    const [one, two] = [makeAccount(), makeAccount()];
    await accounts.insert(one, registered(one));
    await accounts.insert(two, registered(two));
    t.same(await accounts.updateProfile(two.id, { username: one.username! }), { taken: 'username' });
    t.match(
      await accounts.findById(two.id),
      { username: two.username?.display, version: 1 },
      'nothing changed',
    );
    t.match(
      await accounts.updateProfile(two.id, { username: two.username! }),
      { user: { version: 2 } },
      'the own is fine',
    );
  });

  await t.test('the same id twice is a fault of ours, not a name that is taken', async (t) => {
    const one = makeAccount();
    await accounts.insert(one, registered(one));
    const twin = makeAccount({ id: one.id });
    await t.rejects(accounts.insert(twin, registered(twin)), /users(_id_unique|\.id)/ as never);
  });
}

async function deleting(t: Test, database: Database): Promise<void> {
  const { db } = database;
  const { accounts, events } = openStores(database);
  const [gone, stays] = [makeAccount(), makeAccount()];
  for (const each of [gone, stays]) {
    await accounts.insert(each, registered(each));
    await events.insert([
      {
        type: 'login',
        at: 10,
        userId: each.id,
        sessionId: newTokenId(),
        ip: '192.0.2.9',
        userAgent: 'Firefox',
      },
      { type: 'logout', at: 11, userId: each.id, sessionId: newTokenId(), reason: 'logout', ip: '192.0.2.9' },
    ]);
  }
  const lastId = async () => {
    const { id } = await db
      .selectFrom('events')
      .select((e) => e.fn.max('id').as('id'))
      .executeTakeFirstOrThrow();
    return Number(id);
  };
  const before = await lastId();

  t.equal(await accounts.erase(gone.id, 1_767_800_000_000), true);
  t.equal(await accounts.findById(gone.id), undefined);
  t.equal(await accounts.findByIdentifier({ kind: 'email', key: gone.email?.key as string }), undefined);
  t.same(await events.listOfUser(gone.id, { limit: 10 }), []);

  const rows = await db
    .selectFrom('events')
    .selectAll()
    .where('id', '>', before - 6)
    .orderBy('id')
    .execute();
  const anonymous = { user_id: null, session_id: null, ip: null, user_agent: null };
  t.match(
    rows.filter(({ user_id }) => user_id === null),
    [
      { type: 'registered', at: 5, ...anonymous },
      { type: 'login', at: 10, ...anonymous },
      { type: 'logout', at: 11, reason: 'logout', ...anonymous },
      { type: 'account_deleted', at: 1_767_800_000_000, ...anonymous },
    ],
    'what happened is still known, but not to whom',
  );
  t.notOk(JSON.stringify(rows).includes(gone.id));
  t.equal((await events.listOfUser(stays.id, { limit: 10 })).length, 3, 'others keep theirs');

  const after = await lastId();
  t.equal(await accounts.erase(gone.id, 1), false, 'once is enough');
  t.equal(await lastId(), after, 'and told once');
  t.match(await accounts.insert({ ...gone, id: newAccountId() }, registered(stays)), {
    user: { email: gone.email?.display },
  });
}

t.test('which failures mean that the database is away', async (t) => {
  const withCode = (error: Error, code: string) => Object.assign(error, { code });
  const fromPostgres = (code: string) => withCode(new pg.DatabaseError('said so', 1, 'error'), code);
  const plain = (message: string, code?: string) =>
    code ? withCode(new Error(message), code) : new Error(message);
  const table: [name: string, error: unknown, away: boolean][] = [
    ['admin shutdown', fromPostgres('57P01'), true],
    ['cannot connect now', fromPostgres('57P03'), true],
    ['query cancelled', fromPostgres('57014'), true],
    ['too many connections', fromPostgres('53300'), true],
    ['disk full', fromPostgres('53100'), true],
    ['read-only transaction, as after a failover', fromPostgres('25006'), true],
    ['connection failure', fromPostgres('08006'), true],
    ['deadlock', fromPostgres('40P01'), true],
    ['wrong password', fromPostgres('28P01'), true],
    ['no such database', fromPostgres('3D000'), true],
    ['unique violation', fromPostgres('23505'), false],
    ['value too long', fromPostgres('22001'), false],
    ['undefined table', fromPostgres('42P01'), false],
    ['refused', plain('connect ECONNREFUSED 127.0.0.1:5432', 'ECONNREFUSED'), true],
    ['reset', plain('read ECONNRESET', 'ECONNRESET'), true],
    ['no such host', plain('getaddrinfo EAI_AGAIN db', 'EAI_AGAIN'), true],
    ['several addresses', withCode(new AggregateError([]), 'ECONNREFUSED'), true],
    ['ended by the server', plain('Connection terminated unexpectedly'), true],
    ['query timeout', plain('Query read timeout'), true],
    ['pool timeout', plain('timeout exceeded when trying to connect'), true],
    ['SQLite busy', plain('database is locked', 'SQLITE_BUSY'), true],
    ['SQLite snapshot', plain('database is locked', 'SQLITE_BUSY_SNAPSHOT'), true],
    ['SQLite disk full', plain('full', 'SQLITE_FULL'), true],
    ['SQLite read-only', plain('readonly', 'SQLITE_READONLY'), true],
    ['SQLite I/O', plain('disk I/O error', 'SQLITE_IOERR_WRITE'), true],
    ['SQLite corrupt', plain('malformed', 'SQLITE_CORRUPT'), true],
    ['SQLite constraint', plain('UNIQUE constraint failed: users.phone', 'SQLITE_CONSTRAINT_UNIQUE'), false],
    ['SQLite error', plain('no such table: x', 'SQLITE_ERROR'), false],
    ['a fault of ours', new TypeError('Cannot read properties of undefined'), false],
    ['not an error', 'ECONNREFUSED', false],
  ];
  for (const [name, error, away] of table) t.equal(isUnavailable(error), away, name);
  t.equal(await run(async () => 7), 7);
  const cause = fromPostgres('57P01');
  await t.rejects(
    run(() => Promise.reject(cause)),
    { ...unavailable, cause },
  );

  const unique = (constraint: string) => Object.assign(fromPostgres('23505'), { constraint });
  t.equal(brokenUniqueness(unique('users_email_unique')), 'email');
  t.equal(brokenUniqueness(unique('users_username_unique')), 'username');
  t.equal(brokenUniqueness(unique('users_phone_unique')), 'phone');
  t.equal(brokenUniqueness(unique('users_id_unique')), undefined);
  t.equal(
    brokenUniqueness(Object.assign(fromPostgres('23502'), { constraint: 'users_email_unique' })),
    undefined,
  );
  t.equal(brokenUniqueness(plain('UNIQUE constraint failed: users.email_key')), 'email');
  t.equal(brokenUniqueness(plain('UNIQUE constraint failed: users.id')), undefined);
  t.equal(brokenUniqueness('UNIQUE constraint failed: users.phone'), undefined);
});
