import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import Fastify, { type InjectOptions } from 'fastify';
import t, { type Test } from 'tap';
import { normalizeEmail, normalizeUsername } from '../../src/accounts/identifiers.js';
import { createOperator, type Operator } from '../../src/accounts/operator.js';
import { PERMISSIONS } from '../../src/accounts/permissions.js';
import type { OperatorAccount } from '../../src/accounts/user-admin-store.js';
import type { UserEdit } from '../../src/accounts/user-changes.js';
import { AuthError } from '../../src/errors.js';
import latchkey from '../../src/index.js';
import { newAccountId } from '../../src/lib/ids.js';
import { bearer, PASSWORD, type SignedUp, STORES, signUp, TEST_KEY, type TestApp } from '../support/app.js';
import { decode, expectProblem, meOf, refreshWith, verifyOf } from './answers.js';
import { watchedApp } from './watched-app.js';

interface Scene extends TestApp {
  operator: Operator;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

interface Document {
  id: string;
  email: string | null;
  username: string | null;
  role: string;
  permissions: string[];
  is_staff: boolean;
  is_superuser: boolean;
  is_active: boolean;
  email_verified: boolean;
  first_name: string;
}

interface EventBody {
  type: string;
  session_id: string | null;
  reason: string | null;
}

const NOBODY = '0197f3a1-7c00-7d3e-9a51-000000000000';
const ALL = Object.keys(PERMISSIONS);

for (const stores of STORES) {
  t.test(stores, async (t) => {
    const app = await watchedApp(t, { stores });
    const scene = { ...app, operator: operatorOf(app) };
    await t.test('who is let in', (t) => guards(t, scene));
    await t.test('finding accounts', (t) => finding(t, scene));
    await t.test('changing an account', (t) => changing(t, scene));
    await t.test('disabling', (t) => disabling(t, scene));
    await t.test('roles and standing show at once', (t) => granting(t, scene));
    await t.test('nobody rises above themselves', (t) => escalation(t, scene));
    await t.test('sessions', (t) => sessions(t, scene));
    await t.test('roles', (t) => roles(t, scene));
    await t.test('what staff did', (t) => acts(t, scene));
    await t.test('the last superuser', (t) => lastSuperuser(t, scene));
  });
}

/** What the command line works with, on the stores of this application. */
function operatorOf({ app, config }: TestApp): Operator {
  return createOperator({
    store: app.database.userAdmin,
    accounts: app.database.accounts,
    events: app.events,
    countEvent: app.meter.countEvent,
    state: app.stateStore,
    hasher: { hash: async () => '$argon2id$none' },
    policy: config,
    readPhone: () => undefined,
    now: app.clock,
    onTrouble: (error) => {
      throw error;
    },
  });
}

async function person(scene: Scene, edit: UserEdit = {}): Promise<SignedUp> {
  const somebody = await signUp(scene);
  if (Object.keys(edit).length > 0) await scene.operator.change(somebody.user.id, edit);
  return somebody;
}

/** A role of its own with these permissions. */
async function makeRole({ app }: Scene, permissions: string[]): Promise<string> {
  const name = `r${randomUUID().slice(0, 13)}`;
  await app.database.db
    .insertInto('roles')
    .values({ name, permissions: JSON.stringify(permissions), description: '' })
    .execute();
  await app.roles.renew();
  return name;
}

const staffWith = async (scene: Scene, permissions: string[]): Promise<SignedUp> =>
  person(scene, { isStaff: true, role: await makeRole(scene, permissions) });

const superuser = (scene: Scene): Promise<SignedUp> => person(scene, { isSuperuser: true });

const ask = (method: Method, path: string, by: SignedUp, payload?: object): InjectOptions => ({
  method,
  url: `/api/admin${path}`,
  headers: bearer(by.access),
  ...(payload && { payload }),
});

const patch = (scene: Scene, by: SignedUp, whom: SignedUp, payload: object) =>
  scene.send(ask('PATCH', `/users/${whom.user.id}`, by, payload));

/** The account as its own access token shows it. */
const seen = async ({ send }: Scene, { access }: SignedUp): Promise<Document> =>
  (await send(meOf(access))).json();

async function eventsAbout(scene: Scene, { user }: SignedUp) {
  await scene.app.events.flush();
  const rows = await scene.app.database.db
    .selectFrom('events')
    .select(['type', 'actor_id', 'session_id', 'reason'])
    .where('user_id', '=', user.id)
    .orderBy('id')
    .execute();
  return rows.filter(({ type }) => !['registered', 'login', 'token_refreshed'].includes(type));
}

/** Every route, with what it asks for. Bodies are good, ids are nobody's unless `whom` is given. */
const routesFor = (whom: string, session: string, role: string): [Method, string, string, object?][] => [
  ['GET', '/users', 'users.read'],
  ['GET', `/users/${whom}`, 'users.read'],
  ['PATCH', `/users/${whom}`, 'users.read', { first_name: 'Zoe' }],
  ['POST', `/users/${whom}/logout-all`, 'users.sessions'],
  ['GET', `/users/${whom}/sessions`, 'users.sessions'],
  ['DELETE', `/users/${whom}/sessions/${session}`, 'users.sessions'],
  ['GET', `/users/${whom}/activity`, 'events.read'],
  ['GET', '/roles', 'roles.read'],
  ['PUT', `/roles/${role}`, 'roles.write', { permissions: [] }],
  ['DELETE', `/roles/${role}`, 'roles.write'],
];

async function guards(t: Test, scene: Scene): Promise<void> {
  const { send, app } = scene;
  const ordinary = await person(scene);
  const admin = await person(scene, { role: 'admin' });
  const idle = await staffWith(scene, ['posts.edit']);
  const boss = await superuser(scene);
  const other = await person(scene);
  const role = await makeRole(scene, []);
  const routes = routesFor(other.user.id, 'f'.repeat(32), role);

  const { paths } = app.swagger() as { paths: Record<string, Record<string, unknown>> };
  const documented = Object.entries(paths)
    .filter(([path]) => path.startsWith('/api/admin/'))
    .flatMap(([path, operations]) => Object.keys(operations).map((verb) => `${verb.toUpperCase()} ${path}`));
  const known = routes.map(([method, path]) => {
    const pattern = path.replace(other.user.id, '{id}').replace(/f{32}/, '{sid}').replace(role, '{name}');
    return `${method} /api/admin${pattern}`;
  });
  t.same(
    known.filter((route) => !documented.includes(route)),
    [],
    'every route is documented',
  );

  await t.test('whoever is no staff learns nothing, on any route', async (t) => {
    const nobodys = routesFor(NOBODY, 'e'.repeat(32), 'nothing');
    for (const [index, [method, path, , payload]] of routes.entries()) {
      const name = `${method} ${known[index]}`;
      const url = `/api/admin${path}`;
      const anonymous = await send({ method, url, ...(payload && { payload }) });
      expectProblem(t, anonymous, 401, 'token_missing');
      for (const [who, caller] of Object.entries({ ordinary, admin, idle })) {
        const refused = await send(ask(method, path, caller, payload));
        expectProblem(t, refused, 403, 'forbidden');
        t.notOk(refused.json().errors, `${name} as ${who}`);
        const elsewhere = await send(ask(method, nobodys[index]![1], caller, payload));
        const { request_id: _, ...same } = refused.json();
        t.match(elsewhere.json(), same, 'whether or not there is somebody');
        expectProblem(t, await send(ask(method, path, caller, { nonsense: 1 })), 403, 'forbidden');
      }
    }
    // Those that are not in the table are guarded as well.
    for (const route of documented) {
      const [method, path] = route.split(' ') as [Method, string];
      const url = path.replace('{id}', other.user.id).replace(/\{\w+\}/, 'x');
      for (const caller of [ordinary, admin, idle])
        expectProblem(t, await send({ method, url, headers: bearer(caller.access) }), 403, 'forbidden');
      expectProblem(t, await send({ method, url }), 401, 'token_missing');
    }
  });

  await t.test('each route asks for its permission, and for no other', async (t) => {
    for (const [method, path, permission, payload] of routes) {
      const without = await staffWith(
        scene,
        ALL.filter((name) => name !== permission),
      );
      expectProblem(t, await send(ask(method, path, without, payload)), 403, 'forbidden');
      const needed = method === 'PATCH' ? [permission, 'users.write'] : [permission];
      const caller = await staffWith(scene, needed);
      const answer = await send(ask(method, path, caller, payload));
      const isLastCall = method === 'DELETE' && path.startsWith('/roles');
      t.equal(
        answer.statusCode,
        path.includes('/sessions/f') ? 404 : isLastCall ? 204 : 200,
        `${method} ${path} with ${needed}: ${answer.body}`,
      );
      const again = await send(ask(method, path, boss, payload));
      t.ok([200, 404].includes(again.statusCode), 'superusers need none');
    }
  });

  await t.test('a token that is good for nothing else is good for nothing here', async (t) => {
    const lost = await superuser(scene);
    await send({ method: 'POST', url: '/api/auth/logout', headers: bearer(lost.access) });
    expectProblem(t, await send(ask('GET', '/users', lost)), 401, 'token_revoked');
    expectProblem(
      t,
      await send({ url: '/api/admin/users', headers: bearer(boss.refresh) }),
      401,
      'token_invalid',
    );
  });

  await t.test('staff no more, at once', async (t) => {
    const staff = await staffWith(scene, ['users.read']);
    t.equal((await send(ask('GET', '/users', staff))).statusCode, 200);
    t.equal((await patch(scene, boss, staff, { is_staff: false })).statusCode, 200);
    expectProblem(t, await send(ask('GET', '/users', staff)), 403, 'forbidden');
    expectProblem(t, await send(ask('GET', '/nothing', ordinary)), 404, 'not_found');
  });
}

let inserted = 0;

/** An account without a password, straight into the store. */
async function insert(
  { app }: Scene,
  fields: Partial<OperatorAccount> = {},
): Promise<Document & { id: string }> {
  inserted += 1;
  const made = await app.database.userAdmin.insert(
    {
      id: newAccountId(),
      email: normalizeEmail(`i${inserted}.${process.pid}@example.org`) ?? null,
      username: null,
      phone: null,
      passwordHash: '$argon2id$secret',
      firstName: '',
      lastName: '',
      userType: null,
      role: 'viewer',
      isStaff: false,
      isSuperuser: false,
      dateJoined: Date.now(),
      ...fields,
    },
    [],
  );
  if ('taken' in made) throw new Error(`${made.taken} is taken`);
  return made.standing.user as unknown as Document & { id: string };
}

async function finding(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const reader = await staffWith(scene, ['users.read']);
  const tag = `q${randomUUID().slice(0, 8)}`;
  const number = `+9891${String(Math.floor(Math.random() * 1e8)).padStart(8, '0')}`;
  const zoe = await insert(scene, {
    email: normalizeEmail(`${tag}.Zoe@Bücher.example`)!,
    username: normalizeUsername(`${tag}_Zoe`)!,
    phone: number,
    firstName: `${tag}Zoë`,
    lastName: `Mac${tag}`,
  });
  const ali = await insert(scene, {
    email: normalizeEmail(`${tag}Xali@example.com`)!,
    username: normalizeUsername(`${tag}Xali`)!,
    firstName: 'علی',
    lastName: `${tag} رضایی`,
    isStaff: true,
  });
  const find = async (t: Test, query: Record<string, string>): Promise<string[]> => {
    const answer = await send(ask('GET', `/users?${new URLSearchParams(query)}`, reader));
    t.equal(answer.statusCode, 200, JSON.stringify(query));
    t.notMatch(answer.body, /argon2|password/i, 'no hash');
    return (answer.json().users as Document[]).map(({ id }) => id);
  };
  const names = new Map([
    [zoe.id, 'zoe'],
    [ali.id, 'ali'],
  ]);
  const expectFound = async (t: Test, q: string, found: string[], more: Record<string, string> = {}) =>
    t.same((await find(t, { q, limit: '100', ...more })).map((id) => names.get(id) ?? id).sort(), found, q);

  await t.test('by how something begins', async (t) => {
    await expectFound(t, tag, ['ali', 'zoe']);
    await expectFound(t, ` ${tag.toUpperCase()} `, ['ali', 'zoe']);
    await expectFound(t, `${tag}.zoe@bÜcher.example`, ['zoe']);
    await expectFound(t, `${tag}.zoe@xn--bcher-kva.example`, ['zoe']);
    await expectFound(t, `${tag}_zo`, ['zoe']);
    await expectFound(t, `${tag}_`, ['zoe'], {});
    await expectFound(t, `${tag}%`, []);
    await expectFound(t, `${tag}\\`, []);
    await expectFound(t, `mac${tag}`, ['zoe']);
    await expectFound(t, `${tag}Zoë mac`, ['zoe']);
    await expectFound(t, `${tag} رضا`, ['ali']);
    await expectFound(t, `علی  ${tag}`, ['ali']);
    await expectFound(t, `ac${tag}`, [], {});
    await expectFound(t, "' or 1=1 --", []);
    t.ok(inserted >= 2);
  });

  await t.test('by a number, whole in any spelling or its first digits', async (t) => {
    const national = `0${number.slice(3)}`;
    const persian = national.replace(/\d/g, (digit) => String.fromCharCode(0x06f0 + Number(digit)));
    for (const q of [number, national, persian, `00${number.slice(1)}`, number.slice(0, -2)])
      t.ok((await find(t, { q })).includes(zoe.id), q);
    await expectFound(t, `${number}0`, []);
  });

  await t.test('by what it is', async (t) => {
    const role = await makeRole(scene, ['posts.edit']);
    await scene.operator.change(ali.id, { role });
    await expectFound(t, tag, ['ali'], { is_staff: 'true' });
    await expectFound(t, tag, ['zoe'], { is_staff: 'false' });
    await expectFound(t, tag, ['ali'], { role });
    await expectFound(t, tag, [], { role: 'nothing of the kind' });
    await expectFound(t, tag, [], { is_superuser: 'true' });
    await scene.operator.change(zoe.id, { isActive: false });
    await expectFound(t, tag, ['zoe'], { is_active: 'false' });
    await expectFound(t, tag, ['ali'], { is_active: 'true', is_superuser: 'false' });
    const [found] = (await send(ask('GET', `/users?role=${role}`, reader))).json().users;
    t.match(found, { id: ali.id, role, permissions: ['posts.edit'], is_staff: true });
    t.strictSame(found, (await send(ask('GET', `/users/${ali.id}`, reader))).json());
  });

  await t.test('page by page, the newest first, each once', async (t) => {
    const lastName = `P${tag}`;
    const ids: string[] = [];
    for (let n = 0; n < 7; n++) ids.unshift((await insert(scene, { lastName })).id);
    const walk = async (limit: number): Promise<string[][]> => {
      const pages: string[][] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const query: string = `q=${lastName}&limit=${limit}${cursor && `&cursor=${cursor}`}`;
        const { users, next_cursor } = (await send(ask('GET', `/users?${query}`, reader))).json();
        pages.push((users as Document[]).map(({ id }) => id));
        // Whoever joins meanwhile does not move those who were there.
        if (pages.length === 1) await insert(scene, { lastName });
        cursor = next_cursor;
      }
      return pages;
    };
    const pages = await walk(3);
    t.same(pages.flat(), ids);
    t.same(
      pages.map((page) => page.length),
      [3, 3, 1],
    );
    const [first, ...others] = await walk(8);
    t.equal(first?.length, 8);
    t.same(others, [], 'no empty page at the end');
  });

