import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { hashDrfKey } from '../../src/accounts/drf-tokens.js';
import { type ImportOptions, importDjango } from '../../src/commands/import-django.js';
import { readObjects } from '../../src/compat/import/json-objects.js';
import type { ImportReport } from '../../src/compat/import/report.js';
import { type Database, openDatabase } from '../../src/stores/sql/database.js';
import { createImportStore } from '../../src/stores/sql/import-store.js';
import { PASSWORD, testApp } from '../support/app.js';
import { freshDatabase } from '../support/postgres-server.js';

type Row = { model: string; pk?: unknown; fields: Record<string, unknown> };

const NOW = Date.parse('2026-01-01T00:00:00Z');
const HASH = `pbkdf2_sha256$1000$salt$${'A'.repeat(43)}=`;

const user = (pk: unknown, fields: Record<string, unknown> = {}, model = 'auth.user'): Row => ({
  model,
  pk,
  fields: {
    password: HASH,
    last_login: null,
    is_superuser: false,
    username: `user${pk}`,
    first_name: '',
    last_name: '',
    email: '',
    is_staff: false,
    is_active: true,
    date_joined: '2020-02-03T04:05:06.789Z',
    groups: [],
    user_permissions: [],
    ...fields,
  },
});

const RIGHTS: Row[] = [
  { model: 'contenttypes.contenttype', pk: 7, fields: { app_label: 'shop', model: 'order' } },
  { model: 'auth.permission', pk: 1, fields: { name: 'x', content_type: 7, codename: 'add_order' } },
  {
    model: 'auth.permission',
    pk: 2,
    fields: { name: 'x', content_type: ['events', 'event'], codename: 'add' },
  },
  { model: 'auth.permission', pk: 3, fields: { name: 'x', content_type: 99, codename: 'lost' } },
  { model: 'auth.group', pk: 1, fields: { name: 'Content Editors', permissions: [1] } },
  { model: 'auth.group', pk: 2, fields: { name: 'مدیران', permissions: [2, 3] } },
];

interface Setup {
  database: Database;
  /** Imports rows, or the text of a file. */
  take(rows: readonly Row[] | string, options?: ImportOptions): Promise<ImportReport>;
  screen: string[];
}

async function setup(t: Test, stores: 'sqlite' | 'postgres' = 'sqlite'): Promise<Setup> {
  const dir = t.testdir();
  const database = openDatabase({
    url: stores === 'postgres' ? await freshDatabase(t) : undefined,
    dataDir: dir,
  });
  t.teardown(() => database.close());
  await database.migrate();
  const screen: string[] = [];
  let files = 0;
  return {
    database,
    screen,
    async take(rows, options = {}) {
      files += 1;
      const file = join(dir, `dump${files}.json`);
      writeFileSync(file, typeof rows === 'string' ? rows : JSON.stringify(rows, null, 1));
      const needs = {
        store: createImportStore(database.db, database.dialect),
        defaultRole: 'viewer',
        phoneRegion: 'IR',
        screen: { write: (text: string) => screen.push(text) },
        now: () => NOW,
      };
      return JSON.parse(await importDjango(needs, file, { json: true, ...options })) as ImportReport;
    },
  };
}

const accounts = ({ database: { db } }: Setup) =>
  db.selectFrom('users').selectAll().orderBy('legacy_id').execute();
const refusal = (message: RegExp) => ({ name: 'Refusal', message });
const usage = (message: RegExp) => ({ name: 'UsageError', message });

