import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Migrator, sql } from 'kysely';
import t, { type Test } from 'tap';
import { isPermissionName, PERMISSIONS } from '../../src/accounts/permissions.js';
import type { Role } from '../../src/accounts/role-definitions.js';
import type { OperatorAccount, UserChange } from '../../src/accounts/user-admin-store.js';
import type { SecurityEvent } from '../../src/audit/events.js';
import { createFieldCipher } from '../../src/audit/field-cipher.js';
import { AuthError } from '../../src/errors.js';
import { newAccountId } from '../../src/lib/ids.js';
import { createAccountStore } from '../../src/stores/sql/account-store.js';
import { type Database, type Dialect, openDatabase } from '../../src/stores/sql/database.js';
import { createEventWriter } from '../../src/stores/sql/event-writer.js';
import { roles as rolesMigration } from '../../src/stores/sql/migrations/0005-roles.js';
import { createRoleStore } from '../../src/stores/sql/role-store.js';
import { createUserAdminStore } from '../../src/stores/sql/user-admin-store.js';
import { freshDatabase } from '../support/postgres-server.js';

const LAST = { name: 'AuthError', code: 'forbidden', why: 'no active superuser would be left' };

for (const dialect of ['sqlite', 'postgres'] as const) {
  t.test(dialect, async (t) => {
    const database = await openFresh(t, dialect);
    await database.migrate();
    const stores = storesOf(database);
    await t.test('a change', (t) => changes(t, stores));
    await t.test('one superuser is left', (t) => lastSuperuser(t, stores));
    await t.test('roles', (t) => roles(t, stores));
    await t.test('an older database', (t) => upgrade(t, dialect));
  });
}

async function openFresh(t: Test, dialect: Dialect): Promise<Database> {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-admin-'));
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }));
  const url = dialect === 'postgres' ? await freshDatabase(t) : undefined;
  const database = openDatabase({ url, dataDir });
  t.teardown(() => database.close());
  return database;
}

function storesOf(database: Database) {
  const { db, dialect } = database;
  const write = createEventWriter(dialect, { cipher: createFieldCipher([]) });
  return {
    db,
    dialect,
    accounts: createAccountStore(database, write),
    userAdmin: createUserAdminStore(db, write),
    roles: createRoleStore(db, write),
  };
}

type Stores = ReturnType<typeof storesOf>;

const event = (type: SecurityEvent['type'], userId?: string): SecurityEvent => ({ type, at: 1, userId });

async function add({ userAdmin }: Stores, fields: Partial<OperatorAccount> = {}): Promise<string> {
  const id = newAccountId();
  const account = {
    ...{ id, email: null, username: null, phone: null, passwordHash: null, firstName: '', lastName: '' },
    ...{ userType: null, role: 'viewer', isStaff: false, isSuperuser: false, dateJoined: 1, ...fields },
  };
  await userAdmin.insert(account, [event('account_created', id)]);
  return id;
}

/** A change that nobody judges; `actorId` is only told. */
const change = ({ userAdmin }: Stores, userId: string, change: UserChange) =>
  userAdmin.change(
    { userId, actorId: undefined, change },
    () => undefined,
    () => [],
  );

const eventTypesOf = async ({ db }: Stores, userId: string): Promise<string[]> =>
  (await db.selectFrom('events').select('type').where('user_id', '=', userId).orderBy('id').execute()).map(
    ({ type }) => type,
  );

