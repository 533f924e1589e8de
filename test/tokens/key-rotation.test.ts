import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { generateKeys, rotateKeys } from '../../src/commands/keys.js';
import { loadConfig } from '../../src/config.js';
import { createKeyFile } from '../../src/tokens/key-file.js';
import { generateKey, rotate, type StoredJwk, type StoredKeySet } from '../../src/tokens/key-rotation.js';
import { ALGORITHMS, KeyError, readKeySet } from '../../src/tokens/key-set.js';

const NOW = 1_800_000_000;
const PUBLISH = 600;
const LIFE = 7 * 86_400;

const kidsOf = ({ keys }: StoredKeySet): string[] => keys.map(({ kid }) => kid);
const readSet = (path: string): StoredKeySet => JSON.parse(readFileSync(path, 'utf8')) as StoredKeySet;

t.test('made keys can be used', async (t) => {
  for (const algorithm of ALGORITHMS) {
    const key = generateKey(algorithm, NOW);
    const [read] = readKeySet(JSON.stringify({ keys: [key] }));
    t.match(read, { kid: key.kid, algorithm }, algorithm);
    t.match(key, { use: 'sig', alg: algorithm, created_at: NOW });
  }
});

t.test('a rotation publishes, signs, and drops', async (t) => {
  const rules = { publishSeconds: PUBLISH, retireSeconds: LIFE };
  const old = generateKey('EdDSA', NOW);
  let set: StoredKeySet = { keys: [old] };
  const step = (now: number, more: object = {}) => {
    const result = rotate(set, { ...rules, now, ...more });
    set = result.set;
    return result;
  };

  const published = step(NOW + 5);
  const [, next] = set.keys as [StoredJwk, StoredJwk];
  t.match(published.done, { step: 'published', kid: next.kid, due: NOW + 5 + PUBLISH });
  t.strictSame(kidsOf(set), [old.kid, next.kid], 'it does not sign yet');
  t.equal(next.alg, 'EdDSA', 'of the same algorithm');

  const before = structuredClone(set);
  t.match(step(NOW + 4 + PUBLISH).done, { step: 'waiting', kid: next.kid, due: NOW + 5 + PUBLISH });
  t.strictSame(set, before, 'too early changes nothing');

  const signing = step(NOW + 5 + PUBLISH);
  // A process may learn of it as late as of a published key, and sign with the old one until then.
  const over = NOW + 5 + PUBLISH + LIFE + PUBLISH;
  t.match(signing.done, { step: 'signing', kid: next.kid, due: over });
  t.strictSame(kidsOf(set), [next.kid, old.kid]);
  t.equal(set.keys[1]?.retired_at, NOW + 5 + PUBLISH);

  const again = step(over - 1, { algorithm: 'ES256' });
  t.match(again, { done: { step: 'published' }, dropped: [] }, 'the old one stays as long as its tokens');
  t.equal(set.keys.length, 3);
  t.equal(set.keys[2]?.alg, 'ES256', 'the next one may be of another algorithm');

  t.match(step(over), { done: { step: 'waiting' }, dropped: [old.kid] });
  t.equal(set.keys.length, 2);
  t.match(step(over - 1 + PUBLISH).done, { step: 'signing', kid: set.keys[0]?.kid });

  const immediate = rotate(
    { keys: [next, { ...old, retired_at: NOW }] },
    {
      ...rules,
      publishSeconds: 0,
      now: NOW + LIFE + 4,
    },
  );
  t.strictSame(immediate.dropped, [], 'processes are given a moment, whatever is asked');
});

const options = (file: string, now = NOW, more: object = {}) => ({
  file,
  retireSeconds: LIFE,
  now,
  ...more,
});
const usage = (message: RegExp) => ({ name: 'UsageError', message });

t.test('the commands write the file that they name', async (t) => {
  const dir = t.testdir();
  for (const algorithm of ['ES256', 'HS256', 'EdDSA']) {
    const path = join(dir, `${algorithm}.json`);
    const made = generateKeys(options(path, NOW, { algorithm }));
    const [first] = kidsOf(readSet(path)) as [string];
    t.equal(
      made,
      `Wrote ${path} with one ${algorithm} key, ${first}. Set JWT_KEYSET=${path} on every server.`,
    );
    t.equal(statSync(path).mode & 0o777, 0o600);
    const text = readFileSync(path);
    t.throws(() => generateKeys(options(path)), usage(/exists: rotate it instead\.$/));
    t.ok(readFileSync(path).equals(text), 'nothing is overwritten');

    const published = rotateKeys(options(path, NOW));
    const [, second] = kidsOf(readSet(path)) as [string, string];
    t.match(published, `Published ${second}. It verifies but does not sign yet.`);
    t.match(published, `Rotate again after ${new Date((NOW + PUBLISH) * 1000).toISOString()}`);
    t.match(published, `The key set is ${path}.`);
    t.strictSame(kidsOf(readSet(path)), [first, second]);

    const { ino, mtimeMs } = statSync(path);
    t.match(rotateKeys(options(path, NOW + 599)), `Nothing to do yet: ${second} is published`);
    t.match(statSync(path), { ino, mtimeMs }, 'the file is not touched');

    t.match(rotateKeys(options(path, NOW + 600)), `${second} signs from now on.`);
    t.strictSame(kidsOf(readSet(path)), [second, first]);
    const over = NOW + 600 + LIFE + 600;
    t.match(
      rotateKeys(options(path, over)),
      `Dropped ${first}: the last token it signed has expired.\nPublished`,
    );
    t.equal(readSet(path).keys.length, 2);
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.strictSame(loadConfig({ JWT_KEYSET: path, LATCHKEY_DATA_DIR: dir }).jwt.keySet, { path });
  }
  t.strictSame(
    readdirSync(dir).filter((name) => name.endsWith('.new')),
    [],
    'no draft is left behind',
  );
});