for (const stores of ['sqlite', 'postgres'] as const) {
  t.test(`users, roles and tokens come as they were (${stores})`, async (t) => {
    const here = await setup(t, stores);
    const outstanding = (pk: number, fields: object): Row => ({
      model: 'token_blacklist.outstandingtoken',
      pk,
      fields: {
        user: 5,
        jti: `${pk}`.padStart(32, '0'),
        token: 'x',
        expires_at: '2026-01-05T00:00:00Z',
        ...fields,
      },
    });
    const payload = Buffer.from(JSON.stringify({ user_id: '9', exp: 1_767_657_600 })).toString('base64url');
    const rows: Row[] = [
      // In whatever order.
      { model: 'token_blacklist.blacklistedtoken', pk: 1, fields: { token: 1 } },
      { model: 'token_blacklist.blacklistedtoken', pk: 2, fields: { token: 2 } },
      { model: 'token_blacklist.blacklistedtoken', pk: 3, fields: { token: 3 } },
      outstanding(1, {}),
      outstanding(2, { expires_at: '2025-12-31T00:00:00Z' }),
      outstanding(3, { user: null, token: `a.${payload}.b`, expires_at: '2026-01-06T00:00:00Z' }),
      outstanding(4, {}),
      { model: 'authtoken.token', pk: 'k'.repeat(40), fields: { user: 5, created: '2021-01-01T00:00:00Z' } },
      {
        model: 'authtoken.token',
        pk: 'n'.repeat(40),
        fields: { user: 404, created: '2021-01-01T00:00:00Z' },
      },
      { model: 'shop.order', pk: 1, fields: { total: 'NaN' } },
      user(5, {
        username: 'Ada.L',
        email: 'Ada@Example.COM',
        first_name: 'Ada\u0007 ',
        last_name: 'Lovelace',
        is_superuser: true,
        is_staff: true,
        last_login: '2023-01-01T00:00:00+03:30',
        groups: [1],
      }),
      user(9, { groups: [1, 2], user_permissions: [1] }),
      user(12, { username: 'off', is_active: false, password: `!${'x'.repeat(40)}` }),
      user('13', { username: '09121234567', date_joined: '2020-02-03 04:05' }),
      user(14, { username: 'bob@example.com' }),
      { model: 'shop.userprofile', pk: 1, fields: { user: 12, phone: '0912 000 0001', role: 'customer' } },
      ...RIGHTS,
    ];
    const report = await here.take(rows);
    t.same(report.faults, []);
    t.same(report.users, { read: 5, imported: 5, already_there: 0, skipped: 0 });
    t.same(report.revoked_tokens, { imported: 2, expired: 1 });
    t.same(report.api_keys, { imported: 1, skipped: 1 });
    t.same(report.roles_added.length, 3);
    t.match(report.notes, [
      { what: /tidied/, count: 1, examples: ['5'] },
      { what: /permission.*does not hold/, count: 1, examples: ['9'] },
    ]);

    const [ada, nine, off, phone, bob, ...rest] = await accounts(here);
    t.equal(rest.length, 0);
    t.match(ada, {
      ...{ legacy_id: 5, email: 'Ada@example.com', email_key: 'ada@example.com', username: 'Ada.L' },
      ...{ username_key: 'ada.l', first_name: 'Ada', last_name: 'Lovelace', password_hash: HASH },
      ...{ role: 'Content-Editors', is_superuser: 1, is_staff: 1, is_active: 1, email_verified: 0 },
      ...{ date_joined: Date.parse('2020-02-03T04:05:06.789Z'), last_login: 1_672_518_600_000 },
    });
    t.match(ada?.id, /^01700939-2c65-7\w{3}-[89ab]\w{3}-\w{12}$/, 'an id of when they joined');
    t.match(nine?.role, /^Content-Editors:group-2:own-\w{8}$/);
    t.match(off, { is_active: 0, password_hash: null, phone: '+989120000001', role: 'customer' });
    t.match(phone, { legacy_id: 13, phone: '+989121234567', username: null, phone_verified: 0 });
    t.match(bob, { email: 'bob@example.com', username: null });

    const { db } = here.database;
    const roles = await db.selectFrom('roles').selectAll().orderBy('name').execute();
    const permissions = new Map(roles.map(({ name, permissions }) => [name, JSON.parse(permissions)]));
    t.same(permissions.get('Content-Editors'), ['shop.add_order']);
    t.same(permissions.get(nine!.role), ['django.events.add', 'shop.add_order']);
    t.same(permissions.get('customer'), []);
    t.same(
      await db.selectFrom('revoked_tokens').select(['legacy_id', 'jti']).orderBy('legacy_id').execute(),
      [
        { legacy_id: 5, jti: '1'.padStart(32, '0') },
        { legacy_id: 9, jti: '3'.padStart(32, '0') },
      ],
    );
    t.match(await db.selectFrom('drf_tokens').selectAll().execute(), [
      { key_hash: hashDrfKey('k'.repeat(40)), legacy_id: 5, is_imported: 1, auth_version: 1 },
    ]);
    t.same(await db.selectFrom('password_costs').selectAll().execute(), [
      { family: 'pbkdf2_sha256', units: 1000 },
    ]);

    // Somebody changed it, and later ones are numbered behind it.
    await db
      .updateTable('users')
      .set({ email: 'new@example.com', email_key: 'new@example.com' })
      .where('legacy_id', '=', 5)
      .execute();
    const again = await here.take([...rows, user(15)]);
    t.same(
      again.users,
      { read: 6, imported: 1, already_there: 5, skipped: 0 },
      'a second time adds what is new',
    );
    t.same(again.roles_added, []);
    t.match(await accounts(here), [{ email: 'new@example.com' }, {}, {}, {}, {}, { legacy_id: 15 }]);
    const { legacy_id, ...last } = (await accounts(here)).at(-1)!;
    const newcomer = { ...last, id: 'x', username: 'x', username_key: 'x' };
    const made = await db
      .insertInto('users')
      .values(newcomer)
      .returning('legacy_id')
      .executeTakeFirstOrThrow();
    t.ok(made.legacy_id > 15, 'whoever registers gets a higher number');
  });

  t.test(`a number that is taken stops it before anything is written (${stores})`, async (t) => {
    const here = await setup(t, stores);
    const { db } = here.database;
    await here.take([user(1)]);
    const [{ legacy_id, ...first }] = (await accounts(here)) as [Awaited<ReturnType<typeof accounts>>[0]];
    const stranger = { ...first, id: 'stranger', username: 'stranger', username_key: 'stranger' };
    await db.insertInto('users').values(stranger).execute();
    const before = await accounts(here);
    const number = before.at(-1)!.legacy_id;
    const rows = [...RIGHTS, user(100, { groups: [1] }), user(number, { username: 'other' })];
    for (const options of [{}, { 'dry-run': true }])
      await t.rejects(here.take(rows, options), refusal(new RegExp(`number ${number} of users in the file`)));
    t.same(await accounts(here), before);
    t.same(await db.selectFrom('roles').select('name').where('name', 'like', 'Content%').execute(), []);
  });
}

