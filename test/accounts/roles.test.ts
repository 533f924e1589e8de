import t from 'tap';
import { createRoleService, type RoleStore } from '../../src/accounts/roles.js';
import type { User } from '../../src/accounts/user.js';
import { storeUnavailable } from '../../src/errors.js';

const editor = { role: 'editor' } as User;
const viewer = { role: 'viewer' } as User;
const unheardOf = { role: 'constructor' } as User;

/** Roles in a store that can go away, and a clock that stands until it is moved. */
function makeRoles() {
  let time = 1_000_000;
  let away = false;
  let reads = 0;
  let held: Promise<void> | undefined;
  const troubles: unknown[] = [];
  const roles = [
    { name: 'viewer', permissions: [] as string[] },
    { name: 'editor', permissions: ['posts.edit'] },
  ];
  const store: RoleStore = {
    async listRoles() {
      reads += 1;
      await held;
      if (away) throw storeUnavailable(new Error('connection refused'));
      return roles.map((role) => ({ ...role, permissions: [...role.permissions] }));
    },
  };
  const { permissionsOf, renew } = createRoleService({
    store,
    now: () => time,
    onTrouble: (e) => troubles.push(e),
  });
  return {
    permissionsOf,
    renew,
    grant: (permission: string) => roles[1]?.permissions.push(permission),
    advance: (ms: number) => {
      time += ms;
    },
    setAway: (is: boolean) => {
      away = is;
    },
    /** Makes reads wait; gives what lets them go. */
    hold(): () => void {
      let release = () => {};
      held = new Promise((resolve) => {
        release = () => {
          held = undefined;
          resolve();
        };
      });
      return release;
    },
    reads: () => reads,
    troubles,
  };
}

t.test('one read serves all for four and a half seconds', async (t) => {
  const { permissionsOf, reads, advance, grant } = makeRoles();
  const first = await Promise.all(Array.from({ length: 20 }, () => permissionsOf(editor)));
  for (const permissions of first) t.strictSame(permissions, ['posts.edit']);
  t.equal(reads(), 1, 'who comes meanwhile shares the first read');

  grant('posts.delete');
  advance(4499);
  t.strictSame(await permissionsOf(editor), ['posts.edit']);
  t.equal(reads(), 1);
  advance(1);
  t.strictSame(
    await permissionsOf(editor),
    ['posts.edit', 'posts.delete'],
    'a change shows within five seconds',
  );
  t.equal(reads(), 2);
});

t.test('whoever changed a role need not wait', async (t) => {
  const { permissionsOf, renew, grant, setAway, troubles } = makeRoles();
  await permissionsOf(editor);
  grant('posts.delete');
  await renew();
  t.strictSame(await permissionsOf(editor), ['posts.edit', 'posts.delete']);

  setAway(true);
  grant('posts.publish');
  await renew();
  t.strictSame(await permissionsOf(editor), ['posts.edit', 'posts.delete'], 'what is known serves on');
  t.equal(troubles.length, 1, 'and it is told');
});

t.test('a role without permissions, and one that is not there', async (t) => {
  const { permissionsOf } = makeRoles();
  t.strictSame(await permissionsOf(viewer), []);
  t.strictSame(await permissionsOf(unheardOf), []);
  const permissions = (await permissionsOf(editor)) as string[];
  t.throws(() => permissions.push('everything'), TypeError, 'nobody adds to what all share');
});

t.test('while SQL is away the last known definitions serve', async (t) => {
  const { permissionsOf, reads, advance, setAway, grant, troubles, hold } = makeRoles();
  await permissionsOf(editor);
  setAway(true);
  advance(4500);
  t.strictSame(await permissionsOf(editor), ['posts.edit']);
  t.equal(troubles.length, 1, 'and it is told');
  await permissionsOf(editor);
  t.equal(reads(), 2, 'not asked again at once');

  await t.test('without waiting for a store that was away a moment ago', async (t) => {
    const release = hold();
    advance(1000);
    t.strictSame(await permissionsOf(editor), ['posts.edit']);
    t.equal(reads(), 3, 'it is asked again beside');
    release();
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(troubles.length, 2);
  });

  await t.test('until it is back', async (t) => {
    grant('posts.delete');
    setAway(false);
    advance(1000);
    await permissionsOf(editor);
    await new Promise((resolve) => setImmediate(resolve));
    t.strictSame(await permissionsOf(editor), ['posts.edit', 'posts.delete']);
    t.equal(troubles.length, 2);
  });

  await t.test('after a quiet while nobody is served what is old', async (t) => {
    setAway(true);
    advance(4500);
    await permissionsOf(editor);
    grant('posts.publish');
    setAway(false);
    advance(4500);
    t.strictSame(await permissionsOf(editor), ['posts.edit', 'posts.delete', 'posts.publish']);
  });
});

t.test('without any definition nobody is let through', async (t) => {
  const { permissionsOf, setAway, reads, troubles } = makeRoles();
  setAway(true);
  const unavailable = { name: 'AuthError', code: 'store_unavailable' };
  await Promise.all([
    t.rejects(async () => permissionsOf(editor), unavailable),
    t.rejects(async () => permissionsOf(viewer), unavailable),
  ]);
  t.equal(reads(), 1);
  t.equal(troubles.length, 0, 'the caller is told instead');
  setAway(false);
  t.strictSame(await permissionsOf(editor), ['posts.edit'], 'the next one asks again');
});
