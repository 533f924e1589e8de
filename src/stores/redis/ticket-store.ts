import type { Ticket, TicketStore } from '../../accounts/ticket-store.js';
import type { Keys } from '../keys.js';
import { defineScript, type RedisRunner } from './client.js';
import * as ticketLua from './scripts/ticket.js';

const scripts = {
  open: defineScript(ticketLua.openTicket),
  find: defineScript(ticketLua.findTicket),
  take: defineScript(ticketLua.takeTicket),
};

interface Stored {
  ticket: Ticket;
  endsAt: number;
}

export function createRedisTicketStore(redis: RedisRunner, keys: Keys): TicketStore {
  const ask = async (script: 'find' | 'take', hash: string, now: number): Promise<Ticket | undefined> => {
    const text = await redis.run(scripts[script], [keys.ticket(hash)], []);
    if (typeof text !== 'string') return undefined;
    const { ticket, endsAt } = JSON.parse(text) as Stored;
    return now < endsAt ? ticket : undefined;
  };

  return {
    async open({ hash, ticket, lifetimeMs, now }) {
      const stored: Stored = { ticket, endsAt: now + lifetimeMs };
      await redis.run(scripts.open, [keys.ticket(hash)], [JSON.stringify(stored), lifetimeMs]);
    },
    find: ({ hash, now }) => ask('find', hash, now),
    take: ({ hash, now }) => ask('take', hash, now),
  };
}