t.test('a bad row is reported and skipped, whole', async (t) => {
  const here = await setup(t);
  await here.take([user(1, { username: 'first', email: 'first@example.com' })]);
  const bad: [Row, RegExp][] = [
    [user(0), /primary key/],
    [user(-3), /primary key/],
    [user('0d9f8c5e-0000-4000-8000-000000000000'), /primary key/],
    [user(null), /primary key/],
    [user(2 ** 53 - 1), /primary key/],
    [user(9, { password: HASH.replace('salt', 's\0t') }), /password hash/],
    [user(10, { username: '', email: '' }), /nothing is left/],
    [user(11, { username: 'a b', email: 'no address' }), /nothing is left/],
    [user(12, { username: 12 }), /username is no text/],
    [user(13, { password: 'md5$salt$0cc175b9c0f1b6a831c399e269772661' }), /password hash/],
    [
      user(14, { password: `argon2$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0$${'A'.repeat(43)}` }),
      /too dear/,
    ],
    [user(15, { password: { x: 1 } }), /password is no text/],
    [user(16, { is_active: 'yes' }), /is_active/],
    [user(17, { date_joined: 'yesterday' }), /date_joined/],
    [user(18, { username: 'FIRST' }), /username.*here already/],
    [user(19, { email: 'FIRST@example.com' }), /email.*here already/],
    [user(21, { username: 'UsEr20' }), /username.*user 20/],
    [user(22, { username: 'other', email: 'ｕser20@example.com' }), /email.*user 20/],
    [user(20, { username: 'twice' }), /came before/],
    [user(23, { is_staff: 1 }), /is_staff/],
  ];
  const good = user(20, { email: 'user20@example.com' });
  const rows = [good, ...bad.map(([row]) => row), user(30)];
  const text = JSON.stringify(rows).replace(/\]$/, ',{"model": "auth.user", "pk": 31, "fields": {"x": 01}}]');
  const planned = await here.take(text, { 'dry-run': true });
  t.equal((await accounts(here)).length, 1, 'a rehearsal writes nothing');
  const report = await here.take(text);
  t.same({ ...planned, dry_run: false }, report, 'and says what is going to be');
  t.same(report.users, { read: 23, imported: 2, already_there: 0, skipped: 21 });
  t.same(
    (await accounts(here)).map(({ legacy_id }) => legacy_id),
    [1, 20, 30],
  );
  for (const [row, problem] of bad) {
    const found = report.faults.find(
      (fault) => fault.row === JSON.stringify(row.pk) && problem.test(fault.problem),
    );
    t.ok(found, `${JSON.stringify(row.pk)} ${problem}`);
  }
  t.match(report.faults[0], { model: 'auth.user', row: /^byte \d+$/, problem: /cannot be read/ });
  t.notMatch(JSON.stringify(report), /FIRST|pbkdf2|argon2|md5/, 'nothing of the rows is shown');
});

