import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import type { EndReason } from '../../accounts/user.js';
import type {
  EventCount,
  EventFilter,
  EventPage,
  EventStore,
  EventSummary,
  EventType,
  StoredEvent,
} from '../../audit/events.js';
import type { FieldCipher } from '../../audit/field-cipher.js';
import { limitAddress } from '../../security/client-address.js';
import type { Dialect } from './database.js';
import { run } from './errors.js';
import type { EventWriter } from './event-writer.js';
import type { EventsTable, Schema } from './schema.js';

export interface EventStoreOptions {
  dialect: Dialect;
  cipher: FieldCipher;
  write: EventWriter;
}

/** What an owner of an account is not shown: it repeats what stands beside it. */
const FOR_OPERATORS: readonly EventType[] = ['otp_verified', 'alert', 'alert_undelivered', 'events_dropped'];

/** Of each suspect; more of them in the time in question change no verdict. */
const SUMMARIZED = 1000;

export function createEventStore(
  db: Kysely<Schema>,
  { dialect, cipher, write }: EventStoreOptions,
): EventStore {
  const isSqlite = dialect === 'sqlite';

  /**
   * One page of those that meet `filter` and one more condition. Pages are ranges of (at, id), on which every index
   * ends: nothing is sorted, and what the page before ended on is looked up by its key.
   */
  function selectPage(filter: EventFilter, { before, limit }: EventPage, branch: Branch) {
    const { userId, actorId, sessionId, types, from, to } = filter;
    let query = db.selectFrom('events').selectAll();
    if (userId !== undefined) query = query.where('user_id', '=', userId);
    if (actorId !== undefined) query = query.where('actor_id', '=', actorId);
    if (sessionId !== undefined) query = query.where('session_id', '=', sessionId);
    if (branch.ipKey !== undefined) query = query.where('ip_key', '=', branch.ipKey);
    if (branch.type !== undefined) query = query.where('type', '=', branch.type);
    else if (types !== undefined) query = query.where('type', 'in', types);
    if (from !== undefined) query = query.where('at', '>=', from);
    if (to !== undefined) query = query.where('at', '<', to);
    if (before !== undefined) {
      // Where it has been deleted meanwhile, the one before it.
      const last = sql`(select at from events where id <= ${before} order by id desc limit 1)`;
      query = query.where(sql<boolean>`(at, id) < (${last}, ${before})`);
    }
    return query.orderBy('at', 'desc').orderBy('id', 'desc').limit(limit);
  }

  return {
    async insert(events) {
      if (events.length > 0) await run(() => write(db, events));
    },

    async tally(tallies) {
      const upsert = db
        .insertInto('event_counts')
        .values([...tallies])
        .onConflict((row) =>
          row.columns(['at', 'type']).doUpdateSet({ count: sql`event_counts.count + excluded.count` }),
        );
      await run(() => upsert.execute());
    },

    async list(filter, page) {
      const [first, ...others] = branchesOf(filter, cipher).map((branch) => selectPage(filter, page, branch));
      if (!first) return [];
      // A union of ordered pages needs each in a subquery of its own: SQLite takes no order inside a union.
      const wrap = (query: typeof first) => db.selectFrom(query.as('branch')).selectAll();
      const rows = await run(() =>
        others.length === 0
          ? first.execute()
          : others
              .reduce((all, query) => all.unionAll(wrap(query)), wrap(first))
              .orderBy('at', 'desc')
              .orderBy('id', 'desc')
              .limit(page.limit)
              .execute(),
      );
      return rows.map((row) => toEvent(row, cipher));
    },

    async listOfUser(userId, page) {
      const query = selectPage({ userId }, page, {}).where('type', 'not in', FOR_OPERATORS);
      return (await run(() => query.execute())).map((row) => toEvent(row, cipher));
    },

    async count(spans, types) {
      const asked = JSON.stringify(spans.map(({ from, to }, span) => ({ span, from, to })));
      // The spans first, then a range of the key for each.
      const spansOf = isSqlite
        ? sql`(select value ->> 'span' as span, value ->> 'from' as start, value ->> 'to' as stop
              from json_each(${asked})) span cross join event_counts`
        : sql`(select span, "from" as start, "to" as stop
              from json_to_recordset(${asked}::json) as span (span int, "from" bigint, "to" bigint)) span
              join event_counts on true`;
      const { rows } = await run(() =>
        sql<EventCount>`
          select span.span, event_counts.type, cast(sum(event_counts.count) as bigint) as count
          from ${spansOf}
          where event_counts.at >= span.start and event_counts.at < span.stop
            and event_counts.type in (${sql.join(types)})
          group by span.span, event_counts.type`.execute(db),
      );
      return rows;
    },

    async summarize({ ips, userIds, since }) {
      const byKey = new Map(ips.map((ip) => [cipher.fingerprint(limitAddress(ip)), ip]));
      const branches = [
        ...[...byKey.keys()].map((key) => summarizeOne('ip', key, since)),
        ...userIds.map((id) => summarizeOne('user', id, since)),
      ];
      if (branches.length === 0) return [];
      const { rows } = await run(() =>
        sql<EventSummary>`${sql.join(branches, sql` union all `)}`.execute(db),
      );
      return rows.map((row) => (row.of === 'ip' ? { ...row, value: byKey.get(row.value) as string } : row));
    },
  };
}

