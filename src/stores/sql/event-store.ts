import type { Insertable, Kysely } from 'kysely';
import type { EndReason } from '../../accounts/user.js';
import type { EventStore, EventType, SecurityEvent } from '../../audit/events.js';
import { run } from './errors.js';
import type { EventsTable, Schema } from './schema.js';

export function createEventStore(db: Kysely<Schema>): EventStore {
  return {
    async insert(events) {
      await run(() => db.insertInto('events').values(events.map(toRow)).execute());
    },

    async listOfUser(userId, { before, limit }) {
      let query = db.selectFrom('events').selectAll().where('user_id', '=', userId);
      if (before !== undefined) query = query.where('id', '<', before);
      const rows = await run(() => query.orderBy('id', 'desc').limit(limit).execute());
      return rows.map((row) => ({
        id: row.id,
        at: row.at,
        type: row.type as EventType,
        userId: row.user_id ?? undefined,
        sessionId: row.session_id ?? undefined,
        reason: (row.reason as EndReason | null) ?? undefined,
        ip: row.ip ?? undefined,
        userAgent: row.user_agent ?? undefined,
      }));
    },
  };
}

export const toRow = (event: SecurityEvent): Insertable<EventsTable> => ({
  at: event.at,
  type: event.type,
  user_id: event.userId ?? null,
  session_id: event.sessionId ?? null,
  reason: event.reason ?? null,
  ip: event.ip ?? null,
  user_agent: event.userAgent ?? null,
});