t.test('a user model of its own, and what counts as verified', async (t) => {
  const here = await setup(t);
  const member = (pk: number, fields: object) => user(pk, { username: undefined, ...fields }, 'club.member');
  const rows = [
    member(1, { email: 'one@example.com', mobile: '+98 912 000 0001', title: 'gold', confirmed: true }),
    member(2, { email: 'two@example.com', mobile: 'none', title: 'gold', confirmed: false }),
    { model: 'account.emailaddress', pk: 1, fields: { user: 2, email: 'TWO@example.com', verified: true } },
    { model: 'club.extra', pk: 1, fields: { user: 1, kind: 'business' } },
  ];
  const options = {
    'user-model': 'club.Member',
    'profile-model': 'club.Extra',
    map: 'role=title,user_type=kind',
    'role-map': 'gold=patrons',
    verified: 'confirmed',
    'verified-phones': 'all',
  };
  const report = await here.take(rows, options);
  t.match(report, { faults: [], roles_added: ['patrons'] });
  t.match(report.notes, [{ what: /phone number/, count: 1, examples: ['2'] }]);
  t.match(await accounts(here), [
    { email_verified: 1, phone: '+989120000001', phone_verified: 1, role: 'patrons', user_type: 'business' },
    { email_verified: 1, phone: null, phone_verified: 0, role: 'patrons' },
  ]);
  const fresh = await setup(t);
  t.match(await fresh.take(rows), { users: { imported: 2 } }, 'without options the user model is found');
  t.match(await accounts(fresh), [
    { email_verified: 0, phone_verified: 0, role: 'viewer' },
    { email_verified: 1 },
  ]);
  await t.rejects(fresh.take([...rows, user(3)]), refusal(/Both club\.member and auth\.user.*--user-model/));
  await t.rejects(fresh.take(rows, { 'user-model': 'a.B' }), refusal(/no users of a\.b/));
});

t.test('whom a profile is of', async (t) => {
  const here = await setup(t);
  const rows = [
    user(1),
    user(2),
    { model: 'shop.profile', pk: 1, fields: { role: 'of-the-key' } },
    { model: 'shop.site_profile', pk: 1, fields: { owner: 2, role: 'of-the-owner' } },
    { model: 'shop.site_profile', pk: 2, fields: { owner: ['user1'], role: 'of-the-owner' } },
  ];
  const untold = await here.take(rows, { 'dry-run': true });
  t.match(untold, {
    faults: [],
    notes: [{ what: /--map user=/, count: 3, examples: ['shop.profile 1', 'shop.site_profile 1', /./] }],
  });
  const named = { 'profile-model': 'shop.Profile' };
  t.match((await here.take(rows, { ...named, 'dry-run': true })).faults, [
    { problem: /not named by number/ },
  ]);
  await here.take(rows, { ...named, map: 'user=pk' });
  t.match(await accounts(here), [{ role: 'of-the-key' }, { role: 'viewer' }]);
  const other = await setup(t);
  t.match(await other.take(rows, { 'profile-model': 'shop.Site_Profile', map: 'user=owner' }), {
    faults: [{ row: '2', problem: /not named by number/ }],
  });
  t.match(await accounts(other), [{ role: 'viewer' }, { role: 'of-the-owner' }]);
});

t.test('nobody comes to administer accounts by the name of a group', async (t) => {
  const here = await setup(t);
  const rows = [
    { model: 'auth.group', pk: 1, fields: { name: 'admin', permissions: [] } },
    user(1, { groups: [1] }),
  ];
  await t.rejects(here.take(rows), refusal(/"admin", which administers accounts.*--role-map/));
  t.same(await accounts(here), []);
  t.match(await here.take(rows, { 'role-map': 'admin=shop-admin' }), { roles_added: ['shop-admin'] });
  const fresh = await setup(t);
  await fresh.take(rows, { 'role-map': 'admin=admin' });
  t.match(await accounts(fresh), [{ role: 'admin' }]);
});