t.test('the commands say what they cannot do', async (t) => {
  const dir = t.testdir({
    'broken.json': '{"keys":[{"k":"c2VjcmV0',
    'weak.json': '{"keys":[{"alg":"none"}]}',
  });
  const path = join(dir, 'keys.json');
  generateKeys(options(path));
  const text = readFileSync(path);
  const refused: [() => string, { name: string; message: string | RegExp }][] = [
    [() => generateKeys({ ...options(''), file: undefined }), usage(/^Say which file/)],
    [() => rotateKeys(options('{"keys":[]}')), usage(/^Say which file/)],
    [
      () => generateKeys(options(join(dir, 'x.json'), NOW, { algorithm: 'none' })),
      usage(/--algorithm must be/),
    ],
    [() => rotateKeys(options(path, NOW, { algorithm: 'es256' })), usage(/--algorithm must be one of HS256/)],
    [() => rotateKeys(options(path, NOW, { publishSeconds: '-1' })), usage(/--publish-seconds must be/)],
    [() => generateKeys(options(join(dir, 'no', 'keys.json'))), usage(/cannot be written \(ENOENT\)/)],
    [() => rotateKeys(options(join(dir, 'missing.json'))), usage(/cannot be read \(ENOENT\)/)],
    [() => rotateKeys(options(dir)), usage(/cannot be read \(EISDIR\)/)],
    [() => rotateKeys(options(join(dir, 'broken.json'))), { name: 'KeyError', message: 'is not JSON' }],
    [() => rotateKeys(options(join(dir, 'weak.json'))), { name: 'KeyError', message: /^key 1: alg must be/ }],
  ];
  for (const [call, error] of refused) t.throws(call, error);
  writeFileSync(`${path}.new`, '');
  t.throws(() => rotateKeys(options(path)), usage(/keys\.json\.new exists: another rotation is under way/));
  t.ok(existsSync(`${path}.new`), 'a lock is for its owner to remove');
  t.ok(readFileSync(path).equals(text));
  unlinkSync(`${path}.new`);
  t.match(rotateKeys(options(path)), /^Published/);
  t.strictSame(
    readdirSync(dir).sort(),
    ['broken.json', 'keys.json', 'weak.json'],
    'nothing was made, no draft is left',
  );
});

t.test('a file keeps its readers, and a link to it stays one', async (t) => {
  const dir = t.testdir();
  mkdirSync(join(dir, 'real'));
  const [path, link] = [join(dir, 'real', 'keys.json'), join(dir, 'keys.json')];
  generateKeys(options(path));
  symlinkSync(path, link);
  for (const [mode, kept] of [
    [0o640, 0o640],
    [0o644, 0o640],
    [0o400, 0o400],
  ] as const) {
    chmodSync(path, mode);
    t.match(rotateKeys(options(link, NOW, { publishSeconds: '0' })), `The key set is ${path}.`);
    t.equal(statSync(path).mode & 0o777, kept);
    t.ok(lstatSync(link).isSymbolicLink());
  }
});

t.test('a set that was made elsewhere can be rotated', async (t) => {
  const path = join(t.testdir(), 'keys.json');
  const bare = (key: StoredJwk) => {
    const { created_at: _, kid: __, ...rest } = key;
    return rest;
  };
  const [signing, former] = [generateKey('EdDSA', NOW), generateKey('ES256', NOW)];
  // The operator went back to a key that was retired once.
  const foreign = { keys: [{ ...bare(signing), retired_at: NOW - 2 * LIFE }, bare(former)] };
  writeFileSync(path, JSON.stringify(foreign), { mode: 0o600 });
  t.match(rotateKeys(options(path, NOW)), /^Published/);
  const { keys } = readSet(path);
  t.match(keys, [{ kid: signing.kid }, { kid: former.kid, retired_at: NOW }, { created_at: NOW }]);
  t.notOk('retired_at' in keys[0]!, 'the key that signs is in use');
  rotateKeys(options(path, NOW + PUBLISH));
  t.strictSame(
    kidsOf(readSet(path)),
    [keys[2]!.kid, signing.kid, former.kid],
    'a former key is never made to sign again',
  );
});

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

