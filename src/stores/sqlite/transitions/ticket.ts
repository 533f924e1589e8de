import type { Keys } from '../../keys.js';
import type { Rows } from '../rows.js';

export function openTicket(
  rows: Rows,
  keys: Keys,
  { hash, sealed, lifetimeMs }: { hash: string; sealed: string; lifetimeMs: number },
): void {
  const row = rows.load<string>(keys.ticket(hash));
  row.value = sealed;
  row.expiresAt = rows.now + lifetimeMs;
}

export const findTicket = (rows: Rows, keys: Keys, hash: string): string | undefined =>
  rows.load<string>(keys.ticket(hash)).value;

export function takeTicket(rows: Rows, keys: Keys, hash: string): string | undefined {
  const row = rows.load<string>(keys.ticket(hash));
  const ticket = row.value;
  row.value = undefined;
  return ticket;
}