t.test('nobody gets from an import what they were not allowed', async (t) => {
  const here = await setup(t);
  const group = (pk: number, name: string, permissions: number[]): Row => ({
    model: 'auth.group',
    pk,
    fields: { name, permissions },
  });
  const permission = (pk: number, codename: string, type: number): Row => ({
    model: 'auth.permission',
    pk,
    fields: { codename, content_type: type },
  });
  const rows = [
    { model: 'contenttypes.contenttype', pk: 1, fields: { app_label: 'users', model: 'user' } },
    { model: 'contenttypes.contenttype', pk: 2, fields: { app_label: 'shop', model: 'order' } },
    permission(1, 'write', 1),
    permission(2, 'add_order', 2),
    permission(3, 'delete_order', 2),
    group(1, 'مدیران shop', [2, 3]),
    group(2, 'کاربران shop', [2]),
    group(3, 'Editors', [2, 3]),
    user(1, { groups: [2] }),
    user(2, { groups: [1] }),
    user(3, {}),
    { model: 'shop.profile', pk: 1, fields: { user: 3, role: 'Editors' } },
    user(4, { groups: [3] }),
    user(5, { user_permissions: [1] }),
    user(6, { is_active: null, is_staff: null }),
    user(7, { is_active: undefined }),
  ];
  const report = await here.take(rows);
  t.match(report, { faults: [], notes: [{ what: /an addition/, count: 2, examples: ['2', '4'] }] });
  const imported = await accounts(here);
  const roles = await here.database.db.selectFrom('roles').select(['name', 'permissions']).execute();
  const allowed = new Map(roles.map(({ name, permissions }) => [name, JSON.parse(permissions)]));
  t.same(
    imported.slice(0, 5).map(({ role }) => allowed.get(role)),
    [
      ['shop.add_order'],
      ['shop.add_order', 'shop.delete_order'],
      [],
      ['shop.add_order', 'shop.delete_order'],
      // Latchkey's own would let its holder change accounts.
      ['django.users.write'],
    ],
  );
  t.match(imported[0], { role: 'shop' });
  t.match(imported[1]?.role, /^shop:[\da-f]{8}$/);
  t.match(imported[2], { role: 'Editors' }, 'a role in a profile is of that name');
  t.same(
    imported.slice(5).map(({ is_active, is_staff }) => ({ is_active, is_staff })),
    [
      { is_active: 0, is_staff: 0 },
      { is_active: 1, is_staff: 0 },
    ],
    'null is as good as false',
  );
  const again = await here.take(rows);
  t.match(again, { users: { already_there: 7 }, roles_added: [] }, 'the same names a second time');

  const one = await setup(t);
  await one.take(rows, { 'role-map': 'مدیران shop=staff,کاربران shop=staff' });
  const both = await accounts(one);
  t.match(both, [{ role: 'staff' }, { role: 'staff' }], 'two that are given one name are one');
  const { permissions } = await one.database.db
    .selectFrom('roles')
    .select('permissions')
    .where('name', '=', 'staff')
    .executeTakeFirstOrThrow();
  t.same(JSON.parse(permissions), ['shop.add_order', 'shop.delete_order']);
});

t.test('files that are none, and options that say nothing', async (t) => {
  const here = await setup(t);
  const wrong: [string, RegExp][] = [
    ['', /empty/],
    ['[]', /no users/],
    ['hello', /byte 0/],
    ['[{"model": "auth.user", "pk": 1, "fields": {', /ends within the object at byte 1/],
    [JSON.stringify([user(1)]).slice(0, -1), /cut off/],
    ['[{}] {}', /byte 5/],
    ['[[]]', /byte 1/],
  ];
  for (const [text, message] of wrong) await t.rejects(here.take(text), refusal(message), text.slice(0, 20));
  t.same(await accounts(here), []);
  const options: [ImportOptions, RegExp][] = [
    [{ map: 'fon=mobile' }, /--map knows no field "fon"/],
    [{ map: 'phone' }, /--map takes NAME=NAME/],
    [{ 'role-map': 'x=a b' }, /cannot be a role/],
    [{ 'user-model': 'User' }, /app\.Model/],
  ];
  for (const [option, message] of options) await t.rejects(here.take([user(1)], option), usage(message));
  const needs = {
    store: {} as never,
    defaultRole: '',
    phoneRegion: 'IR',
    screen: { write: () => 1 },
    now: () => NOW,
  };
  await t.rejects(importDjango(needs, undefined, {}), usage(/which file/));
  await t.rejects(importDjango(needs, '/nowhere.json', {}), usage(/no file/));
  const lines = [user(1), user(2)].map((row) => JSON.stringify(row)).join('\n');
  t.match(await here.take(`\ufeff${lines}`), { users: { imported: 2 } }, 'an object on each line');
});

