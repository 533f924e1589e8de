import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { AuthError } from '../../src/errors.js';
import { newDeviceId, newTokenId } from '../../src/lib/ids.js';
import {
  type CountedTry,
  type CountTry,
  DEVICE_LIFETIME_MS,
  DEVICES_KEPT,
  ROW_LIFETIME_MS,
  type TryVerdict,
} from '../../src/security/login-store.js';
import { createKeys } from '../../src/stores/keys.js';
import { connectRedis, type RedisRunner } from '../../src/stores/redis/client.js';
import { createRedisLoginStore } from '../../src/stores/redis/login-store.js';
import { createRedisStateStore } from '../../src/stores/redis/state-store.js';
import type { Stores } from '../../src/stores/stores.js';
import { freePort } from '../support/free-port.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { countTrips } from '../support/trip-counter.js';
import {
  ADAPTERS,
  type Adapter,
  accessJti,
  type Bench,
  createHolder,
  DAY,
  MINUTE,
  makeUser,
  raiseVersion,
  SECOND,
} from './state-store-bench.js';

const PER_IDENTIFIER = { name: 'login:x', max: 5, windowMs: MINUTE };
const PER_ADDRESS = { name: 'login', max: 7, windowMs: 5 * MINUTE };
const PER_DEVICE = { max: 5, windowMs: MINUTE };
/** Reached by no test that is not about it. */
const PLENTY = { max: 1000, windowMs: MINUTE };
const DELAY = { after: 4, stepMs: SECOND, maxMs: 3 * SECOND };

let addresses = 0;
const newAddress = (): string => {
  addresses += 1;
  return `198.51.100.${addresses}`;
};

/** Tries passwords as the service does, at the bench's time. */
function createGuesser(logins: Stores['logins'], now: () => number) {
  const ask = (input: Pick<CountTry, 'account'> & Partial<CountTry>): Promise<TryVerdict> =>
    logins.countTry({
      address: newAddress(),
      addressRules: [PER_IDENTIFIER, PER_ADDRESS],
      deviceId: undefined,
      deviceLimit: PLENTY,
      delay: DELAY,
      now: now(),
      ...input,
    });

  /** A try that must be counted; a wrong password, if nothing else follows. */
  async function guess(input: Parameters<typeof ask>[0]): Promise<CountedTry> {
    const verdict = await ask(input);
    if (verdict.status !== 'counted') throw new Error(`not counted: ${JSON.stringify(verdict)}`);
    return verdict.counted;
  }

  /** How long tries are refused yet; 0 when one was counted. */
  async function wait(input: Parameters<typeof ask>[0]): Promise<number> {
    const verdict = await ask(input);
    return verdict.status === 'delayed' ? verdict.retryMs : 0;
  }

  return { ask, guess, wait };
}

for (const adapter of ADAPTERS) t.test(adapter.name, (t) => contract(t, adapter));