  await t.test('what cannot be asked', async (t) => {
    const wrong: [string, string][] = [
      ['limit=0', 'limit:too_small'],
      ['limit=101', 'limit:too_large'],
      ['limit=x', 'limit:invalid_type'],
      ['cursor=-1', 'cursor:invalid_format'],
      ['cursor=99999999999999999', 'cursor:too_long'],
      ['q=%00', 'q:invalid_format'],
      ['q=', 'q:too_short'],
      [`q=${'x'.repeat(321)}`, 'q:too_long'],
      ['role=a%00', 'role:invalid_format'],
      ['is_staff=perhaps', 'is_staff:invalid_type'],
      ['email=x', 'email:unknown'],
    ];
    for (const [query, field] of wrong)
      expectProblem(t, await send(ask('GET', `/users?${query}`, reader)), 400, 'invalid_request', {
        fields: [field],
      });
    for (const id of [NOBODY, 'x', '%00', '1', `${zoe.id}0`, '..%2f'])
      expectProblem(t, await send(ask('GET', `/users/${id}`, reader)), 404, 'not_found');
  });
}

async function changing(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const boss = await superuser(scene);
  const editor = await staffWith(scene, ['users.read', 'users.write', 'users.email']);
  const whom = await person(scene);
  const username = `n${randomUUID().slice(0, 13)}`;

  await t.test('a login shows at once', async (t) => {
    scene.advance(2000);
    const payload = { email: whom.email, password: PASSWORD };
    const { user } = (await send({ method: 'POST', url: '/api/auth/login', payload })).json();
    t.strictSame((await send(ask('GET', `/users/${user.id}`, boss))).json(), user);
    scene.advance(2000);
    const again = (await send({ method: 'POST', url: '/api/auth/login', payload })).json().user;
    const { users } = (await send(ask('GET', `/users?q=${whom.email}`, boss))).json();
    t.strictSame(users, [again]);
  });

  await t.test('a database that takes no events can still be read', async (t) => {
    t.capture(scene.app.database.events, 'insert', async () => {
      throw new AuthError('store_unavailable');
    });
    const payload = { email: whom.email, password: PASSWORD };
    const { user } = (await send({ method: 'POST', url: '/api/auth/login', payload })).json();
    for (const path of [`/users/${user.id}`, `/users?q=${whom.email}`])
      t.equal((await send(ask('GET', path, boss))).statusCode, 200, path);
  });

  await t.test('names show on the live token, and are an event with who did it', async (t) => {
    const names = { first_name: ' Zoë  Ann ', last_name: '', username };
    scene.advance(2000);
    const payload = { email: whom.email, password: PASSWORD };
    const login = await send({ method: 'POST', url: '/api/auth/login', payload });
    const answer = await patch(scene, editor, whom, names);
    t.equal(answer.statusCode, 200);
    t.match(answer.json(), { id: whom.user.id, first_name: 'Zoë Ann', last_name: '', username });
    t.equal(answer.json().last_login, login.json().user.last_login, 'of which SQL has yet to hear');
    t.strictSame(await seen(scene, whom), answer.json());
    t.match(await eventsAbout(scene, whom), [{ type: 'profile_changed', actor_id: editor.user.id }]);
    t.equal((await patch(scene, editor, whom, names)).statusCode, 200, 'and once more');
    t.equal((await eventsAbout(scene, whom)).length, 1, 'which is no event');
  });

  await t.test(
    'a new address is not verified, and ends every session; the old one is told, and free',
    async (t) => {
      await scene.app.database.db
        .updateTable('users')
        .set({ email_verified: 1 })
        .where('id', '=', whom.user.id)
        .execute();
      const told: unknown[] = [];
      scene.app.accountMail.notify = async (...notice) => {
        told.push(notice);
      };
      t.match((await patch(scene, editor, whom, { email: whom.email })).json(), { email_verified: true });
      t.equal((await send(meOf(whom.access))).statusCode, 200, 'the same one is no change');
      const email = `New.${whom.email}`;
      t.match((await patch(scene, editor, whom, { email })).json(), { email, email_verified: false });
      expectProblem(t, await send(meOf(whom.access)), 401, 'token_revoked');
      expectProblem(t, await send(refreshWith(whom.refresh)), 401, 'session_ended', { reason: 'admin' });
      t.same(told, [['email_changed', whom.email, 'en']]);
      t.match((await eventsAbout(scene, whom)).at(-1), { type: 'email_changed', actor_id: editor.user.id });
      const login = (name: string) =>
        send({ method: 'POST', url: '/api/auth/login', payload: { email: name, password: PASSWORD } });
      t.equal((await login(email)).statusCode, 200);
      expectProblem(t, await login(whom.email), 401, 'invalid_credentials');
      await signUp(scene, { email: whom.email });
    },
  );

  await t.test('what is taken, wrong or unknown changes nothing', async (t) => {
    const other = await person(scene);
    const before = await seen(scene, other);
    const wrong: [object, number, string, string[]][] = [
      [{ email: boss.email }, 409, 'email_taken', ['email:taken']],
      [{ first_name: 'x', username }, 409, 'username_taken', ['username:taken']],
      [{ email: 'nobody' }, 400, 'invalid_request', ['email:invalid_format']],
      [{ username: '@' }, 400, 'invalid_request', ['username:invalid_format']],
      [{ first_name: 'a\u0000' }, 400, 'invalid_request', ['first_name:invalid_format']],
      [{ role: 'unheard-of', is_staff: true }, 400, 'invalid_request', ['role:invalid_value']],
      [{ role: 'a\u0000' }, 400, 'invalid_request', ['role:invalid_format']],
      [{ is_active: 'false' }, 400, 'invalid_request', ['is_active:invalid_type']],
      [{ is_superuser: null }, 400, 'invalid_request', ['is_superuser:invalid_type']],
      [{ password: 'correct horse' }, 400, 'invalid_request', ['password:unknown']],
      [{ legacy_id: 1 }, 400, 'invalid_request', ['legacy_id:unknown']],
    ];
    for (const [payload, status, code, fields] of wrong)
      expectProblem(t, await patch(scene, boss, other, payload), status, code, { fields });
    expectProblem(t, await patch(scene, boss, other, {}), 400, 'invalid_request');
    t.strictSame(await seen(scene, other), before);
    t.same(await eventsAbout(scene, other), []);
    const missing = ask('PATCH', `/users/${NOBODY}`, boss, { first_name: 'x' });
    expectProblem(t, await send(missing), 404, 'not_found');
    const inserted = await insert(scene, { email: normalizeEmail(`gone.${other.email}`)! });
    await scene.app.database.accounts.erase(inserted.id, Date.now());
    const gone = ask('PATCH', `/users/${inserted.id}`, boss, { first_name: 'x' });
    expectProblem(t, await send(gone), 404, 'not_found');
  });

  await t.test('the store refuses an account that goes in between', async (t) => {
    const leaving = await person(scene);
    const { userAdmin, accounts } = scene.app.database;
    const change = userAdmin.change;
    userAdmin.change = async (...args) => {
      await accounts.erase(leaving.user.id, Date.now());
      return change(...args);
    };
    t.teardown(() => {
      userAdmin.change = change;
    });
    const answer = await patch(scene, boss, leaving, { first_name: 'x' });
    userAdmin.change = change;
    expectProblem(t, answer, 404, 'not_found');
    expectProblem(t, await send(meOf(leaving.access)), 401, 'token_revoked');
  });

  await t.test('a refusal leaves nothing that costs the account anything', async (t) => {
    const quiet = await person(scene);
    expectProblem(t, await patch(scene, editor, quiet, { is_active: false }), 403, 'forbidden');
    const { accounts } = scene.app.database;
    const findById = accounts.findById;
    t.equal((await send(meOf(quiet.access))).statusCode, 200);
    t.equal(accounts.findById, findById);
    const stale = await scene.app.stateStore.checkToken({
      userId: quiet.user.id,
      sessionId: decode(quiet.access).claims.sid,
      jti: decode(quiet.access).claims.jti,
      issuedAtSeconds: decode(quiet.access).claims.iat,
      type: 'access',
      now: Date.now(),
    });
    t.equal(stale.status, 'ok', 'the fence has gone, and the snapshot is back');
  });
}

