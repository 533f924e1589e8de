import { scryptSync } from 'node:crypto';
import { request } from 'node:http';
import argon2 from 'argon2';
import t from 'tap';
import { createPasswordHasher } from '../../src/accounts/password-hasher.js';
import type { HashCost, PasswordScheme } from '../../src/accounts/password-scheme.js';
import { djangoSchemes } from '../../src/compat/django-hashes.js';
import { newAccountId } from '../../src/lib/ids.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import { createPasswordCostStore } from '../../src/stores/sql/password-cost-store.js';
import { ownStores, PLAIN } from '../resilience/people.js';
import { PASSWORD, signUp, testApp } from '../support/app.js';
import { runPython } from '../support/django.js';
import { freshDatabase } from '../support/postgres-server.js';
import { type ServerProcess, withServer } from '../support/server-process.js';

/** The last is not in its normal form, which Django never makes of it. */
const PASSWORDS = ['correct horse battery', 'گذرواژهٔ من', 'x'.repeat(100), ' spaces ', 'ﬁne cafe\u0301'];

const NAMES = ['pbkdf2_sha256', 'pbkdf2_sha1', 'argon2', 'bcrypt_sha256', 'bcrypt'] as const;

/** Hashes by Django itself, at a price that tests can pay. */
const DJANGO = `
import json, sys
from django.conf import settings
from django.contrib.auth import hashers
base = 'django.contrib.auth.hashers.'
classes = ['PBKDF2PasswordHasher', 'PBKDF2SHA1PasswordHasher', 'Argon2PasswordHasher', 'BCryptSHA256PasswordHasher', 'BCryptPasswordHasher']
settings.configure(PASSWORD_HASHERS=[base + name for name in classes])
hashers.PBKDF2PasswordHasher.iterations = 1000
hashers.Argon2PasswordHasher.memory_cost = 1024
hashers.BCryptSHA256PasswordHasher.rounds = 4
names = ${JSON.stringify(NAMES)}
made = [[p, hashers.make_password(p, hasher=n)] for p in json.loads(sys.stdin.readline()) for n in names]
print(json.dumps({'made': made, 'unusable': hashers.make_password(None)}))
`;

/** The hasher that came with Django 4, as its `encode` writes. */
function djangoScrypt(password: string, { n = 16, r = 8, p = 1, salt = 'kHf3xxQ2' } = {}): string {
  const digest = scryptSync(password, salt, 64, { N: n, r, p });
  return `scrypt$${n}$${salt}$${r}$${p}$${digest.toString('base64')}`;
}

const made = JSON.parse(
  runPython(DJANGO.replace('sys.stdin.readline()', `'''${JSON.stringify(PASSWORDS)}'''`)),
) as { made: [string, string][]; unusable: string };

const withDjango = () => createPasswordHasher({ concurrency: 2, maxWaiting: 8, schemes: djangoSchemes() });

t.test('the hashes that Django makes', async (t) => {
  const hasher = withDjango();
  const all = [...made.made, ...PASSWORDS.map((p): [string, string] => [p, djangoScrypt(p)])];
  t.equal(all.length, 30);
  for (const [password, hash] of all) {
    t.equal(await hasher.verify(hash, password), true, hash);
    t.equal(await hasher.verify(hash, `${password.slice(0, 40)}!`), false, 'and of another password');
    t.equal(hasher.isOutdated(hash), true, 'it is to be made anew');
  }
  const composed = (password: string) => made.made.find(([p]) => p === password)![1];
  t.equal(await hasher.verify(composed('ﬁne cafe\u0301'), 'fine café'), false, 'Django would refuse it too');
  t.equal(await hasher.verify(await hasher.hash('ﬁne cafe\u0301'), 'fine café'), true, 'once it is ours');
  t.equal(await hasher.verify(made.unusable, made.unusable), false);
});