async function contract(t: Test, adapter: Adapter): Promise<void> {
  const bench = await adapter.setUp(t);
  const { store, now, advance } = bench;
  const { logins } = store;
  const { ask, guess, wait } = createGuesser(logins, now);
  const { open, checkInput } = createHolder(bench);
  const newAccount = () => makeUser().id;

  /** Wrong passwords until the next one would be too early. */
  async function spendRow(account: string, deviceId?: string): Promise<void> {
    for (let n = 0; n < DELAY.after; n += 1) await guess({ account, deviceId });
  }

  /** Logs in from a device, which is known from then on. */
  async function remember(user = makeUser(), deviceId = newDeviceId()) {
    const token = await open(user, { deviceId });
    return { user, account: user.id, deviceId, token };
  }

  /** A known device spends its own budget. */
  const isKnown = async (account: string, deviceId: string): Promise<boolean> =>
    (await guess({ account, deviceId })).row?.deviceId === deviceId;

  t.test('strangers', async (t) => {
    await t.test('wait longer with every wrong password, up to a bound', async (t) => {
      const account = newAccount();
      await spendRow(account);
      for (const seconds of [1, 2, 3, 3, 3]) {
        t.equal(await wait({ account }), seconds * SECOND);
        await advance(seconds * SECOND - 300);
        t.equal(await wait({ account }), 300, 'a refused try extends nothing');
        await advance(300);
        await guess({ account });
      }
      t.equal(await wait({ account: newAccount() }), 0, 'every account has a row of its own');
    });

    await t.test('as many at once as one after the other', async (t) => {
      const account = newAccount();
      const stores = [logins, bench.other.logins];
      const guessers = stores.map((each) => createGuesser(each, now));
      const verdicts = await Promise.all(
        Array.from({ length: 40 }, (_, n) => guessers[n % 2]!.ask({ account })),
      );
      const statuses = verdicts.map(({ status }) => status);
      t.equal(statuses.filter((status) => status === 'counted').length, DELAY.after);
      t.equal(statuses.filter((status) => status === 'delayed').length, 40 - DELAY.after);
      t.equal(await wait({ account }), SECOND, 'those refused made it no longer');
    });

    await t.test('a day later it is forgotten, and refused tries do not count as the last', async (t) => {
      const account = newAccount();
      await spendRow(account);
      await advance(ROW_LIFETIME_MS - MINUTE);
      await guess({ account });
      t.equal(await wait({ account }), 2 * SECOND);
      await advance(SECOND);
      t.equal(await wait({ account }), SECOND);
      await advance(ROW_LIFETIME_MS - SECOND);
      for (let n = 0; n < DELAY.after; n += 1) t.equal(await wait({ account }), 0);
      t.equal(await wait({ account }), SECOND);
    });

    await t.test('a right password ends the row', async (t) => {
      const user = makeUser();
      const account = user.id;
      const isEnded = async () => {
        for (let n = 1; n < DELAY.after; n += 1) t.equal(await wait({ account }), 0);
      };
      await spendRow(account);
      await logins.endRow({ account, deviceId: undefined, now: now() });
      await isEnded();
      await spendRow(newAccount());
      await guess({ account });
      t.equal(await wait({ account }), SECOND);
      await open(user);
      t.equal(await wait({ account }), SECOND, 'a session that nobody logged in for does not');
      await open(user, { deviceId: newDeviceId() });
      await isEnded();
    });

    await t.test('the address', async (t) => {
      const [account, address] = [newAccount(), newAddress()];
      const delay = { ...DELAY, after: 100 };
      const left = async (change: Partial<CountTry> = {}) => {
        const { status, limit } = await ask({ account, address, delay, ...change });
        return [status, limit.max, limit.remaining];
      };
      for (const remaining of [4, 3, 2, 1, 0]) t.strictSame(await left(), ['counted', 5, remaining]);
      for (let n = 0; n < 3; n += 1) t.strictSame(await left(), ['limited', 5, 0]);
      const another = [{ ...PER_IDENTIFIER, name: 'login:y' }, PER_ADDRESS];
      t.strictSame(
        await left({ addressRules: another }),
        ['counted', 7, 1],
        'the refused ones spent nothing',
      );
      const strict = { delay: { ...DELAY, after: 8 } };
      t.equal(
        await wait({ account, ...strict }),
        0,
        'nor of the row: six were counted, and this is the seventh',
      );
      t.equal(await wait({ account, ...strict }), 0);
      t.equal(await wait({ account, ...strict }), SECOND);
    });

    await t.test('what the account refused has spent nothing of the address', async (t) => {
      const [account, address] = [newAccount(), newAddress()];
      await spendRow(account);
      for (let n = 0; n < 10; n += 1) {
        t.match(await ask({ account, address }), {
          status: 'delayed',
          retryMs: SECOND,
          limit: { max: 5, remaining: 5, resetMs: MINUTE },
        });
      }
      t.match(await ask({ account: newAccount(), address }), { status: 'counted', limit: { remaining: 4 } });
    });

    await t.test('of two refusals the longer one is told', async (t) => {
      const [account, address] = [newAccount(), newAddress()];
      const once = [{ name: 'once', max: 1, windowMs: 5 * SECOND }];
      await guess({ account: newAccount(), address, addressRules: once });
      await spendRow(account);
      const both = { account, address, addressRules: once };
      t.match(await ask(both), { status: 'limited', limit: { max: 1, remaining: 0 } });
      const long = { ...DELAY, stepMs: MINUTE, maxMs: MINUTE };
      t.match(await ask({ ...both, delay: long }), {
        status: 'delayed',
        retryMs: MINUTE,
        limit: { max: 1, remaining: 0 },
      });
      await advance(6 * SECOND);
      t.match(await ask(both), { status: 'counted' });
    });
  });

  t.test('by a clock that is behind nobody waits longer than the rule says', async (t) => {
    const account = newAccount();
    await spendRow(account);
    t.equal(await wait({ account, now: now() - 5 }), SECOND);

    const known = await remember();
    const once = {
      account: known.account,
      deviceId: known.deviceId,
      deviceLimit: { max: 1, windowMs: MINUTE },
    };
    await guess(once);
    t.strictSame(await ask({ ...once, now: now() - 5 }), {
      status: 'limited',
      limit: { max: 1, remaining: 0, resetMs: MINUTE },
    });
  });

  t.test('taking back', async (t) => {
    await t.test('leaves everything as it was', async (t) => {
      const [account, address] = [newAccount(), newAddress()];
      await spendRow(account);
      await advance(SECOND);
      for (let n = 0; n < 10; n += 1) {
        const counted = await guess({ account, address });
        t.equal(await wait({ account }), 2 * SECOND, 'while it is open it counts');
        await logins.uncountTry(counted);
      }
      await guess({ account, address });
      t.equal(await wait({ account }), 2 * SECOND);
    });

    await t.test('is no way around the delay of another try', async (t) => {
      const account = newAccount();
      await spendRow(account);
      await advance(SECOND);
      const slow = await guess({ account });
      await advance(2 * SECOND);
      await guess({ account });
      t.equal(await wait({ account }), 3 * SECOND);
      await logins.uncountTry(slow);
      t.equal(await wait({ account }), 2 * SECOND, 'one less was compared, and the last one when it was');
    });

    await t.test('twice, late, or what is not there any more', async (t) => {
      const account = newAccount();
      const first = await guess({ account });
      await logins.uncountTry(first);
      await logins.uncountTry(first);
      await logins.uncountTry({ now: now() });
      await spendRow(account);
      t.equal(await wait({ account }), SECOND, 'nobody got a try for it');

      const second = await guess({ account: newAccount() });
      await advance(2 * DAY);
      await logins.uncountTry(second);
      const { deviceId, ...known } = await remember();
      const third = await guess({ account: known.account, deviceId });
      await store.endAllSessions({ userId: known.account, reason: 'admin', now: now() });
      await logins.uncountTry(third);
      t.equal(await isKnown(known.account, deviceId), false, 'no device comes back by it');
    });
  });

  t.test('known devices', async (t) => {
    await t.test('are those that logged in, and belong to one account', async (t) => {
      const { account, deviceId } = await remember();
      t.equal(await isKnown(account, deviceId), true);
      t.equal(await isKnown(account, newDeviceId()), false);
      t.equal(await isKnown(newAccount(), deviceId), false);
      const other = await remember();
      t.equal(await isKnown(other.account, deviceId), false);
    });

    await t.test('what strangers and the address have spent does not touch them', async (t) => {
      const { account, deviceId } = await remember();
      const address = newAddress();
      for (let n = 0; n < PER_IDENTIFIER.max; n += 1) await guess({ account: newAccount(), address });
      t.match(await ask({ account: newAccount(), address }), { status: 'limited' });
      await spendRow(account);
      t.equal(await wait({ account }), SECOND);

      const mine = { account, address, deviceId, deviceLimit: PER_DEVICE, delay: { ...DELAY, after: 100 } };
      for (const remaining of [4, 3, 2, 1, 0]) {
        t.match(await ask(mine), { status: 'counted', limit: { max: 5, remaining, resetMs: MINUTE } });
      }
      await advance(20 * SECOND);
      for (let n = 0; n < 3; n += 1) {
        t.strictSame(await ask(mine), {
          status: 'limited',
          limit: { max: 5, remaining: 0, resetMs: 40 * SECOND },
        });
      }
      await advance(40 * SECOND);
      t.match(await ask(mine), { status: 'counted', limit: { max: 5, remaining: 4, resetMs: MINUTE } });
      t.equal(await wait({ account }), 0, 'and what they spend is not the strangers’');
      t.equal(await wait({ account }), 2 * SECOND);
    });

    await t.test('what they spend is not the address’s', async (t) => {
      const { account, deviceId } = await remember();
      const address = newAddress();
      for (let n = 0; n < 10; n += 1) {
        const { row, ...ofAddress } = await guess({
          account,
          address,
          deviceId,
          delay: { ...DELAY, after: 100 },
        });
        t.ok(row);
        await logins.uncountTry(ofAddress);
      }
      t.match(await ask({ account, address }), { status: 'counted', limit: { max: 5, remaining: 4 } });
    });

    await t.test('they wait by a row of their own', async (t) => {
      const { user, account, deviceId } = await remember();
      const other = (await remember(user)).deviceId;
      await spendRow(account, deviceId);
      for (const seconds of [1, 2, 3, 3]) {
        t.match(await ask({ account, deviceId }), { status: 'delayed', retryMs: seconds * SECOND });
        await advance(seconds * SECOND);
        await guess({ account, deviceId });
      }
      t.equal(await isKnown(account, other), true, 'another device need not');
      t.equal(await wait({ account }), 0, 'nor need strangers');
      await logins.endRow({ account, deviceId, now: now() });
      for (let n = 1; n < DELAY.after; n += 1) t.equal(await wait({ account, deviceId }), 0);

      await guess({ account, deviceId });
      t.equal(await wait({ account, deviceId }), SECOND);
      await remember(user, deviceId);
      for (let n = 1; n < DELAY.after; n += 1) t.equal(await wait({ account, deviceId }), 0);
    });

    await t.test('of two refusals the longer one is told here too', async (t) => {
      const { account, deviceId } = await remember();
      const mine = { account, deviceId, deviceLimit: { max: 4, windowMs: MINUTE } };
      await spendRow(account, deviceId);
      t.match(await ask(mine), { status: 'limited', limit: { resetMs: MINUTE } });
      const long = { ...DELAY, stepMs: 2 * MINUTE, maxMs: 2 * MINUTE };
      t.match(await ask({ ...mine, delay: long }), { status: 'delayed', retryMs: 2 * MINUTE });
    });

    await t.test('a login leaves what is left of their window', async (t) => {
      const { user, account, deviceId } = await remember();
      const mine = { account, deviceId, deviceLimit: PER_DEVICE };
      await guess(mine);
      await remember(user, deviceId);
      t.match(await ask(mine), { status: 'counted', limit: { remaining: 3 } });
    });

    await t.test('a try of theirs is taken back from them alone', async (t) => {
      const { account, deviceId } = await remember();
      const [address, mine] = [newAddress(), { account, deviceId, deviceLimit: PER_DEVICE }];
      await spendRow(account, deviceId);
      await advance(SECOND);
      const counted = await guess({ ...mine, address });
      t.match(await ask(mine), { status: 'limited', limit: { remaining: 0 } });
      await logins.uncountTry(counted);
      t.match(await ask({ ...mine, address }), { status: 'counted', limit: { remaining: 0 } });
      t.match(await ask({ account, address: counted.address?.address ?? address }), {
        status: 'counted',
        limit: { max: 5 },
      });
    });

    await t.test('as many tries at once as one after the other', async (t) => {
      const { account, deviceId } = await remember();
      const guessers = [logins, bench.other.logins].map((each) => createGuesser(each, now));
      const verdicts = await Promise.all(
        Array.from({ length: 20 }, (_, n) => guessers[n % 2]!.ask({ account, deviceId })),
      );
      t.equal(verdicts.filter(({ status }) => status === 'counted').length, DELAY.after);
    });

    const ends: Record<string, (holder: Awaited<ReturnType<typeof remember>>) => Promise<unknown>> = {
      'logging out everywhere': ({ account, token }) =>
        store.endAllSessions({
          userId: account,
          reason: 'logout_all',
          caller: checkInput(token),
          now: now(),
        }),
      'the staff': ({ account }) => store.endAllSessions({ userId: account, reason: 'admin', now: now() }),
      'a new password': async ({ user, account }) => {
        await store.fenceUser({ userId: account, fenceId: 'f', now: now() });
        const changed = raiseVersion(user, { authVersion: 2 });
        const endSessions = 'password_change';
        await store.publishUser({ userId: account, fenceId: 'f', user: changed, endSessions, now: now() });
      },
      'the end of the account': async ({ account }) => {
        await store.fenceUser({ userId: account, fenceId: 'f', now: now() });
        await store.publishUser({ userId: account, fenceId: 'f', user: null, now: now() });
      },
      'forgetting the sessions': ({ account }) => store.forgetSessions({ userId: account }),
    };
    for (const [name, end] of Object.entries(ends)) {
      await t.test(`${name} ends them all`, async (t) => {
        const holder = await remember();
        const second = (await remember(holder.user)).deviceId;
        await end(holder);
        t.equal(await isKnown(holder.account, holder.deviceId), false);
        t.equal(await isKnown(holder.account, second), false);
      });
    }

    await t.test('what ends no session leaves them', async (t) => {
      const { user, account, deviceId, token } = await remember();
      await store.endSession({ userId: account, sessionId: token.sessionId, reason: 'logout' });
      const caller = checkInput(token, { jti: accessJti(token) });
      const refused = await store.endAllSessions({
        userId: account,
        reason: 'logout_all',
        caller,
        now: now(),
      });
      t.match(refused, { status: 'ended' });
      await store.fenceUser({ userId: account, fenceId: 'f', now: now() });
      const changed = raiseVersion(user, { firstName: 'Changed' });
      await store.publishUser({ userId: account, fenceId: 'f', user: changed, now: now() });
      t.equal(await isKnown(account, deviceId), true);
    });

    await t.test('a login overtaken by a new password, or the account’s end, brings none', async (t) => {
      const { user, account } = await remember();
      await open(raiseVersion(user, { authVersion: 2 }));
      const late = newDeviceId();
      await spendRow(account);
      await open(user, { deviceId: late });
      t.equal(await wait({ account, deviceId: late }), SECOND, 'and it ends no row');

      const gone = await remember();
      await ends['the end of the account']!(gone);
      await open(gone.user, { deviceId: gone.deviceId });
      t.equal(await isKnown(gone.account, gone.deviceId), false);
    });

    await t.test('opening a session late, or twice, remembers nothing', async (t) => {
      const { user, account, deviceId, token } = await remember();
      await store.endAllSessions({ userId: account, reason: 'logout_all', now: now() });
      await open(user, { ...token, deviceId });
      t.equal(await isKnown(account, deviceId), false);
    });

    await t.test(`of more than ${DEVICES_KEPT} the oldest goes`, async (t) => {
      const user = makeUser();
      const all: string[] = [];
      for (let n = 0; n <= DEVICES_KEPT; n += 1) {
        all.push((await remember(user)).deviceId);
        await advance(SECOND);
      }
      const known = await Promise.all(all.map((deviceId) => isKnown(user.id, deviceId)));
      t.strictSame(known, [false, ...Array<boolean>(DEVICES_KEPT).fill(true)]);
    });

    await t.test('they are listed by when they last logged in, for this account alone', async (t) => {
      const { user, account, deviceId } = await remember();
      const [firstAt] = await logins.listDevices({ account, now: now() });
      t.equal(firstAt, now());
      await advance(SECOND);
      await remember(user);
      t.strictSame(await logins.listDevices({ account, now: now() }), [now(), now() - SECOND]);
      await advance(SECOND);
      await remember(user, deviceId);
      t.strictSame(await logins.listDevices({ account, now: now() }), [now(), now() - SECOND]);
      t.strictSame(
        await logins.listDevices({ account, now: now() - SECOND + DEVICE_LIFETIME_MS }),
        [now()],
        'one that was away for too long is not known',
      );
      t.strictSame(await logins.listDevices({ account: newTokenId(), now: now() }), []);
    });

    await t.test('one that came back stays before those that never did', async (t) => {
      const user = makeUser();
      const browser = (await remember(user)).deviceId;
      await remember(user, browser);
      for (let n = 0; n < 3 * DEVICES_KEPT; n += 1) {
        await advance(SECOND);
        await remember(user);
      }
      t.equal(await isKnown(user.id, browser), true);

      const all: string[] = [];
      for (let n = 0; n < DEVICES_KEPT; n += 1) {
        const { deviceId } = await remember(user);
        all.push(deviceId);
        await advance(SECOND);
        await remember(user, deviceId);
      }
      t.equal(await isKnown(user.id, browser), false, 'where all came back the oldest goes');
      const late = (await remember(user)).deviceId;
      t.equal(await isKnown(user.id, late), true, 'and a new one has its place');
      t.equal(await isKnown(user.id, all[0]!), false);
      t.equal(await isKnown(user.id, all[1]!), true);
    });

    await t.test('one that has not logged in for long is forgotten, though others have', async (t) => {
      const { user, account, deviceId } = await remember();
      await advance(DEVICE_LIFETIME_MS - DAY);
      t.equal(await isKnown(account, deviceId), true);
      const other = (await remember(user)).deviceId;
      await advance(DAY);
      t.equal(await isKnown(account, deviceId), false);
      t.equal(await isKnown(account, other), true);
      await remember(user);
      await advance(DEVICE_LIFETIME_MS - DAY);
      t.equal(await isKnown(account, other), false);
    });
  });
}