async function disabling(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const bouncer = await staffWith(scene, ['users.read', 'users.disable']);
  const whom = await person(scene);
  const login = () =>
    send({ method: 'POST', url: '/api/auth/login', payload: { email: whom.email, password: PASSWORD } });

  const refused = async () => {
    expectProblem(t, await send(meOf(whom.access)), 401, 'token_revoked');
    expectProblem(t, await send(verifyOf(whom.access)), 401, 'token_revoked');
    const reason = 'account_disabled';
    expectProblem(t, await send(refreshWith(whom.refresh)), 401, 'session_ended', { reason });
  };
  t.match((await patch(scene, bouncer, whom, { is_active: false })).json(), { is_active: false });
  await refused();
  expectProblem(t, await login(), 403, 'account_disabled');
  t.equal((await patch(scene, bouncer, whom, { is_active: false })).statusCode, 200, 'again');

  t.match((await patch(scene, bouncer, whom, { is_active: true })).json(), { is_active: true });
  await refused();
  t.equal((await login()).statusCode, 200, 'only a new login helps');
  const actor_id = bouncer.user.id;
  t.match(await eventsAbout(scene, whom), [
    { type: 'account_disabled', actor_id },
    { type: 'account_enabled', actor_id },
  ]);
}

async function granting(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const boss = await superuser(scene);
  const whom = await person(scene);
  t.match(await seen(scene, whom), { role: 'viewer', permissions: [] });

  const role = await makeRole(scene, ['users.read', 'posts.edit']);
  const answer = await patch(scene, boss, whom, { role, is_staff: true });
  const permissions = ['users.read', 'posts.edit'];
  t.match(answer.json(), { role, permissions, is_staff: true });
  t.strictSame(await seen(scene, whom), answer.json(), 'the old token shows it');
  t.equal((await send(ask('GET', '/users', whom))).statusCode, 200, 'and opens what it opens');
  const { access, refresh } = (await send(refreshWith(whom.refresh))).json();
  t.match(decode(access).claims, { role, permissions, is_staff: true, is_superuser: false });

  t.match((await patch(scene, boss, whom, { is_superuser: true })).json(), {
    is_superuser: true,
    permissions,
  });
  t.match(decode((await send(refreshWith(refresh))).json().access).claims, {
    is_superuser: true,
    permissions,
  });
  await patch(scene, boss, whom, { is_superuser: false, is_staff: false, role: 'viewer' });
  t.match(await seen(scene, whom), { role: 'viewer', permissions: [], is_staff: false, is_superuser: false });
  expectProblem(t, await send(ask('GET', '/users', whom)), 403, 'forbidden');

  const happened = await eventsAbout(scene, whom);
  t.same(happened.map(({ type }) => type).sort(), [
    ...['role_changed', 'role_changed', 'staff_granted', 'staff_withdrawn'],
    ...['superuser_granted', 'superuser_withdrawn'],
  ]);
  t.ok(happened.every(({ actor_id }) => actor_id === boss.user.id));
  const { events } = (await send(ask('GET', `/users/${whom.user.id}/activity`, boss))).json();
  t.match(
    events.filter(({ type }: EventBody) => type === 'role_changed'),
    [
      { detail: { role: 'viewer', former_role: role }, actor_id: boss.user.id, ip: '127.0.0.1' },
      { detail: { role, former_role: 'viewer' }, actor_id: boss.user.id },
    ],
  );
  const own = (await send({ url: '/api/auth/activity', headers: bearer(whom.access) })).json().events;
  t.match(
    own.find(({ type }: EventBody) => type === 'role_changed'),
    { ip: null, user_agent: null },
    'where staff sat is not told',
  );
}

