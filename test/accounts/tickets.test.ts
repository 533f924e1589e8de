import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { Ticket, TicketStore } from '../../src/accounts/ticket-store.js';
import { createTickets } from '../../src/accounts/tickets.js';
import { createFieldCipher } from '../../src/audit/field-cipher.js';
import { storeUnavailable } from '../../src/errors.js';

const TICKETS: Ticket[] = [
  { kind: 'reset', userId: 'user-one', emailKey: 'zoë@example.com', authVersion: 3 },
  { kind: 'verify', userId: 'user-one', emailKey: 'zoë@example.com', authVersion: 1 },
  {
    kind: 'email_change',
    userId: 'user-one',
    email: { display: 'Zoë@Example.com', key: 'zoë@example.com' },
    authVersion: 2,
  },
];
const [RESET] = TICKETS as [Ticket];

const cipherFor = (token: string) => createFieldCipher([token]);

/** Shows what a store is told. */
function scene() {
  const kept = new Map<string, string>();
  const store: TicketStore = {
    open: async ({ hash, sealed }) => void kept.set(hash, sealed),
    find: async ({ hash }) => kept.get(hash),
    async take({ hash }) {
      const sealed = kept.get(hash);
      kept.delete(hash);
      return sealed;
    },
  };
  return { kept, tickets: createTickets({ store, cipherFor, now: Date.now }) };
}

t.test('its token opens a ticket', async (t) => {
  const { tickets } = scene();
  for (const ticket of TICKETS) {
    const token = await tickets.open(ticket);
    t.match(token, /^[\w-]{43}$/);
    t.strictSame(await tickets.find(token, ticket.kind), ticket);
    t.equal(await tickets.spend(token, async () => 'done'), 'done');
    await t.rejects(tickets.find(token, ticket.kind), { code: 'ticket_invalid' });
    await t.rejects(
      tickets.spend(token, async () => t.fail('it is spent')),
      { code: 'ticket_invalid' },
    );
  }
});

t.test('a store learns neither the token nor whose ticket it is', async (t) => {
  const { kept, tickets } = scene();
  for (const ticket of TICKETS) {
    kept.clear();
    const token = await tickets.open(ticket);
    const told = JSON.stringify([...kept]);
    for (const secret of [token, 'example', '@Example', 'user-one', ticket.kind])
      t.notOk(told.includes(secret), `${ticket.kind}: ${secret}`);
  }
});

t.test('what stands under another token’s hash is no ticket', async (t) => {
  const { kept, tickets } = scene();
  const [mine, other] = [await tickets.open(RESET), await tickets.open(RESET)];
  const [hash, sealed] = [[...kept.keys()][0] as string, [...kept.values()][1] as string];
  kept.set(hash, sealed);
  await t.rejects(tickets.find(mine, 'reset'), { code: 'ticket_invalid' });
  t.strictSame(await tickets.find(other, 'reset'), RESET);
  for (const wrong of ['', 'x', randomBytes(32).toString('base64url'), `${other}=`])
    await t.rejects(tickets.find(wrong, 'reset'), { code: 'ticket_invalid' });
  await t.rejects(tickets.find(other, 'verify', 'email_change'), { code: 'ticket_invalid' });
});

t.test('it is good again where a store broke the work off, and after nothing else', async (t) => {
  const { tickets } = scene();
  const token = await tickets.open(RESET);
  const away = storeUnavailable(new Error('away'));
  await t.rejects(
    tickets.spend(token, () => Promise.reject(away)),
    away,
  );
  t.strictSame(await tickets.find(token, 'reset'), RESET);
  await t.rejects(
    tickets.spend(token, () => Promise.reject(new Error('a bug'))),
    { message: 'a bug' },
  );
  await t.rejects(tickets.find(token, 'reset'), { code: 'ticket_invalid' });
});
