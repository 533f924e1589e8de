import type { Clock } from '../lib/clock.js';
import { newEventId } from '../lib/ids.js';
import type { EventType, SecurityEvent } from './events.js';

/** An event on its way to the database. */
export interface Waiting {
  event: SecurityEvent;
  room: Room;
  ticket: number;
  /** Somebody waits for it: called when it is stored, given up, or has to wait for a database that is away. */
  onSettled?: (() => void) | undefined;
}

export interface WaitingRooms {
  add(event: SecurityEvent, onSettled?: () => void): void;
  /** The next ones, what matters first; of the others none that came after `lastTicket`. */
  take(limit: number, lastTicket: number): Waiting[];
  putBack(batch: readonly Waiting[]): void;
  /** Of the newest event. */
  lastTicket(): number;
  size(): number;
  /** Lets everybody go who waits for an event. */
  settleAll(): void;
  /**
   * Adds an event for each type of which some were only counted, from time to time; at the end, at once. `false`: there
   * are some, and their time has not come.
   */
  tellDropped(options: { isLast: boolean }): boolean;
}

export interface WaitingRoomsNeeds {
  now: Clock;
  /** Told when events were dropped for want of room. */
  onDropped(count: number): void;
}

type Room = 'important' | 'routine' | 'anonymous';

/** What matters most. Each room overflows by itself: nothing that people do every day pushes out what they never do. */
const ROOMS: readonly Room[] = ['important', 'routine', 'anonymous'];

/** While SQL is away so many wait in memory, some megabytes in all; then the oldest of that room go. */
const MAX_WAITING: Record<Room, number> = { important: 10_000, routine: 10_000, anonymous: 2000 };

const EVERYDAY = new Set<EventType>([
  'login',
  'token_refreshed',
  'token_replayed',
  'logout',
  'session_deleted',
  'profile_changed',
  'otp_verified',
]);

/** What anybody can make happen as often as they like, without an account. */
const BY_STRANGERS = new Set<EventType>([
  'login_failed',
  'otp_sent',
  'otp_withheld',
  'otp_send_failed',
  'otp_send_suspected',
  'otp_failed',
  'password_reset_requested',
  'password_reset_withheld',
  'registration_repeated',
]);

/**
 * Of what strangers do to nobody's account, so many a second are stored as events, after a first burst; the rest is
 * only counted. A flood of a day then takes a gigabyte, and not the disk.
 */
const ANONYMOUS_PER_SECOND = 50;
const ANONYMOUS_BURST = 2000;

/** What was only counted is told this often (ms). */
const TELL_MS = 10_000;

/** Where events wait for the database, and what happens when there are too many of them. */
export function createWaitingRooms({ now, onDropped }: WaitingRoomsNeeds): WaitingRooms {
  const rooms: Record<Room, Waiting[]> = { important: [], routine: [], anonymous: [] };
  const dropped = new Map<EventType, number>();
  const budget = createBudget(now);
  let tickets = 0;
  let toldAt = Number.NEGATIVE_INFINITY;

  const size = (): number => ROOMS.reduce((sum, room) => sum + rooms[room].length, 0);

  function drop({ event, onSettled }: Omit<Waiting, 'room' | 'ticket'>): void {
    // One that stands for others takes them along.
    const { type, count } = event.standsFor ?? { type: event.type, count: 1 };
    dropped.set(type, (dropped.get(type) ?? 0) + count);
    onSettled?.();
  }

  function makeRoom(room: Room): void {
    const max = MAX_WAITING[room];
    if (rooms[room].length <= max) return;
    // A tenth at once: to copy and to tell for each single one would be a burden of its own.
    const tooMany = rooms[room].length - max + max / 10 - 1;
    for (const each of rooms[room].slice(0, tooMany)) drop(each);
    rooms[room] = rooms[room].slice(tooMany);
    onDropped(tooMany);
  }

  function add(event: SecurityEvent, onSettled?: () => void): void {
    const room = onSettled ? 'important' : roomOf(event);
    if (room === 'anonymous' && !budget.spend()) {
      drop({ event });
      return;
    }
    tickets += 1;
    rooms[room].push({ event, room, ticket: tickets, onSettled });
    makeRoom(room);
  }

  return {
    add,
    size,
    lastTicket: () => tickets,

    take(limit, lastTicket) {
      const taken: Waiting[] = [];
      for (const room of ROOMS) {
        const last = room === 'important' ? tickets : lastTicket;
        const waiting = rooms[room];
        let count = 0;
        while (count < limit - taken.length && (waiting[count]?.ticket ?? Number.POSITIVE_INFINITY) <= last)
          count += 1;
        taken.push(...waiting.slice(0, count));
        rooms[room] = waiting.slice(count);
      }
      return taken;
    },

    putBack(batch) {
      for (const room of ROOMS) {
        rooms[room] = [...batch.filter((each) => each.room === room), ...rooms[room]];
        makeRoom(room);
      }
    },

    settleAll() {
      for (const each of rooms.important) {
        each.onSettled?.();
        each.onSettled = undefined;
      }
    },

    tellDropped({ isLast }) {
      if (dropped.size === 0) return true;
      if (!isLast && now() < toldAt + TELL_MS) return false;
      toldAt = now();
      const counts = [...dropped];
      dropped.clear();
      for (const [type, count] of counts) {
        add({
          uid: newEventId(),
          type: 'events_dropped',
          at: toldAt,
          detail: { of: type, count },
          standsFor: { type, count },
        });
      }
      return true;
    },
  };
}

function roomOf({ type, userId }: SecurityEvent): Room {
  if (BY_STRANGERS.has(type)) return userId === undefined ? 'anonymous' : 'routine';
  return EVERYDAY.has(type) ? 'routine' : 'important';
}

/** A bucket that fills up again by the second. */
function createBudget(now: Clock): { spend(): boolean } {
  let left = ANONYMOUS_BURST;
  let filledAt = now();
  return {
    spend() {
      const seconds = Math.max(0, now() - filledAt) / 1000;
      left = Math.min(ANONYMOUS_BURST, left + seconds * ANONYMOUS_PER_SECOND);
      filledAt = now();
      if (left < 1) return false;
      left -= 1;
      return true;
    },
  };
}
