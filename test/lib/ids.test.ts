import t from 'tap';
import { newAccountId, newDeviceId, newEventId, newTokenId } from '../../src/lib/ids.js';

t.test('ids are of their form, and none comes twice', async (t) => {
  const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  for (const [make, form] of [
    [newAccountId, uuid7],
    [newEventId, uuid7],
    [newTokenId, /^[0-9a-f]{32}$/],
    [newDeviceId, /^[\w-]{22}$/],
  ] as const) {
    // More than are drawn at once, for both that share a store of random bytes.
    const ids = Array.from({ length: 1000 }, make);
    t.equal(new Set(ids).size, 1000);
    t.same(
      ids.filter((id) => !form.test(id)),
      [],
    );
  }
});

t.test('every bit of a device differs among many', async (t) => {
  const ones = new Array<number>(128).fill(0);
  for (let count = 0; count < 1000; count++) {
    const bytes = Buffer.from(newDeviceId(), 'base64url');
    for (let bit = 0; bit < 128; bit++) ones[bit]! += ((bytes[bit >> 3] as number) >> (bit & 7)) & 1;
  }
  // Ten standard deviations of a thousand tosses of a coin.
  t.ok(
    ones.every((count) => Math.abs(count - 500) < 160),
    `${Math.min(...ones)} to ${Math.max(...ones)}`,
  );
});