async function escalation(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const boss = await superuser(scene);
  const admin = await person(scene, { isStaff: true, role: 'admin' });
  const peer = await person(scene, { isStaff: true, role: 'admin' });
  const whom = await person(scene);
  const strong = await makeRole(scene, ['users.read', 'money.move']);
  const weak = await makeRole(scene, ['users.read']);
  const refusedFor = async (t: Test, by: SignedUp, target: SignedUp, payload: object, fields?: string[]) => {
    const before = await seen(scene, target);
    expectProblem(t, await patch(scene, by, target, payload), 403, 'forbidden', {
      ...(fields && { fields: fields.map((field) => `${field}:invalid_value`) }),
    });
    t.strictSame(await seen(scene, target), before, JSON.stringify(payload));
  };

  await t.test('a superuser is touched by superusers only', async (t) => {
    for (const payload of [
      { is_active: false },
      { first_name: 'x' },
      { email: 'mine@example.com' },
      { is_superuser: false },
      { role: 'viewer' },
    ])
      await refusedFor(t, admin, boss, payload);
    const [session] = (await send(ask('GET', `/users/${boss.user.id}/sessions`, admin))).json().sessions;
    const path = `/users/${boss.user.id}`;
    expectProblem(t, await send(ask('POST', `${path}/logout-all`, admin)), 403, 'forbidden');
    expectProblem(t, await send(ask('DELETE', `${path}/sessions/${session.id}`, admin)), 403, 'forbidden');
    t.equal((await send(meOf(boss.access))).statusCode, 200);
  });

  await t.test('nobody makes a superuser but one', async (t) => {
    await refusedFor(t, admin, whom, { is_superuser: true }, ['is_superuser']);
    await refusedFor(t, admin, whom, { is_superuser: false }, ['is_superuser']);
    await refusedFor(t, admin, whom, { first_name: 'x', is_superuser: true }, ['is_superuser']);
  });

  await t.test('each field needs its permission', async (t) => {
    const fields: [string, object, string][] = [
      ['users.write', { first_name: 'F' }, 'first_name'],
      ['users.write', { last_name: 'L' }, 'last_name'],
      ['users.write', { username: `u${randomUUID().slice(0, 8)}` }, 'username'],
      ['users.email', { email: `e${randomUUID()}@example.com` }, 'email'],
      ['users.disable', { is_active: true }, 'is_active'],
      ['users.grant', { role: 'viewer' }, 'role'],
      ['users.grant', { is_staff: false }, 'is_staff'],
    ];
    for (const [permission, payload, field] of fields) {
      const without = await staffWith(
        scene,
        ALL.filter((name) => name !== permission),
      );
      await refusedFor(t, without, whom, payload, [field]);
      const having = await staffWith(scene, ['users.read', permission]);
      const target = field === 'email' ? await person(scene) : whom;
      t.equal((await patch(scene, having, target, payload)).statusCode, 200, permission);
    }
    const reader = await staffWith(scene, ['users.read', 'users.write']);
    await refusedFor(t, reader, whom, { first_name: 'x', is_active: false, role: 'viewer' }, [
      'is_active',
      'role',
    ]);
  });

  await t.test('nobody gives a role that allows more than they may', async (t) => {
    await refusedFor(t, admin, whom, { role: strong }, ['role']);
    t.equal((await patch(scene, admin, whom, { role: weak })).statusCode, 200);
    t.equal(
      (await patch(scene, admin, whom, { role: 'admin', is_staff: true })).statusCode,
      200,
      'as much is fine',
    );
    t.equal((await patch(scene, admin, whom, { role: 'viewer', is_staff: false })).statusCode, 200);
    t.equal((await patch(scene, boss, whom, { role: strong })).statusCode, 200);
  });

  await t.test('nor takes one away, makes its holder staff, or takes over the mailbox', async (t) => {
    await refusedFor(t, admin, whom, { role: 'viewer' }, ['role']);
    await refusedFor(t, admin, whom, { is_staff: true }, ['is_staff']);
    await refusedFor(t, admin, whom, { email: 'mine@example.com' }, ['email']);
    t.equal(
      (await patch(scene, admin, whom, { last_name: 'Known' })).statusCode,
      200,
      'what lends nothing is fine',
    );
  });

  await t.test('staff who may do more are not touched at all', async (t) => {
    const treasurer = await person(scene, { isStaff: true, role: strong });
    for (const payload of [{ is_active: false }, { first_name: 'x' }, { is_staff: false }])
      await refusedFor(t, admin, treasurer, payload);
    expectProblem(
      t,
      await send(ask('POST', `/users/${treasurer.user.id}/logout-all`, admin)),
      403,
      'forbidden',
    );
    t.equal((await patch(scene, boss, treasurer, { first_name: 'T' })).statusCode, 200);
    t.equal((await patch(scene, admin, peer, { first_name: 'Peer' })).statusCode, 200, 'peers are');
  });

  await t.test('nobody changes their own account here', async (t) => {
    for (const self of [admin, boss])
      for (const payload of [
        { role: 'viewer' },
        { is_staff: true },
        { is_superuser: true },
        { is_active: true },
        { email: 'x@example.com' },
        { first_name: 'x' },
      ])
        await refusedFor(t, self, self, payload);
  });

  await t.test('a caller is judged by what SQL says at that moment', async (t) => {
    const { db } = scene.app.database;
    const set = (columns: object, { user }: SignedUp) =>
      db.updateTable('users').set(columns).where('id', '=', user.id).execute();
    const former = await superuser(scene);
    // As if the snapshot were old: what it says is not enough.
    for (const columns of [
      { is_superuser: 0 },
      { is_superuser: 1, is_active: 0 },
      { is_superuser: 0, is_active: 1, is_staff: 1, role: 'viewer' },
    ]) {
      await set(columns, former);
      expectProblem(t, await patch(scene, former, peer, { first_name: 'x' }), 403, 'forbidden');
      expectProblem(
        t,
        await send(ask('PUT', '/roles/viewer', former, { permissions: [] })),
        403,
        'forbidden',
      );
    }
    await set({ is_superuser: 1, is_staff: 0, role: 'viewer' }, former);
    await set({ is_superuser: 1 }, peer);
    expectProblem(t, await patch(scene, admin, peer, { first_name: 'x' }), 403, 'forbidden');
    await set({ is_superuser: 0 }, peer);
  });
}

