import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { ADAPTERS, type Adapter, MINUTE } from './state-store-bench.js';

const LIFETIME = 30 * MINUTE;

const SEALED = ['§1.of-one.text', 'of another, with "quotes" and ü'] as const;
const [FIRST] = SEALED;

const newHash = () => randomBytes(32).toString('base64url');

for (const adapter of ADAPTERS) t.test(adapter.name, (t) => contract(t, adapter));

/** What every adapter promises. */
async function contract(t: Test, adapter: Adapter): Promise<void> {
  const bench = await adapter.setUp(t);
  const { now } = bench;
  const { tickets } = bench.store;
  const elsewhere = bench.other.tickets;
  const open = async (sealed: string = FIRST): Promise<string> => {
    const hash = newHash();
    await tickets.open({ hash, sealed, lifetimeMs: LIFETIME, now: now() });
    return hash;
  };
  const find = (hash: string) => tickets.find({ hash, now: now() });
  const take = (hash: string, store = tickets) => store.take({ hash, now: now() });

  t.test('a ticket is what it was opened as, for other processes too', async (t) => {
    for (const sealed of SEALED) {
      const hash = await open(sealed);
      t.equal(await elsewhere.find({ hash, now: now() }), sealed);
      t.equal(await find(hash), sealed, 'looking at it does not spend it');
      t.equal(await take(hash, elsewhere), sealed);
      t.equal(await find(hash), undefined);
      t.equal(await take(hash), undefined, 'it is spent');
    }
  });

  t.test('nobody has a ticket that was never opened', async (t) => {
    t.equal(await find(newHash()), undefined);
    t.equal(await take(newHash()), undefined);
  });

  t.test('of several that take it at once one gets it', async (t) => {
    for (let round = 0; round < 10; round += 1) {
      const hash = await open();
      const taken = await Promise.all(
        Array.from({ length: 10 }, (_, n) => take(hash, n % 2 === 0 ? tickets : elsewhere)),
      );
      t.equal(taken.filter((ticket) => ticket !== undefined).length, 1);
    }
  });

  t.test('a new ticket leaves the older ones alone', async (t) => {
    const [first, second] = [await open(), await open()];
    t.equal(await take(second), FIRST);
    t.equal(await take(first), FIRST);
  });

  t.test('opening it twice is opening it once, and it can be put back', async (t) => {
    const hash = await open();
    await elsewhere.open({ hash, sealed: FIRST, lifetimeMs: LIFETIME, now: now() });
    t.equal(await take(hash), FIRST);
    t.equal(await take(hash), undefined);
    await tickets.open({ hash, sealed: FIRST, lifetimeMs: LIFETIME, now: now() });
    t.equal(await take(hash), FIRST);
  });

  t.test('it ends by the clock of the caller', async (t) => {
    const [looked, taken, last] = [await open(), await open(), await open()];
    const openedAt = now();
    t.equal(await tickets.find({ hash: last, now: openedAt + LIFETIME - 1 }), FIRST);
    t.equal(await tickets.find({ hash: looked, now: openedAt + LIFETIME }), undefined);
    t.equal(await tickets.take({ hash: taken, now: openedAt + LIFETIME }), undefined);
    await bench.advance(LIFETIME);
    t.equal(await find(last), undefined);
  });
}
