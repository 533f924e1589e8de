import { createHash, randomBytes } from 'node:crypto';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import type { Ticket, TicketStore } from './ticket-store.js';

/** How long a link is good for (s). */
export const TICKET_LIFETIME = 30 * 60;

/** 256 random bits in base64url. */
const FORM = /^[\w-]{43}$/;

const CONTEXT = 'ticket';

export interface TicketsNeeds {
  store: TicketStore;
  /**
   * Encrypts and decrypts by a key that is a token, which no store knows: a ticket holds an address, and may outlive its
   * account by minutes.
   */
  cipherFor(token: string): {
    seal(text: string, context: string): string;
    /** `undefined`: it was sealed by another token, or for another context. */
    open(sealed: string, context: string): string | undefined;
  };
  now: Clock;
}

export type Tickets = ReturnType<typeof createTickets>;

/** Links that do something once: their tokens leave the service in e-mails only. */
export function createTickets({ store, cipherFor, now }: TicketsNeeds) {
  /** Gives the token of a new ticket. @throws store_unavailable */
  async function open(ticket: Ticket): Promise<string> {
    const token = randomBytes(32).toString('base64url');
    await keep(token, seal(ticket, token));
    return token;
  }

  const seal = (ticket: Ticket, token: string): string =>
    cipherFor(token).seal(JSON.stringify(ticket), CONTEXT);

  function unseal(sealed: string, token: string): Ticket | undefined {
    const text = cipherFor(token).open(sealed, CONTEXT);
    return text === undefined ? undefined : JSON.parse(text);
  }

  const keep = (token: string, sealed: string): Promise<void> =>
    store.open({ hash: hashOf(token), sealed, lifetimeMs: TICKET_LIFETIME * 1000, now: now() });

  /** What the token is good for, which is not spent by this. @throws ticket_invalid, store_unavailable */
  async function find<Kind extends Ticket['kind']>(
    token: string,
    ...kinds: Kind[]
  ): Promise<Extract<Ticket, { kind: Kind }>> {
    const sealed = FORM.test(token) ? await store.find({ hash: hashOf(token), now: now() }) : undefined;
    const ticket = sealed === undefined ? undefined : unseal(sealed, token);
    if (!ticket || !(kinds as string[]).includes(ticket.kind)) throw new AuthError('ticket_invalid');
    return ticket as Extract<Ticket, { kind: Kind }>;
  }

  /**
   * Spends the ticket and does what it is for. Of several that use it at once, one gets so far. Nobody knows what
   * became of work that a store broke off: it may be tried again, for it finds out by itself what has been done.
   * @throws ticket_invalid, store_unavailable, and what `work` throws
   */
  async function spend<T>(token: string, work: () => Promise<T>): Promise<T> {
    const sealed = await store.take({ hash: hashOf(token), now: now() });
    if (!sealed) throw new AuthError('ticket_invalid');
    try {
      return await work();
    } catch (error) {
      if (error instanceof AuthError && error.code === 'store_unavailable') {
        await keep(token, sealed).catch(() => undefined);
      }
      throw error;
    }
  }

  return { open, find, spend };
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64url');