async function sessions(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const guard = await staffWith(scene, ['users.read', 'users.sessions', 'events.read']);
  const whom = await person(scene);
  const login = async (): Promise<SignedUp> => {
    const payload = { email: whom.email, password: PASSWORD };
    const answer = await send({
      method: 'POST',
      url: '/api/auth/login',
      payload,
      headers: { 'user-agent': 'curl/8' },
    });
    return { ...whom, ...answer.json() };
  };
  const second = await login();
  const path = `/users/${whom.user.id}`;
  const list = async (): Promise<{ id: string; current: boolean; device: string }[]> =>
    (await send(ask('GET', `${path}/sessions`, guard))).json().sessions;
  const sidOf = ({ access }: SignedUp) => decode(access).claims.sid;
  const actor_id = guard.user.id;

  await t.test('one by one', async (t) => {
    const open = await list();
    t.same(open.map(({ id }) => id).sort(), [sidOf(whom), sidOf(second)].sort());
    t.same(
      open.map(({ current }) => current),
      [false, false],
    );
    expectProblem(t, await send(ask('DELETE', `${path}/sessions/${sidOf(guard)}`, guard)), 404, 'not_found');
    t.equal((await send(ask('GET', '/users?limit=1', guard))).statusCode, 200, "somebody else's goes on");

    const ended = await send(ask('DELETE', `${path}/sessions/${sidOf(second)}`, guard));
    t.equal(ended.statusCode, 204);
    t.equal(ended.body, '');
    expectProblem(t, await send(meOf(second.access)), 401, 'token_revoked');
    expectProblem(t, await send(refreshWith(second.refresh)), 401, 'session_ended', { reason: 'admin' });
    t.equal((await send(meOf(whom.access))).statusCode, 200);
    expectProblem(t, await send(ask('DELETE', `${path}/sessions/${sidOf(second)}`, guard)), 404, 'not_found');
    t.match((await eventsAbout(scene, whom)).at(-1), {
      ...{ type: 'sessions_ended_by_staff', actor_id, session_id: sidOf(second), reason: 'admin' },
    });
  });

  await t.test('all at once', async (t) => {
    const third = await login();
    const answer = await send(ask('POST', `${path}/logout-all`, guard));
    t.equal(answer.statusCode, 200);
    t.type(answer.json().message, 'string');
    for (const pair of [whom, third]) {
      expectProblem(t, await send(meOf(pair.access)), 401, 'token_revoked');
      expectProblem(t, await send(refreshWith(pair.refresh)), 401, 'session_ended', { reason: 'admin' });
    }
    t.same(await list(), []);
    t.match((await eventsAbout(scene, whom)).at(-1), {
      ...{ type: 'sessions_ended_by_staff', actor_id, session_id: null, reason: 'admin' },
    });
    t.equal((await send(meOf((await login()).access))).statusCode, 200, 'a new login is fine');
  });

  await t.test('the own ones are marked, and may be ended too', async (t) => {
    const own = (await send(ask('GET', `/users/${guard.user.id}/sessions`, guard))).json().sessions;
    t.match(own, [{ id: sidOf(guard), current: true }]);
  });

  await t.test('what happened to somebody', async (t) => {
    const seenBy = async (query: string) =>
      (await send(ask('GET', `${path}/activity?${query}`, guard))).json();
    const { events, next_cursor } = await seenBy('limit=2');
    t.equal(events.length, 2);
    const rest = await seenBy(`limit=100&cursor=${next_cursor}`);
    t.equal(rest.next_cursor, null);
    const types = [...events, ...rest.events].map(({ type }: EventBody) => type);
    t.equal(types.at(-1), 'registered');
    t.equal(types.filter((type) => type === 'sessions_ended_by_staff').length, 2);
    expectProblem(t, await send(ask('GET', `${path}/activity?limit=0`, guard)), 400, 'invalid_request');
  });

  await t.test('of nobody there are none', async (t) => {
    for (const [method, rest] of [
      ['GET', '/sessions'],
      ['POST', '/logout-all'],
      ['DELETE', `/sessions/${'f'.repeat(32)}`],
      ['GET', '/activity'],
    ] as const)
      expectProblem(t, await send(ask(method, `/users/${NOBODY}${rest}`, guard)), 404, 'not_found');
  });
}