t.test('redis', async (t) => {
  const [url, prefix] = [sharedRedisUrl(), freshPrefix(t)];
  const counter = await countTrips(t, url);
  const store = createRedisStateStore({ url: counter.url, prefix });
  const admin = new Redis(url);
  t.teardown(async () => {
    await store.close();
    admin.disconnect();
  });
  const keys = createKeys(prefix);
  const bench: Pick<Bench, 'store' | 'now'> = { store, now: Date.now };
  const { open } = createHolder(bench);
  const { ask, guess } = createGuesser(store.logins, bench.now);
  const within = async (t: Test, key: string, ms: number) => {
    const ttl = await admin.pttl(key);
    t.ok(ttl > ms - 2 * SECOND && ttl <= ms, `${key.slice(prefix.length)}: ${ttl} of ${ms} ms`);
  };

  await t.test('keeps nothing for ever', async (t) => {
    const user = makeUser();
    const deviceId = newDeviceId();
    const counted = await guess({ account: user.id });
    await guess({ account: user.id });
    await within(t, keys.wrongPasswords(user.id), ROW_LIFETIME_MS);
    await admin.pexpire(keys.wrongPasswords(user.id), MINUTE);
    await store.logins.uncountTry(counted);
    await within(t, keys.wrongPasswords(user.id), MINUTE);
    await open(user, { deviceId });
    await within(t, keys.devices(user.id), DEVICE_LIFETIME_MS);
    await admin.pexpire(keys.devices(user.id), MINUTE);
    await store.logins.uncountTry(await guess({ account: user.id, deviceId }));
    await store.logins.endRow({ account: user.id, deviceId, now: Date.now() });
    await within(t, keys.devices(user.id), MINUTE);
    await guess({ account: user.id });
    for await (const batch of admin.scanStream({ match: `${prefix}*` })) {
      for (const key of batch as string[]) t.ok((await admin.pttl(key)) > 0, key.slice(prefix.length));
    }
  });

  await t.test('keeps the devices of a user small', async (t) => {
    const user = makeUser();
    const most = { max: 999_999_999, windowMs: 9999 * DAY };
    for (let n = 0; n < 2 * DEVICES_KEPT; n += 1) {
      const deviceId = newDeviceId();
      await open(user, { deviceId });
      await guess({ account: user.id, deviceId, deviceLimit: most });
    }
    const key = keys.devices(user.id);
    t.equal(await admin.hlen(key), DEVICES_KEPT);
    t.match(await admin.object('ENCODING', key), /^(listpack|ziplist)$/);
    const bytes = Number(await admin.memory('USAGE', key));
    t.ok(bytes < 2048, `${bytes} bytes for ${DEVICES_KEPT} devices`);
  });

  await t.test('is asked once, and once more where one slot counted in vain', async (t) => {
    const user = makeUser();
    const deviceId = newDeviceId();
    await open(user, { deviceId });
    const account = user.id;
    const address = newAddress();
    const spent = newAddress();
    for (let n = 0; n < PER_IDENTIFIER.max; n += 1) await guess({ account: makeUser().id, address: spent });
    const delayed = makeUser().id;
    for (let n = 0; n < DELAY.after; n += 1) await guess({ account: delayed });
    await guess({ account, deviceId });
    const calls: Record<string, [() => Promise<unknown>, number, number]> = {
      'a stranger': [() => ask({ account, address }), 1, 2],
      'a known device': [() => ask({ account, address, deviceId }), 1, 2],
      'refused by the address': [() => ask({ account, address: spent }), 2, 3],
      'delayed by the account': [() => ask({ account: delayed, address }), 2, 3],
      'refused by both': [() => ask({ account: delayed, address: spent }), 1, 2],
      'the end of a row': [() => store.logins.endRow({ account, deviceId, now: Date.now() }), 1, 1],
    };
    for (const [name, [call, trips, commands]] of Object.entries(calls)) {
      counter.reset();
      await call();
      t.same([counter.trips(), counter.commands().length], [trips, commands], name);
    }
    const counted = await guess({ account });
    counter.reset();
    await store.logins.uncountTry(counted);
    t.same([counter.trips(), counter.commands().length], [1, 2], 'taking back');
  });

  await t.test('where one slot is away, the other one takes the try back', async (t) => {
    const runner = connectRedis({ url });
    t.teardown(() => runner.close());
    const away = new AuthError('store_unavailable', { retryAfter: 1 });
    const without = (part: string): RedisRunner => ({
      ...runner,
      run: async (script, names, args) => {
        if (names.some((name) => name.includes(part))) throw away;
        return runner.run(script, names, args);
      },
    });
    const account = makeUser().id;
    const address = newAddress();
    const input = { account, address };
    const [noAccounts, noAddresses] = [`{${account}}`, '{ip:'].map((part) =>
      createGuesser(createRedisLoginStore(without(part), keys), Date.now),
    );
    for (let n = 0; n < 2 * PER_ADDRESS.max; n += 1) {
      await t.rejects(noAccounts!.ask(input), { code: 'store_unavailable' });
      await t.rejects(noAddresses!.ask(input), { code: 'store_unavailable' });
    }
    t.match(await ask(input), { status: 'counted', limit: { remaining: 4 } });
    t.equal(await admin.get(keys.wrongPasswords(account)).then((row) => row?.split(' ')[0]), '1');
  });

  await t.test('away it passes no verdict', async (t) => {
    const gone = createRedisStateStore({ url: `redis://127.0.0.1:${await freePort()}`, prefix });
    t.teardown(() => gone.close());
    const { ask } = createGuesser(gone.logins, Date.now);
    const counted = { row: { account: newTokenId(), deviceId: undefined }, now: 1 };
    const calls: (() => Promise<unknown>)[] = [
      () => ask({ account: newTokenId() }),
      () => gone.logins.uncountTry(counted),
      () => gone.logins.endRow({ account: newTokenId(), deviceId: undefined, now: 1 }),
    ];
    for (const call of calls) {
      await t.rejects(call(), { code: 'store_unavailable', retryAfter: 1 });
    }
  });
});
