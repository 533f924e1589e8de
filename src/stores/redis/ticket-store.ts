import type { TicketStore } from '../../accounts/ticket-store.js';
import type { Keys } from '../keys.js';
import { defineScript, type RedisRunner } from './client.js';
import * as ticketLua from './scripts/ticket.js';

const scripts = {
  open: defineScript(ticketLua.openTicket),
  find: defineScript(ticketLua.findTicket),
  take: defineScript(ticketLua.takeTicket),
};

interface Stored {
  sealed: string;
  endsAt: number;
}

export function createRedisTicketStore(redis: RedisRunner, keys: Keys): TicketStore {
  const ask = async (script: 'find' | 'take', hash: string, now: number): Promise<string | undefined> => {
    const text = await redis.run(scripts[script], [keys.ticket(hash)], []);
    if (typeof text !== 'string') return undefined;
    const { sealed, endsAt } = JSON.parse(text) as Stored;
    return now < endsAt ? sealed : undefined;
  };

  return {
    async open({ hash, sealed, lifetimeMs, now }) {
      const stored: Stored = { sealed, endsAt: now + lifetimeMs };
      await redis.run(scripts.open, [keys.ticket(hash)], [JSON.stringify(stored), lifetimeMs]);
    },
    find: ({ hash, now }) => ask('find', hash, now),
    take: ({ hash, now }) => ask('take', hash, now),
  };
}