async function changes(t: Test, stores: Stores): Promise<void> {
  const { userAdmin } = stores;
  const id = await add(stores);

  await t.test('is told how things stand, and stored with its event', async (t) => {
    const actorId = await add(stores, { role: 'admin', isStaff: true });
    const moments: unknown[] = [];
    const result = await userAdmin.change(
      { userId: id, actorId, change: { role: 'admin', firstName: 'Zoë' } },
      (moment) => moments.push(moment),
      () => [event('role_changed', id)],
    );
    if (!result || 'taken' in result) throw new Error('not changed');
    t.match(moments, [
      {
        target: { user: { id, role: 'viewer' }, permissions: [] },
        actor: { user: { id: actorId }, permissions: Object.keys(PERMISSIONS) },
        newPermissions: Object.keys(PERMISSIONS),
      },
    ]);
    t.match(result.before.user, { role: 'viewer', firstName: '' });
    t.match(result.after, {
      user: { role: 'admin', firstName: 'Zoë' },
      permissions: Object.keys(PERMISSIONS),
    });
    t.ok(result.after.user.version > 1);
    t.strictSame(await userAdmin.find(id), result.after);
    t.same(await eventTypesOf(stores, id), ['account_created', 'role_changed']);
  });

  await t.test('that is refused leaves nothing', async (t) => {
    const before = await userAdmin.find(id);
    const refusal = new AuthError('forbidden');
    const refused = userAdmin.change(
      { userId: id, actorId: undefined, change: { isActive: false } },
      () => {
        throw refusal;
      },
      () => [event('account_disabled', id)],
    );
    await t.rejects(refused, refusal);
    await t.rejects(change(stores, id, { role: 'chief', firstName: 'x' }), { code: 'invalid_request' });
    const untold = userAdmin.change(
      { userId: id, actorId: undefined, change: { firstName: 'x' } },
      () => undefined,
      () => {
        throw new Error('no event, no change');
      },
    );
    await t.rejects(untold, /no event/);
    t.strictSame(await userAdmin.find(id), before);
    t.same(await eventTypesOf(stores, id), ['account_created', 'role_changed']);
  });

  await t.test('of nobody', async (t) => {
    t.equal(await change(stores, newAccountId(), { firstName: 'x' }), undefined);
    t.equal(await userAdmin.find(newAccountId()), undefined);
  });

  await t.test('of what is taken', async (t) => {
    const email = { display: 'A@example.com', key: 'a@example.com' };
    await add(stores, { email });
    t.same(await change(stores, id, { email, firstName: 'y' }), { taken: 'email' });
    const twin = { id: newAccountId(), email, username: null, phone: null, passwordHash: null };
    const rest = { firstName: '', lastName: '', userType: null, role: 'viewer', dateJoined: 1 };
    t.same(await userAdmin.insert({ ...twin, ...rest, isStaff: false, isSuperuser: false }, []), {
      taken: 'email',
    });
    t.match(await userAdmin.find(id), { user: { firstName: 'Zoë' } });
  });

  await t.test('kills older sessions only by disabling and by another address', async (t) => {
    const version = async () => (await userAdmin.find(id))?.user.authVersion;
    const before = (await version())!;
    await change(stores, id, { isStaff: true, role: 'viewer', isActive: true });
    t.equal(await version(), before);
    await change(stores, id, { isActive: false });
    t.equal(await version(), before + 1);
    t.match(await userAdmin.find(id), { user: { authReason: 'account_disabled', isActive: false } });
    await change(stores, id, { isActive: false });
    t.equal(await version(), before + 1, 'once');
    const email = { display: 'Zoe@example.com', key: 'zoe@example.com' };
    await change(stores, id, { email });
    t.match(await userAdmin.find(id), { user: { authVersion: before + 2, authReason: 'admin' } });
    await change(stores, id, { email });
    t.equal(await version(), before + 2, 'the same one is none');
  });

  await t.test('a role that is not there allows nothing', async (t) => {
    const orphan = await add(stores);
    await stores.db.updateTable('users').set({ role: 'gone' }).where('id', '=', orphan).execute();
    t.match(await userAdmin.find(orphan), { user: { role: 'gone' }, permissions: [] });
  });
}

async function lastSuperuser(t: Test, stores: Stores): Promise<void> {
  const { db, accounts, dialect } = stores;
  const actives = async (): Promise<string[]> => {
    const query = db
      .selectFrom('users')
      .select('id')
      .where('is_superuser', '=', 1)
      .where('is_active', '=', 1);
    return (await query.execute()).map(({ id }) => id);
  };
  const ways: Record<string, (id: string) => Promise<unknown>> = {
    demoted: (id) => change(stores, id, { isSuperuser: false }),
    disabled: (id) => change(stores, id, { isActive: false }),
    'shut out': (id) => accounts.setActive(id, false, 'account_disabled'),
    deleted: (id) => accounts.erase(id, 1),
  };
  const onlyOf = async (count: number): Promise<string[]> => {
    await db.updateTable('users').set({ is_superuser: 0 }).execute();
    return Promise.all(Array.from({ length: count }, () => add(stores, { isSuperuser: true })));
  };

  for (const [name, take] of Object.entries(ways)) {
    await t.test(`however it is ${name}`, async (t) => {
      const [only] = await onlyOf(1);
      await t.rejects(take(only!), LAST);
      t.same(await actives(), [only]);
      const second = await add(stores, { isSuperuser: true });
      await take(only!);
      t.same(await actives(), [second], 'with another one it is fine');
      await t.rejects(take(second), LAST);
      const nobody = await add(stores);
      await take(nobody);
    });
  }

  await t.test('of many who go at the same moment', async (t) => {
    for (let round = 0; round < 5; round++) {
      const crowd = await onlyOf(4);
      const takes = Object.values(ways);
      const results = await Promise.allSettled(crowd.map((id, n) => takes[(n + round) % takes.length]!(id)));
      t.equal((await actives()).length, 1);
      const refused = results.filter(({ status }) => status === 'rejected');
      t.match(refused, [{ reason: LAST }], 'one is refused, and for that reason');
    }
  });

  if (dialect === 'sqlite') return;
  await t.test('whoever takes another one away is waited for', async (t) => {
    const [one, two] = await onlyOf(2);
    let settled = false;
    let second: Promise<unknown> = Promise.resolve();
    await db.transaction().execute(async (tx) => {
      await tx.updateTable('users').set({ is_superuser: 0 }).where('id', '=', one!).execute();
      await tx.updateTable('guards').set({ name: 'superusers' }).where('name', '=', 'superusers').execute();
      second = change(stores, two!, { isSuperuser: false }).finally(() => {
        settled = true;
      });
      second.catch(() => undefined);
      // Long enough for a statement, short enough for its timeout.
      await delay(200);
      t.notOk(settled, 'it cannot know yet');
    });
    await t.rejects(second, LAST);
    t.same(await actives(), [two]);
  });
}