t.test('an import that was interrupted goes on where it was', async (t) => {
  const here = await setup(t);
  const rows = Array.from({ length: 1100 }, (_, n) => user(n + 1));
  const file = join(
    t.testdir({ 'users.json': rows.map((row) => JSON.stringify(row)).join('\n') }),
    'users.json',
  );
  const store = createImportStore(here.database.db, here.database.dialect);
  let batches = 0;
  const failing = {
    ...store,
    insertAccounts: async (accounts: Parameters<typeof store.insertAccounts>[0]) => {
      batches += 1;
      if (batches === 2) throw new Error('pulled the plug');
      return store.insertAccounts(accounts);
    },
  };
  const needs = { defaultRole: 'viewer', phoneRegion: 'IR', screen: { write: () => 1 }, now: () => NOW };
  await t.rejects(importDjango({ ...needs, store: failing }, file, {}), { message: 'pulled the plug' });
  t.equal((await accounts(here)).length, 500);
  const report = JSON.parse(await importDjango({ ...needs, store }, file, { json: true }));
  t.same(report.users, { read: 1100, imported: 600, already_there: 500, skipped: 0 });
  t.equal((await accounts(here)).length, 1100);
});

t.test('progress is a bar on a terminal', async (t) => {
  const here = await setup(t);
  const shown: string[] = [];
  const file = join(t.testdir({ 'users.json': JSON.stringify([user(1)]) }), 'users.json');
  const screen = { isTTY: true, write: (text: string) => shown.push(text) };
  const store = createImportStore(here.database.db, here.database.dialect);
  const needs = { store, defaultRole: 'viewer', phoneRegion: 'IR', screen, now: () => NOW };
  t.match(await importDjango(needs, file, {}), /^Imported in 0\.0 s\.\n\n {2}users +1 imported/);
  t.match(shown[0], /Reading +\[ {30}\] {3}0 %/);
  t.match(shown.at(-2), /Accounts +\[#{30}\] 100 %/);
  t.equal(shown.at(-1), '\r\u001b[K', 'and gone when it is done');
});

t.test('objects are found wherever the chunks are cut', async (t) => {
  const text = ' [{"a": "}]\\"{\\\\"}, {"b": {"c": [1, {"é": "😀"}]}},\n{}]\n';
  const expected = [{ a: '}]"{\\' }, { b: { c: [1, { é: '😀' }] } }, {}];
  for (let size = 1; size < 20; size += 1) {
    const file = join(t.testdir({ file: text }), 'file');
    const found: unknown[] = [];
    for await (const objects of readObjects(createReadStream(file, { highWaterMark: size })))
      for (const { json } of objects) found.push(JSON.parse(json.toString()));
    t.same(found, expected, `${size} bytes at once`);
  }
});

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

async function latchkey(dataDir: string, ...args: string[]) {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { PATH, HOME, LATCHKEY_DATA_DIR: dataDir },
    cwd: dataDir,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, out, err };
}

t.test('by the command line, while a server has the database', async (t) => {
  const { app, config, send } = await testApp(t);
  const { dataDir } = config;
  const file = join(dataDir, 'dump.json');
  writeFileSync(
    file,
    JSON.stringify([user(7, { username: 'seven', password: '!' }), user(8, { password: 'crypt$x' })]),
  );
  const done = await latchkey(dataDir, 'import', 'django', file);
  t.equal(done.code, 0, done.err);
  t.match(done.out, /1 imported, 0 there already, 1 skipped, of 2/);
  t.match(done.out, /Skipped:\n {2}auth\.user 8: its password hash/);
  t.match(done.err, /Accounts: 100 %/, 'progress in lines');
  const refused = await send({
    method: 'POST',
    url: '/api/auth/login',
    payload: { username: 'seven', password: PASSWORD },
  });
  t.equal(refused.statusCode, 401, 'the server knows the account, which has no password');
  t.equal((await app.database.db.selectFrom('users').selectAll().execute()).length, 1);
  writeFileSync(file, 'no dump');
  t.match(await latchkey(dataDir, 'import', 'django', file), { code: 1, err: /byte 0/ });
});