async function run(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { PATH: process.env.PATH, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout, stderr };
}

t.test('at the command line', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'keys.json');
  const env = { JWT_KEYSET: path, JWT_REFRESH_TOKEN_LIFETIME: '3600', JWT_LEEWAY: '30' };
  t.match(await run(['keys', 'rotate'], env), {
    code: 2,
    stdout: '',
    stderr: /cannot be read \(ENOENT\)\.\n$/,
  });
  t.match(await run(['keys', 'generate', '--file', path]), { code: 0, stdout: /^Wrote /, stderr: '' });

  await t.test('of several rotations at once one takes the step', async (t) => {
    const all = await Promise.all(Array.from({ length: 4 }, () => run(['keys', 'rotate'], env)));
    const kids = kidsOf(readSet(path));
    t.equal(kids.length, 2);
    const verdicts = all.map(({ code, stdout, stderr }) =>
      stdout.startsWith(`Published ${kids[1]}.`)
        ? `${code} published`
        : stdout.startsWith(`Nothing to do yet: ${kids[1]}`) || /another rotation is under way/.test(stderr)
          ? `${code === 0 || code === 2} other`
          : `${code} ${stdout} ${stderr}`,
    );
    t.strictSame(verdicts.sort(), ['0 published', ...Array(3).fill('true other')]);
    t.strictSame(readdirSync(dir), ['keys.json'], 'no draft is left behind');
  });

  const start = Math.floor(Date.now() / 1000);
  const signed = await run(['keys', 'rotate', '--publish-seconds', '0'], env);
  t.match(signed, { code: 0, stdout: / signs from now on\. / });
  const due = Date.parse(/until (\S+);/.exec(signed.stdout)?.[1] ?? '') / 1000;
  t.ok(due >= start + 3635 && due <= start + 3645, 'as long as a token lives by the settings');

  writeFileSync(path, readFileSync(path, 'utf8').replace('"P-256"', '"P-384"'));
  const broken = await run(['keys', 'rotate'], env);
  t.match(broken, { code: 1, stdout: '', stderr: /^The key set cannot be used: key 1: .*\.\n$/ });
  t.notMatch(broken.stderr, readSet(path).keys[0]!.d);
  t.match(await run(['keys', 'rotate'], { JWT_LEEWAY: 'x' }), {
    code: 2,
    stderr: /^JWT_LEEWAY|JWT_LEEWAY must/,
  });
});

/** A key file whose keys are its text. */
function follow(t: Test, path: string) {
  const [changes, troubles]: [string[], string[]] = [[], []];
  let reads = 0;
  const file = createKeyFile({
    path,
    async read(text) {
      reads += 1;
      if (text.startsWith('bad')) throw new KeyError(text);
      return text;
    },
    onChange: (text) => void changes.push(text),
    onTrouble: (error) => void troubles.push(String(error)),
  });
  t.teardown(() => file.look());
  return { file, changes, troubles, reads: () => reads };
}

t.test('a key file is followed', async (t) => {
  const path = join(t.testdir({ keys: 'one' }), 'keys');
  const { file, changes, troubles, reads } = follow(t, path);
  t.equal(await file.open(), 'one');
  await file.look();
  t.strictSame([changes, reads()], [[], 1], 'what has not changed is not read');

  writeFileSync(path, 'two');
  await Promise.all([file.look(), file.look(), file.lookForKey(), file.lookForKey()]);
  t.strictSame([changes, reads()], [['two'], 2], 'looks at once are one');

  writeFileSync(path, 'three');
  await file.lookForKey();
  t.strictSame(changes, ['two', 'three'], 'a token by an unknown key makes it look');
  writeFileSync(path, 'four');
  for (let n = 0; n < 100; n++) await file.lookForKey();
  t.strictSame([changes, reads()], [['two', 'three'], 3], 'but a hundred of them do not');
  await file.look();
  t.strictSame(changes, ['two', 'three', 'four']);

  writeFileSync(path, 'bad 1');
  for (let n = 0; n < 3; n++) await file.look();
  t.strictSame(troubles, ['KeyError: bad 1'], 'a trouble is told once');
  unlinkSync(path);
  for (let n = 0; n < 3; n++) await file.look();
  t.match(troubles, ['KeyError: bad 1', /ENOENT/], 'each of them');
  writeFileSync(path, 'five');
  await file.look();
  t.strictSame([changes.at(-1), troubles.length], ['five', 2]);
  unlinkSync(path);
  await file.look();
  t.equal(troubles.length, 3, 'and again when it is back');
  await t.rejects(follow(t, path).file.open(), { code: 'ENOENT' }, 'at the start it must be there');
});