async function roles(t: Test, stores: Stores): Promise<void> {
  const { db, roles, dialect } = stores;
  const actorId = await add(stores, { role: 'admin', isStaff: true });
  const told: unknown[] = [];
  const define = (role: Role) =>
    roles.define(role, actorId, (...moment) => told.push(moment), event('role_defined'));
  const remove = (name: string) =>
    roles.remove(name, actorId, (...moment) => told.push(moment), event('role_deleted'));
  const find = async (name: string) => (await roles.listRoles()).find((role) => role.name === name);

  await t.test('those that come with it', async (t) => {
    t.match(await roles.listRoles(), [
      { name: 'admin', permissions: Object.keys(PERMISSIONS) },
      { name: 'viewer', permissions: [] },
    ]);
  });

  await t.test('are defined and deleted, as they stand at that moment', async (t) => {
    const editor = { name: 'editor', permissions: ['posts.edit'], description: 'Edits.' };
    await define(editor);
    t.strictSame(await find('editor'), editor);
    const changed = { ...editor, permissions: [], description: '' };
    await define(changed);
    t.strictSame(await find('editor'), changed);
    t.equal(await remove('editor'), 'removed');
    t.equal(await remove('editor'), 'missing');
    t.equal(await find('editor'), undefined);
    const actor = { user: { id: actorId } };
    t.match(told, [
      [editor, actor],
      [editor, actor],
      [changed, actor],
    ]);
    const types = await db
      .selectFrom('events')
      .select('type')
      .where('type', 'like', 'role_d%')
      .orderBy('id')
      .execute();
    t.same(
      types.map(({ type }) => type),
      ['role_defined', 'role_defined', 'role_deleted'],
    );
  });

  await t.test('stay as they were when that is refused', async (t) => {
    const refuse = () => {
      throw new AuthError('forbidden');
    };
    const role = { name: 'admin', permissions: [], description: '' };
    await t.rejects(roles.define(role, actorId, refuse, event('role_defined')), { code: 'forbidden' });
    await t.rejects(roles.define({ ...role, name: 'fresh' }, actorId, refuse, event('role_defined')), {
      code: 'forbidden',
    });
    await t.rejects(roles.remove('admin', actorId, refuse, event('role_deleted')), { code: 'forbidden' });
    t.equal(await find('fresh'), undefined);
    t.match(await find('admin'), { permissions: Object.keys(PERMISSIONS) });
    t.equal(await remove('admin'), 'in_use');
    t.match(await find('admin'), { permissions: Object.keys(PERMISSIONS) });
  });

  if (dialect === 'sqlite') return;
  await t.test('one that somebody is being given is not deleted meanwhile', async (t) => {
    await define({ name: 'short-lived', permissions: [], description: '' });
    const holder = await add(stores);
    let removed: Promise<unknown> = Promise.resolve();
    await db.transaction().execute(async (tx) => {
      await sql`update roles set name = name where name = 'short-lived'`.execute(tx);
      removed = remove('short-lived');
      await delay(200);
      await tx.updateTable('users').set({ role: 'short-lived' }).where('id', '=', holder).execute();
    });
    t.equal(await removed, 'in_use');
  });
}

/** A role `admin` that is there already is somebody else's. */
async function upgrade(t: Test, dialect: Dialect): Promise<void> {
  const database = await openFresh(t, dialect);
  const { db } = database;
  await database.migrate();
  for (const name of ['users_by_role', 'users_superusers']) await db.schema.dropIndex(name).execute();
  await db.schema.dropTable('guards').execute();
  const own = { name: 'admin', permissions: '["theirs"]', description: 'Theirs.' };
  await db.updateTable('roles').set(own).where('name', '=', 'admin').execute();
  if (dialect === 'postgres')
    for (const name of ['email', 'username', 'phone', 'last_name', 'full_name'])
      await db.schema.dropIndex(`users_${name}_prefix`).execute();
  const migrations = { '0005-roles': rolesMigration(dialect) };
  await sql`delete from kysely_migration`.execute(db);
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error } = await migrator.migrateToLatest();
  t.equal(error, undefined);
  t.match(await storesOf(database).roles.listRoles(), [
    { name: 'admin', permissions: ['theirs'] },
    { name: 'viewer' },
  ]);
}

t.test('names of permissions', async (t) => {
  for (const name of ['users.read', 'posts:write', 'a', 'Orders.read-all_2', 'x'.repeat(64)])
    t.equal(isPermissionName(name), true, name);
  for (const name of [
    '',
    ' ',
    '*',
    'a b',
    '1a',
    '.a',
    'ä',
    'x'.repeat(65),
    'users',
    'users.raed',
    'stats.x.y',
    'toString\n',
  ])
    t.equal(isPermissionName(name), false, name);
  t.equal(isPermissionName('constructor'), true, 'which is nothing special');
});
