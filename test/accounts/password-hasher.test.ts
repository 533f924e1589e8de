import argon2 from 'argon2';
import t, { type Test } from 'tap';
import { createPasswordHasher } from '../../src/accounts/password-hasher.js';

const TODAY = /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/;
const overloaded = { name: 'AuthError', code: 'overloaded', retryAfter: 2 };

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Hashing that ends when the test says so. */
function heldHashing(t: Test) {
  const running: { finish(): void; fail(): void }[] = [];
  let atOnce = 0;
  let started = 0;
  const hold = () =>
    new Promise<string>((resolve, reject) => {
      started += 1;
      const end = (settle: () => void) => () => {
        running.splice(running.indexOf(job), 1);
        settle();
      };
      const job = {
        finish: end(() => resolve('$hash')),
        fail: end(() => reject(new Error('out of memory'))),
      };
      running.push(job);
      atOnce = Math.max(atOnce, running.length);
    });
  t.capture(argon2, 'hash', hold);
  return { running, started: () => started, mostAtOnce: () => atOnce };
}

t.test('a hash is of the parameters of today, and salted', async (t) => {
  const hasher = createPasswordHasher({ concurrency: 1, maxWaiting: 4 });
  const [one, two] = [await hasher.hash('correct horse'), await hasher.hash('correct horse')];
  for (const hash of [one, two]) t.match(hash, TODAY);
  t.not(one, two);
  t.equal(await hasher.verify(one, 'correct horse'), true);
  t.equal(await hasher.verify(one, 'correct horsf'), false);
  t.equal(await hasher.verify(one, ''), false);
});

t.test('who has no password costs as much as who has', async (t) => {
  const hasher = createPasswordHasher({ concurrency: 1, maxWaiting: 4 });
  const verify = t.capture(argon2, 'verify', argon2.verify);
  for (const stored of [undefined, null, '']) {
    for (const password of ['correct horse', '']) {
      t.equal(await hasher.verify(stored, password), false, JSON.stringify(stored));
      const calls = verify();
      t.equal(calls.length, 1, 'one verification');
      t.match(calls[0]?.args[0], TODAY, 'of a hash of today');
      t.equal(calls[0]?.args[1], password, 'of the whole password');
    }
  }
  const other = createPasswordHasher({ concurrency: 1, maxWaiting: 4 });
  await hasher.verify(undefined, 'x');
  await other.verify(undefined, 'x');
  const [one, two] = verify();
  t.not(one?.args[0], two?.args[0], 'which nobody can know in advance');

  const forced = createPasswordHasher({ concurrency: 1, maxWaiting: 4 });
  t.capture(argon2, 'verify', async () => true);
  t.equal(await forced.verify(undefined, 'x'), false, 'even if it matched');
  t.equal(await forced.verify('', 'x'), false);
});

t.test('hashes of other parameters are outdated', async (t) => {
  const { hash, isOutdated } = createPasswordHasher({ concurrency: 1, maxWaiting: 4 });
  const current = await hash('correct horse');
  t.equal(isOutdated(current), false);
  const older = ['m=4096,t=2,p=1', 'm=19456,t=3,p=1', 'm=19456,t=2,p=2', 'm=65536,t=3,p=4'];
  for (const parameters of older) {
    t.equal(isOutdated(current.replace('m=19456,t=2,p=1', parameters)), true, parameters);
  }
  t.equal(isOutdated(current.replace('v=19', 'v=16')), true, 'version');
  t.equal(isOutdated(current.replace('argon2id', 'argon2i')), true, 'variant');
});

t.test('no more run at once than allowed, and no more wait', async (t) => {
  const { running, started, mostAtOnce } = heldHashing(t);
  const hasher = createPasswordHasher({ concurrency: 2, maxWaiting: 3 });
  const order: number[] = [];
  const accepted = Array.from({ length: 5 }, (_, n) => hasher.hash(`p${n}`).then(() => order.push(n)));
  await turn();
  t.equal(running.length, 2);
  t.equal(hasher.waiting(), 3);

  await t.rejects(hasher.hash('one too many'), overloaded);
  await t.rejects(hasher.verify(undefined, 'one too many'), overloaded, 'verifying waits in the same queue');
  t.equal(started(), 2, 'who is refused costs nothing');

  running[0]?.finish();
  await turn();
  t.equal(running.length, 2, 'the place is taken at once');
  t.equal(hasher.waiting(), 2);
  const late = hasher.hash('now there is room again').then(() => order.push(5));
  while (running.length > 0) {
    running[0]?.finish();
    await turn();
  }
  await Promise.all([...accepted, late]);
  t.same(order, [0, 1, 2, 3, 4, 5], 'first come, first served');
  t.equal(mostAtOnce(), 2);
  t.equal(hasher.waiting(), 0);
});

t.test('nobody waits for long, however few are before', async (t) => {
  const { running } = heldHashing(t);
  let time = 0;
  const hasher = createPasswordHasher({ concurrency: 2, maxWaiting: 64, now: () => time });
  const hashes: Promise<string>[] = [];
  const finish = async () => {
    running[0]?.finish();
    await turn();
  };
  for (let n = 0; n < 40; n += 1) {
    hashes.push(hasher.hash('1'));
    time += 1000;
    await finish();
  }
  for (let n = 0; n < 2 + 11; n += 1) hashes.push(hasher.hash('2'));
  t.equal(hasher.waiting(), 11, 'of a second each, two at a time');
  await t.rejects(hasher.hash('3'), overloaded);
  while (running.length > 0) await finish();
  await Promise.all(hashes);
  hashes.push(hasher.hash('4'));
  await finish();
  await Promise.all(hashes);
});

t.test('whoever fails hands over the place', async (t) => {
  const { running, started } = heldHashing(t);
  const hasher = createPasswordHasher({ concurrency: 1, maxWaiting: 2 });
  const [one, two, three] = [hasher.hash('1'), hasher.hash('2'), hasher.hash('3')];
  for (const failing of [one, two]) {
    const rejected = t.rejects(failing, { message: 'out of memory' });
    await turn();
    running[0]?.fail();
    await rejected;
  }
  await turn();
  running[0]?.finish();
  t.equal(await three, '$hash');
  const later = hasher.hash('4');
  await turn();
  t.equal(started(), 4, 'and nothing is left blocked');
  running[0]?.finish();
  t.equal(await later, '$hash');

  const verifying = createPasswordHasher({
    concurrency: 1,
    maxWaiting: 0,
    foreignCosts: () => (calls++ === 0 ? Promise.reject(new Error('away')) : Promise.resolve([])),
  });
  let calls = 0;
  await t.rejects(verifying.verify(undefined, 'x'), { message: 'away' });
  t.equal(await verifying.verify(undefined, 'x'), false);
});

t.test('a hasher without a queue refuses whoever would wait', async (t) => {
  const { running } = heldHashing(t);
  const hasher = createPasswordHasher({ concurrency: 1, maxWaiting: 0 });
  const only = hasher.hash('1');
  await turn();
  await t.rejects(hasher.hash('2'), overloaded);
  running[0]?.finish();
  t.equal(await only, '$hash');
});