async function roles(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const boss = await superuser(scene);
  const name = `shop.${randomUUID().slice(0, 8)}`;
  const define = (by: SignedUp, role: string, permissions: unknown, more: object = {}) =>
    send(ask('PUT', `/roles/${role}`, by, { permissions, ...more }));

  await t.test('a new installation has two', async (t) => {
    const { roles: all } = (await send(ask('GET', '/roles', boss))).json();
    const find = (wanted: string) => all.find((role: { name: string }) => role.name === wanted);
    t.match(find('viewer'), { permissions: [] });
    t.same(find('admin').permissions.sort(), [...ALL].sort(), 'admin may all that there is');
    const names = all.map((role: { name: string }) => role.name);
    t.same(names, [...names].sort());
  });

  await t.test('what a role means shows on its holders at once', async (t) => {
    const made = await define(boss, name, ['orders.write', 'orders.read', 'orders.read'], {
      description: ' A  b ',
    });
    t.equal(made.statusCode, 200);
    const role = { name, permissions: ['orders.read', 'orders.write'], description: 'A b' };
    t.strictSame(made.json(), role);
    const whom = await person(scene, { role: name });
    t.same((await seen(scene, whom)).permissions, role.permissions);
    t.strictSame((await define(boss, name, ['users.read'])).json(), {
      ...{ name, permissions: ['users.read'], description: '' },
    });
    t.same((await seen(scene, whom)).permissions, ['users.read'], 'sessions go on');
    t.same(decode((await send(refreshWith(whom.refresh))).json().access).claims.permissions, ['users.read']);
    const { roles: all } = (await send(ask('GET', '/roles', boss))).json();
    t.match(
      all.find((one: { name: string }) => one.name === name),
      { permissions: ['users.read'] },
    );
    await scene.app.events.flush();
    const last = await scene.app.database.db
      .selectFrom('events')
      .select(['type', 'actor_id', 'user_id'])
      .where('type', '=', 'role_defined')
      .orderBy('id', 'desc')
      .executeTakeFirst();
    t.same(last, { type: 'role_defined', actor_id: boss.user.id, user_id: null });
  });

  await t.test('what is no role', async (t) => {
    const wrong: [string, unknown, string[]][] = [
      [name, ['users.raed'], ['permissions.0:invalid_value']],
      [name, ['orders.read', 'stats'], ['permissions.1:invalid_value']],
      [
        name,
        ['a b', '', '*'],
        ['permissions.0:invalid_value', 'permissions.1:invalid_value', 'permissions.2:invalid_value'],
      ],
      [name, 'users.read', ['permissions:invalid_type']],
      [name, ['x'.repeat(65)], ['permissions.0:too_long']],
      ['%00', [], ['name:invalid_format']],
      ['1st', [], ['name:invalid_format']],
      ['x'.repeat(65), [], ['name:invalid_format']],
    ];
    for (const [role, permissions, fields] of wrong)
      expectProblem(t, await define(boss, role, permissions), 400, 'invalid_request', { fields });
    const many = Array.from({ length: 65 }, (_, n) => `orders.p${n}`);
    expectProblem(t, await define(boss, name, many), 400, 'invalid_request', {
      fields: ['permissions:invalid_value'],
    });
    expectProblem(t, await define(boss, name, [], { description: 'a\u0007' }), 400, 'invalid_request', {
      fields: ['description:invalid_format'],
    });
    expectProblem(t, await define(boss, name, [], { users: [] }), 400, 'invalid_request', {
      fields: ['users:unknown'],
    });
    expectProblem(t, await send(ask('PUT', `/roles/${name}`, boss, {})), 400, 'invalid_request', {
      fields: ['permissions:required'],
    });
  });

  await t.test('nobody below a superuser defines one that allows more, or their own', async (t) => {
    const own = await makeRole(scene, ['roles.read', 'roles.write', 'orders.read']);
    const keeper = await person(scene, { isStaff: true, role: own });
    const fresh = `k${randomUUID().slice(0, 8)}`;
    const refused = async (role: string, permissions: string[]) => {
      const before = (await send(ask('GET', '/roles', boss))).body;
      expectProblem(t, await define(keeper, role, permissions), 403, 'forbidden');
      t.equal((await send(ask('GET', '/roles', boss))).body, before, `${role} ${permissions}`);
    };
    await refused(fresh, ['users.read']);
    await refused(fresh, ['orders.read', 'orders.write']);
    await refused(own, ['orders.read']);
    await refused(own, ['roles.read', 'roles.write', 'orders.read', 'users.grant']);
    await refused('admin', []);
    expectProblem(t, await send(ask('DELETE', `/roles/${own}`, keeper)), 403, 'forbidden');
    const strong = await makeRole(scene, ['money.move']);
    expectProblem(t, await send(ask('DELETE', `/roles/${strong}`, keeper)), 403, 'forbidden');
    t.equal((await define(keeper, fresh, ['orders.read'])).statusCode, 200, 'within what they may');
    t.equal((await send(ask('DELETE', `/roles/${fresh}`, keeper))).statusCode, 204);
    t.equal((await send(ask('DELETE', `/roles/${strong}`, boss))).statusCode, 204);
  });

  await t.test('one that somebody has stays', async (t) => {
    const role = await makeRole(scene, []);
    const holder = await person(scene, { role });
    const remove = () => send(ask('DELETE', `/roles/${role}`, boss));
    expectProblem(t, await remove(), 400, 'invalid_request', { fields: ['name:taken'] });
    await patch(scene, boss, holder, { role: 'viewer' });
    t.equal((await remove()).statusCode, 204);
    expectProblem(t, await remove(), 404, 'not_found');
    const deleteViewer = await send(ask('DELETE', '/roles/viewer', boss));
    expectProblem(t, deleteViewer, 400, 'invalid_request', { fields: ['name:taken'] });
  });

  await t.test(
    'one that is given away and deleted at the same moment is there, or nobody has it',
    async (t) => {
      const holder = await person(scene);
      for (let round = 0; round < 8; round++) {
        const role = await makeRole(scene, []);
        const [given, removed] = await Promise.all([
          patch(scene, boss, holder, { role }),
          send(ask('DELETE', `/roles/${role}`, boss)),
        ]);
        const outcome = `${given.statusCode} ${removed.statusCode}`;
        t.ok(['200 400', '400 204'].includes(outcome), outcome);
        t.equal((await seen(scene, holder)).role === role, given.statusCode === 200);
      }
    },
  );
}

