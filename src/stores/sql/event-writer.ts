import { type Kysely, sql } from 'kysely';
import type { EventType, SecurityEvent } from '../../audit/events.js';
import type { FieldCipher } from '../../audit/field-cipher.js';
import { QUARTER_MS } from '../../audit/time-buckets.js';
import { newEventId } from '../../lib/ids.js';
import { limitAddress } from '../../security/client-address.js';
import type { Dialect } from './database.js';
import type { Schema } from './schema.js';

/**
 * Stores events and counts them; of a login the account keeps the time. In a transaction it is part of that; else it is
 * one of its own. Whoever stores an event without it leaves the charts wrong and personal data in the clear.
 */
export type EventWriter = (db: Kysely<Schema>, events: readonly SecurityEvent[]) => Promise<void>;

export interface EventWriterOptions {
  cipher: FieldCipher;
  /** What is to be posted about an event of type `alert`; left out where alerts are posted nowhere. */
  describeAlert?: ((event: SecurityEvent) => string) | undefined;
}

const COLUMNS = [
  ...['uid', 'at', 'type', 'user_id', 'actor_id', 'session_id', 'reason'],
  ...['ip', 'ip_key', 'user_agent', 'detail'],
] as const;

/** What only somebody who still has an account may leave behind. */
const PERSONAL = new Set<string>(['user_id', 'session_id', 'ip', 'ip_key', 'user_agent']);

/** One event as the statements read it. */
interface EventRecord {
  uid: string;
  at: number;
  type: string;
  user_id: string | undefined;
  actor_id: string | undefined;
  session_id: string | undefined;
  reason: string | undefined;
  ip: string | undefined;
  ip_key: string | undefined;
  user_agent: string | undefined;
  detail: string | undefined;
  /** How it counts in the charts. */
  counted_at: number;
  counted_type: string;
  counted: number;
  message_id: string | undefined;
  message: string | undefined;
}

export function createEventWriter(
  dialect: Dialect,
  { cipher, describeAlert }: EventWriterOptions,
): EventWriter {
  const write = dialect === 'sqlite' ? writeInSqlite : writeInPostgres;

  function toRecord(event: SecurityEvent): EventRecord {
    const uid = event.once === undefined ? (event.uid ?? newEventId()) : cipher.nameUuid(event.once);
    const { ip, userAgent, detail, standsFor } = event;
    const message = event.type === 'alert' ? describeAlert?.({ ...event, uid }) : undefined;
    const messageId = message && `msg_${uid.replaceAll('-', '')}`;
    return {
      uid,
      at: event.at,
      type: event.type,
      user_id: event.userId,
      actor_id: event.actorId,
      session_id: event.sessionId,
      reason: event.reason,
      ip: ip && cipher.seal(ip, `${uid}:ip`),
      ip_key: ip && cipher.fingerprint(limitAddress(ip)),
      user_agent: userAgent && cipher.seal(userAgent, `${uid}:user_agent`),
      detail: detail && JSON.stringify(detail),
      counted_at: event.at - (event.at % QUARTER_MS),
      counted_type: standsFor?.type ?? event.type,
      counted: standsFor?.count ?? 1,
      message_id: messageId,
      message: message && cipher.seal(message, messageId as string),
    };
  }

  return async (db, events) => {
    const records = new Map(events.map(toRecord).map((record) => [record.uid, record]));
    await write(db, [...records.values()]);
  };
}

const LOGIN = sql.lit('login' satisfies EventType);

/** Batches of several servers come in any order. */
const isLater = sql`(users.last_login is null or users.last_login < login.at)`;

const columns = sql.join(COLUMNS.map((column) => sql.ref(column)));

/**
 * One statement for any number of events, which travel as one parameter: a busy server spends less on that than on
 * thousands of parameters. Rows of users are locked until the events stand; if one is being deleted, this waits, and
 * then finds nobody. Users first and then counts, each in one order, so that no two servers wait for each other.
 */
async function writeInPostgres(db: Kysely<Schema>, records: readonly EventRecord[]): Promise<void> {
  const values = COLUMNS.map((column) =>
    column === 'user_id'
      ? sql`owner.id`
      : PERSONAL.has(column)
        ? sql`case when event.user_id is null or owner.id is not null then ${sql.ref(`event.${column}`)} end`
        : sql.ref(`event.${column}`),
  );
  await sql`
    with event as (
      select * from json_to_recordset(${JSON.stringify(records)}::json) as event (
        uid uuid, at bigint, type text, user_id text, actor_id text, session_id text, reason text,
        ip text, ip_key text, user_agent text, detail text,
        counted_at bigint, counted_type text, counted bigint, message_id text, message text
      )
    ), owner as (
      select id from users where id in (select user_id from event) order by id for no key update
    ), logged_in as (
      update users set last_login = login.at
      from (select user_id, max(at) as at from event where type = ${LOGIN} group by 1) login
      join owner on owner.id = login.user_id
      where users.id = owner.id and ${isLater}
    ), stored as (
      insert into "events" (${columns})
      select ${sql.join(values)} from event left join owner on owner.id = event.user_id
      on conflict (uid) do nothing
      returning uid
    ), counted as (
      insert into event_counts (at, type, count)
      select counted_at, counted_type, sum(counted) from stored join event using (uid) group by 1, 2 order by 1, 2
      on conflict (at, type) do update set count = event_counts.count + excluded.count
    )
    insert into webhook_deliveries (id, body, created_at, next_at)
    select message_id, message, at, at from stored join event using (uid) where message is not null`.execute(
    db,
  );
}

/** The same in several statements, because here no statement changes several tables; and nobody else writes meanwhile. */
async function writeInSqlite(db: Kysely<Schema>, records: readonly EventRecord[]): Promise<void> {
  if (!db.isTransaction) {
    await db.transaction().execute((tx) => writeInSqlite(tx, records));
    return;
  }
  const values = COLUMNS.map((column) => {
    const value = sql`value ->> ${sql.lit(column)}`;
    if (column === 'user_id') return sql`users.id`;
    return PERSONAL.has(column)
      ? sql`case when value ->> 'user_id' is null or users.id is not null then ${value} end`
      : value;
  });
  const { rows } = await sql<{ uid: string }>`
    insert into "events" (${columns})
    select ${sql.join(values)}
    from json_each(${JSON.stringify(records)}) left join users on users.id = value ->> 'user_id'
    where true
    on conflict (uid) do nothing
    returning uid`.execute(db);
  const uids = new Set(rows.map(({ uid }) => uid));
  const stored = records.filter(({ uid }) => uids.has(uid));

  await sql`
    insert into event_counts (at, type, count)
    select value ->> 'counted_at', value ->> 'counted_type', sum(value ->> 'counted')
    from json_each(${JSON.stringify(stored)}) where true group by 1, 2
    on conflict (at, type) do update set count = event_counts.count + excluded.count`.execute(db);

  if (records.some(({ type }) => type === 'login')) {
    await sql`
      update users set last_login = login.at
      from (
        select value ->> 'user_id' as user_id, max(value ->> 'at') as at
        from json_each(${JSON.stringify(records)}) where value ->> 'type' = ${LOGIN} group by 1
      ) login
      where users.id = login.user_id and ${isLater}`.execute(db);
  }

  const messages = stored.flatMap(({ message_id: id, message, at }) =>
    id && message ? [{ id, body: message, created_at: at, next_at: at }] : [],
  );
  if (messages.length > 0) await db.insertInto('webhook_deliveries').values(messages).execute();
}