t.test('what is malformed or too dear is refused, and never run', async (t) => {
  const argon = (parameters: string) =>
    `argon2$argon2id$v=19$${parameters}$c2FsdHNhbHRzYWx0$${'A'.repeat(43)}`;
  const pbkdf2 = (n: string) => `pbkdf2_sha256$${n}$salt$${'A'.repeat(43)}=`;
  const bcrypt = (rounds: string) => `bcrypt$$2b$${rounds}$${'a'.repeat(53)}`;
  const scrypt = (parameters: string, salt = 'salt') => {
    const [n, r, p] = parameters.split(' ');
    return `scrypt$${n}$${salt}$${r}$${p}$${'A'.repeat(86)}==`;
  };
  const bad = [
    ...['m=4194304,t=2,p=1', 'm=262144,t=5,p=1', 'm=1024,t=2,p=99', 'm=8,t=1,p=4', 'm=1024,t=0,p=1'].map(
      argon,
    ),
    ...['m=-1,t=1,p=1', 'm=1024,t=2', 't=2,m=1024,p=1', 'm=99999999999,t=1,p=1', 'm=1e5,t=1,p=1'].map(argon),
    ...['m=4194304,t=2,p=1', 'm=,t=,p='].map((p) => argon(p).slice('argon2'.length)),
    ...[
      '$argon2id$no hash at all',
      '$argon2id$',
      '$argon2',
      'argon2$',
      'argon2$argon2x$v=19$m=8,t=1,p=1$a$b',
    ],
    ...['0', '4000001', '99999999', '-1', '1e3', ''].map(pbkdf2),
    ...[
      'pbkdf2_sha256$1000$salt$short=',
      'pbkdf2_sha512$1000$salt$AAAA',
      'pbkdf2_sha1$1000$$x',
      'pbkdf2_sha256',
    ],
    ...['03', '16', '31', '99', 'xx'].map(bcrypt),
    ...['bcrypt$$2b$04$short', 'bcrypt_sha256$$2x$04$', 'bcrypt'],
    ...['3 8 1', '16 0 1', '16 8 0', '4194304 8 1', '1048576 8 1', '16384 8 999', '0 8 1', '1 8 1'].map((p) =>
      scrypt(p),
    ),
    ...[scrypt('16 8 1', ''), 'scrypt$16$salt$8$1$AAAA', 'scrypt'],
    ...['md5$salt$0cc175b9c0f1b6a831c399e269772661', 'sha1$x$y', 'plain', '!', '', '$', '$$$$', '\0'],
  ];
  const hasher = withDjango();
  const verify = t.capture(argon2, 'verify', argon2.verify);
  for (const stored of bad) {
    t.equal(await hasher.verify(stored, 'correct horse'), false, JSON.stringify(stored));
    const calls = verify();
    t.equal(calls.length, 1, 'the price of nobody');
    t.match(calls[0]?.args[0], /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  }
});

t.test('every refusal pays the same bill', async (t) => {
  const spent: Record<string, number> = {};
  const pay = async ({ family, units }: HashCost) => {
    spent[family] = (spent[family] ?? 0) + units;
  };
  /** `old:5` costs five units, `rare:2` two; the password is the text of the hash. */
  const scheme: PasswordScheme = {
    read(stored) {
      const [, family = '', units] = /^(old|rare|new):(\d+)$/.exec(stored) ?? [];
      if (!family) return undefined;
      const cost = { family, units: Number(units) };
      return { ...cost, matches: (password) => pay(cost).then(() => password === stored) };
    },
    spend: (cost) => (/^(old|rare|new)$/.test(cost.family) ? pay(cost) : undefined),
  };
  const hasher = createPasswordHasher({
    concurrency: 1,
    maxWaiting: 4,
    schemes: [scheme],
    foreignCosts: async () => [
      { family: 'old', units: 9 },
      { family: 'rare', units: 3 },
      { family: 'of a newer version', units: 1 },
    ],
  });
  const verify = t.capture(argon2, 'verify', argon2.verify);
  const billOf = async (stored: string | undefined, password: string) => {
    for (const family of Object.keys(spent)) delete spent[family];
    const matches = await hasher.verify(stored, password);
    return { matches, argon2: verify().length, ...spent };
  };
  const current = await hasher.hash('right');
  const refused = { matches: false, argon2: 1, old: 9, rare: 3 };
  for (const stored of [undefined, '', '!x', 'old:5', 'old:9', 'old:1', 'rare:2', 'rare:3', current]) {
    t.same(await billOf(stored, 'wrong'), refused, String(stored));
  }
  t.same(
    await billOf('old:5', 'old:5'),
    { matches: true, argon2: 0, old: 5 },
    'who is let in pays for it alone',
  );
  t.same(await billOf(current, 'right'), { matches: true, argon2: 1 });
  t.same(await billOf('new:4', 'wrong'), { ...refused, new: 4 }, 'one that nobody announced');
  t.same(await billOf(undefined, 'wrong'), { ...refused, new: 4 }, 'is on the bill from then on');
});

t.test('the dearest of what accounts have is remembered, until none has it', async (t) => {
  for (const url of [undefined, await freshDatabase(t)]) {
    const database = openDatabase({ url, dataDir: t.testdir() });
    t.teardown(() => database.close());
    await database.migrate();
    const costs = createPasswordCostStore(database.db);
    await costs.recordCosts([]);
    await costs.recordCosts([
      { family: 'pbkdf2_sha256', units: 600_000 },
      { family: 'scrypt:16384:8:1', units: 1 },
    ]);
    await costs.recordCosts([{ family: 'pbkdf2_sha256', units: 260_000 }]);
    t.same(await costs.listCosts(), [], 'nobody has one yet');
    const row = { role: 'viewer', date_joined: 1, version: 1, auth_version: 1, is_staff: 0, is_superuser: 0 };
    const empty = { first_name: '', last_name: '', is_active: 1, email_verified: 0, phone_verified: 0 };
    const id = newAccountId();
    await database.db
      .insertInto('users')
      .values({ ...row, ...empty, id, password_hash: 'pbkdf2_sha256$1000$a$b' })
      .execute();
    t.same(await costs.listCosts(), [{ family: 'pbkdf2_sha256', units: 600_000 }]);
    await database.db.updateTable('users').set({ password_hash: '$argon2id$' }).execute();
    t.same(await costs.listCosts(), []);
  }
});

t.test('at the first right login a hash becomes one of ours', async (t) => {
  const people = await testApp(t);
  const { app, send } = people;
  const { db } = app.database;
  const { email, user } = await signUp(people);
  const login = (password: string) =>
    send({ method: 'POST', url: '/api/auth/login', payload: { email, password } });
  const stored = () => db.selectFrom('users').select('password_hash').executeTakeFirstOrThrow();
  const [password, hash] = made.made.find(([p]) => p.startsWith('ﬁne')) as [string, string];
  await db.updateTable('users').set({ password_hash: hash }).where('id', '=', user.id).execute();
  t.equal((await login(PASSWORD)).statusCode, 401);
  t.same(await stored(), { password_hash: hash }, 'a wrong one leaves it');
  t.equal((await login(password)).statusCode, 200);
  t.match((await stored()).password_hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  t.equal((await login(password)).statusCode, 200, 'the same password, still');
  t.equal((await login('fine café')).statusCode, 200, 'and its normal form');
  for (const malformed of ['$argon2id$no hash at all', 'pbkdf2_sha256$x', '!unusable']) {
    await db.updateTable('users').set({ password_hash: malformed }).execute();
    const refused = await login(password);
    t.same([refused.statusCode, refused.json().code], [401, 'invalid_credentials'], malformed);
  }
});

const KINDS = ['unknown', 'argon2id', 'pbkdf2 of fewer', 'bcrypt'] as const;
const SAMPLES = 16;
/** By chance a share strays from 0.5 by 0.104 (one sigma); without the bill they are 0 and 1. */
const TOLERANCE = 0.43;

t.test('a refusal takes as long for every kind of account', async (t) => {
  const stores = await ownStores(t);
  const env = { ...PLAIN, LOG_LEVEL: 'info', ...stores };
  const server = await withServer(t, { env });
  const database = openDatabase({ url: stores.DATABASE_URL, dataDir: '.' });
  t.teardown(() => database.close());
  const hashOf: Record<string, string> = {
    argon2id: await withDjango().hash(PASSWORD),
    'pbkdf2 of fewer': `pbkdf2_sha256$1000$salt$${'A'.repeat(43)}=`,
    bcrypt: `bcrypt$$2b$08$${'a'.repeat(53)}`,
  };
  const base = { role: 'viewer', date_joined: 1, version: 1, auth_version: 1, is_staff: 0, is_superuser: 0 };
  const rest = { first_name: '', last_name: '', is_active: 1, email_verified: 0, phone_verified: 0 };
  await createPasswordCostStore(database.db).recordCosts([
    { family: 'pbkdf2_sha256', units: 60_000 },
    { family: 'bcrypt', units: 2 ** 8 },
  ]);
  for (const kind of KINDS.slice(1)) {
    const username = kind.replaceAll(' ', '_');
    await database.db
      .insertInto('users')
      .values({
        ...base,
        ...rest,
        id: newAccountId(),
        username,
        username_key: username,
        password_hash: hashOf[kind]!,
      })
      .execute();
  }
  const ids: Record<string, string[]> = {};
  const bodies = new Set<string>();
  const turns = KINDS.flatMap((kind) =>
    Array.from({ length: SAMPLES }, () => ({ kind, order: Math.random() })),
  );
  for (const { kind } of turns.sort((a, b) => a.order - b.order)) {
    const answer = await login(server, kind.replaceAll(' ', '_'));
    bodies.add(answer.text.replace(answer.id, ''));
    ids[kind] = [...(ids[kind] ?? []), answer.id];
  }
  t.equal(bodies.size, 1, [...bodies].join());
  const lines = server.output().split('\n');
  const answered = lines.filter((line) => line.includes('"msg":"answered"')).map((line) => JSON.parse(line));
  const times = new Map(answered.map(({ reqId, ms }) => [reqId, ms as number]));
  const timesOf = (kind: string) => ids[kind]!.map((id) => times.get(id)!);
  for (const kind of KINDS.slice(1)) {
    const share = probabilityOfSuperiority(timesOf(kind), timesOf('unknown'));
    t.ok(Math.abs(share - 0.5) < TOLERANCE, `${kind}: share ${share.toFixed(3)}`);
  }
});

/** How often one of the first is above one of the second: 0.5 when nothing tells them apart (Mann-Whitney). */
function probabilityOfSuperiority(first: readonly number[], second: readonly number[]): number {
  let above = 0;
  for (const a of first) for (const b of second) above += a > b ? 1 : a === b ? 0.5 : 0;
  return above / (first.length * second.length);
}

function login({ port }: ServerProcess, username: string): Promise<{ id: string; text: string }> {
  const payload = JSON.stringify({ username, password: 'wrong password' });
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
  const options = { host: '127.0.0.1', port, path: '/api/auth/login', method: 'POST', headers };
  return new Promise((resolve, reject) => {
    const asked = request(options, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve({ id: String(response.headers['x-request-id']), text: Buffer.concat(chunks).toString() });
    });
    asked.on('error', reject);
    asked.end(payload);
  });
}