/** Of whoever did it something is stored too: it is theirs to see, and goes with them. */
async function acts(t: Test, scene: Scene): Promise<void> {
  const { send } = scene;
  const guard = await staffWith(scene, ['users.read', 'users.disable', 'users.sessions']);
  const shut = await person(scene);
  const at = { remoteAddress: '203.0.113.93' };
  const from = { ...bearer(guard.access), 'user-agent': 'guards-browser' };
  const disable = ask('PATCH', `/users/${shut.user.id}`, guard, { is_active: false });
  t.equal((await send({ ...disable, ...at, headers: from })).statusCode, 200);
  const end = ask('POST', `/users/${shut.user.id}/logout-all`, guard);
  t.equal((await send({ ...end, ...at, headers: from })).statusCode, 200);

  await t.test('is in their export, without whom they did it to', async (t) => {
    const exported = await send({ url: '/api/auth/me/export', headers: bearer(guard.access) });
    t.equal(exported.statusCode, 200);
    const here = { session_id: null, ip: '203.0.113.93', user_agent: 'guards-browser' };
    t.match(exported.json().staff_actions, [
      { type: 'sessions_ended_by_staff', ...here },
      { type: 'account_disabled', ...here },
    ]);
    t.notOk(exported.body.includes(shut.user.id));
  });

  await t.test('stays when they go, and where they sat does not', async (t) => {
    const remove = { method: 'DELETE', url: '/api/auth/me', headers: bearer(guard.access) } as const;
    t.equal((await send({ ...remove, payload: { password: PASSWORD } })).statusCode, 204);
    const rows = await scene.app.database.db
      .selectFrom('events')
      .select(['type', 'user_id', 'ip', 'ip_key', 'user_agent'])
      .where('actor_id', '=', guard.user.id)
      .orderBy('id')
      .execute();
    const anonymous = { user_id: shut.user.id, ip: null, ip_key: null, user_agent: null };
    t.strictSame(rows, [
      { type: 'account_disabled', ...anonymous },
      { type: 'sessions_ended_by_staff', ...anonymous },
    ]);
  });
}

