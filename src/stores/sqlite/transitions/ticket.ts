import type { Ticket } from '../../../accounts/ticket-store.js';
import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';

export function openTicket(
  rows: Rows,
  keys: Keys,
  { hash, ticket, lifetimeMs }: { hash: string; ticket: Ticket; lifetimeMs: number },
): void {
  const row = rows.load<Ticket>(keys.ticket(hash));
  row.value = ticket;
  row.expiresAt = rows.now + lifetimeMs;
}

export const findTicket = (rows: Rows, keys: Keys, hash: string): Ticket | undefined =>
  rows.load<Ticket>(keys.ticket(hash)).value;

export function takeTicket(rows: Rows, keys: Keys, hash: string): Ticket | undefined {
  const row = rows.load<Ticket>(keys.ticket(hash));
  const ticket = row.value;
  row.value = undefined;
  return ticket;
}