/**
 * What a list asks for as questions that one index each answers by itself: an address may be stored under several
 * keys, and where nothing else narrows the list, each type is a range of its own.
 */
interface Branch {
  ipKey?: string;
  type?: EventType;
}

function branchesOf(filter: EventFilter, cipher: FieldCipher): Branch[] {
  const { ip, types, userId, actorId, sessionId } = filter;
  if (ip !== undefined) return cipher.fingerprints(limitAddress(ip)).map((ipKey) => ({ ipKey }));
  if (userId !== undefined || actorId !== undefined || sessionId !== undefined || !types) return [{}];
  return types.map((type) => ({ type }));
}

/** No more than one range of one index, however busy the address is. */
function summarizeOne(of: EventSummary['of'], value: string, since: number): RawBuilder<unknown> {
  const [own, other] = of === 'ip' ? ['ip_key', 'user_id'] : ['user_id', 'ip_key'];
  return sql`
    select ${sql.lit(of)} as of, ${value} as value, type, cast(count(*) as integer) as count,
      cast(count(distinct other) as integer) as others,
      cast(sum(case when other is null then 1 else 0 end) as integer) as unknown
    from (
      select type, ${sql.ref(other as string)} as other from events
      where ${sql.ref(own as string)} = ${value} and at >= ${since}
      order by at desc, id desc limit ${sql.lit(SUMMARIZED)}
    ) as recent
    group by type`;
}

function toEvent(row: Selectable<EventsTable>, cipher: FieldCipher): StoredEvent {
  const uid = row.uid ?? undefined;
  const open = (field: 'ip' | 'user_agent'): string | undefined => {
    const stored = row[field];
    return stored === null ? undefined : cipher.open(stored, `${uid}:${field}`);
  };
  const [ip, userAgent] = [open('ip'), open('user_agent')];
  const isUnreadable =
    (ip === undefined && row.ip !== null) || (userAgent === undefined && row.user_agent !== null);
  return {
    id: row.id,
    uid,
    at: row.at,
    type: row.type as EventType,
    userId: row.user_id ?? undefined,
    actorId: row.actor_id ?? undefined,
    sessionId: row.session_id ?? undefined,
    reason: (row.reason as EndReason | null) ?? undefined,
    ip,
    userAgent,
    detail: row.detail === null ? undefined : JSON.parse(row.detail),
    ...(isUnreadable && { unreadable: true as const }),
  };
}