async function lastSuperuser(t: Test, scene: Scene): Promise<void> {
  const { send, app } = scene;
  const { db } = app.database;
  const active = async (): Promise<number> => {
    const rows = await db
      .selectFrom('users')
      .select('id')
      .where('is_superuser', '=', 1)
      .where('is_active', '=', 1)
      .execute();
    return rows.length;
  };
  /** Everybody who is left over from the other tests loses it; `count` new ones have it. */
  async function onlySuperusers(count: number): Promise<SignedUp[]> {
    await db.updateTable('users').set({ is_superuser: 0 }).execute();
    const some: SignedUp[] = [];
    for (let n = 0; n < count; n++) some.push(await superuser(scene));
    return some;
  }
  const leave = (by: SignedUp) =>
    send({
      method: 'DELETE',
      url: '/api/auth/me',
      headers: bearer(by.access),
      payload: { password: PASSWORD },
    });

  await t.test('stays, whoever asks', async (t) => {
    const [last] = await onlySuperusers(1);
    expectProblem(t, await leave(last!), 403, 'forbidden');
    t.match(await seen(scene, last!), { is_superuser: true }, 'and is still signed in');
    const lost = { name: 'AuthError', code: 'forbidden', why: /no active superuser would be left/ };
    const { id } = last!.user;
    await t.rejects(scene.operator.change(id, { isSuperuser: false }), lost);
    await t.rejects(scene.operator.change(id, { isActive: false }), lost);
    await t.rejects(app.accounts.setActive(id, false), lost);
    await t.rejects(app.database.accounts.erase(id, Date.now()), lost);
    t.match(await seen(scene, last!), { is_superuser: true, is_active: true });
    await scene.operator.change(id, { isActive: true, isSuperuser: true, role: 'admin' });

    const disabled = await superuser(scene);
    await scene.operator.change(disabled.user.id, { isActive: false });
    await t.rejects(scene.operator.change(id, { isActive: false }), lost, 'a disabled one does not count');
    await scene.operator.change(disabled.user.id, { isSuperuser: false });
    t.equal(await active(), 1);
  });

  const ways: Record<string, (by: SignedUp, whom: SignedUp) => ReturnType<Scene['send']>> = {
    demote: (by, whom) => patch(scene, by, whom, { is_superuser: false }),
    disable: (by, whom) => patch(scene, by, whom, { is_active: false }),
    leave: (by) => leave(by),
  };
  for (const [first, second] of [
    ['demote', 'demote'],
    ['disable', 'disable'],
    ['demote', 'disable'],
    ['demote', 'leave'],
    ['leave', 'leave'],
  ] as const) {
    await t.test(`two at the same moment: ${first} and ${second}`, async (t) => {
      for (let round = 0; round < 3; round++) {
        const [one, two] = await onlySuperusers(2);
        const answers = await Promise.all([ways[first]!(one!, two!), ways[second]!(two!, one!)]);
        const statuses = answers.map(({ statusCode }) => statusCode);
        t.equal(await active(), 1, `${statuses}`);
        // Whoever leaves may have been demoted a moment before.
        const isRefused = statuses.some((status) => [401, 403].includes(status));
        t.ok(isRefused || `${first} ${second}` === 'demote leave', `one of them is refused: ${statuses}`);
      }
    });
  }

  await t.test('a crowd in which everybody demotes everybody', async (t) => {
    const crowd = await onlySuperusers(4);
    const everybody = crowd.flatMap((by) =>
      crowd.filter((whom) => whom !== by).map((whom) => ({ by, whom })),
    );
    await Promise.all(everybody.map(({ by, whom }) => patch(scene, by, whom, { is_superuser: false })));
    t.equal(await active(), 1);
  });
}

t.test('on another process', async (t) => {
  const one = await watchedApp(t, { stores: 'servers' });
  const { redisUrl, redisPrefix, databaseUrl } = one.config;
  const two = await watchedApp(t, {
    env: { REDIS_URL: redisUrl!, REDIS_PREFIX: redisPrefix, DATABASE_URL: databaseUrl! },
  });
  const here = { ...one, operator: operatorOf(one) };
  const there = { ...two, operator: operatorOf(two) };
  const boss = await superuser(here);
  const whom = await person(here);
  const role = await makeRole(here, ['users.read']);
  t.match(await seen(there, whom), { role: 'viewer' });

  await patch(here, boss, whom, { role, is_staff: true });
  two.advance(4500);
  t.match(await seen(there, whom), { role, permissions: ['users.read'], is_staff: true });
  t.equal((await there.send(ask('GET', '/users', whom))).statusCode, 200);
  await here.send(ask('PUT', `/roles/${role}`, boss, { permissions: [] }));
  t.same((await seen(here, whom)).permissions, [], 'at once here');
  two.advance(4500);
  t.same((await seen(there, whom)).permissions, [], 'within five seconds there');

  await patch(here, boss, whom, { is_superuser: true });
  t.match(await seen(there, whom), { is_superuser: true });
  await patch(there, whom, boss, { is_superuser: false });
  expectProblem(t, await here.send(ask('GET', '/users', boss)), 403, 'forbidden');
  await patch(there, whom, boss, { is_active: false });
  expectProblem(t, await here.send(meOf(boss.access)), 401, 'token_revoked');
  await here.send({ method: 'GET', url: '/healthz' });
  await here.operator.change(boss.user.id, { isActive: true, isSuperuser: true });
  await there.operator.change(whom.user.id, { isActive: false });
  expectProblem(t, await here.send(meOf(whom.access)), 401, 'token_revoked');
  expectProblem(t, await there.send(meOf(whom.access)), 401, 'token_revoked');
});

t.test('inside another application', async (t) => {
  const { config } = await watchedApp(t);
  const app = Fastify({ logger: false });
  t.teardown(() => app.close());
  const dataDir = join(config.dataDir, 'guest');
  await app.register(latchkey, { prefix: '/id', dataDir, jwtSigningKey: TEST_KEY, rateLimitAnon: 'off' });
  const guest = { send: (options: InjectOptions) => app.inject(options) } as unknown as Scene;
  const payload = { email: 'guest@example.com', password: PASSWORD };
  const { access } = (await app.inject({ method: 'POST', url: '/id/api/auth/register', payload })).json();
  for (const path of ['users', `users/${NOBODY}`, `users/${NOBODY}/activity`, 'roles', 'events', 'stats']) {
    for (const url of [`/id/api/admin/${path}`, `/id/api/admin/${path}/`]) {
      expectProblem(t, await guest.send({ url }), 401, 'token_missing');
      expectProblem(t, await guest.send({ url, headers: bearer(access) }), 403, 'forbidden');
    }
  }
  t.equal((await guest.send({ url: '/api/admin/users' })).statusCode, 404);
});

t.test('a default role that nobody defined', async (t) => {
  const app = await watchedApp(t, { env: { DEFAULT_ROLE: 'member' } });
  t.match(app.logs(), /"level":"warn".*"role":"member".*DEFAULT_ROLE/);
  const operator = operatorOf(app);
  const somebody = await signUp(app);
  t.match((await app.send(meOf(somebody.access))).json(), { role: 'member', permissions: [] });
  const account = { email: 'op@example.com', password: PASSWORD, isStaff: false, isSuperuser: false };
  await t.rejects(operator.create(account), { code: 'invalid_request', errors: [{ field: 'role' }] });

  const usual = await watchedApp(t);
  t.notMatch(usual.logs(), /DEFAULT_ROLE/);
});
