import { type Kysely, sql } from 'kysely';
import type { CleaningStore, Resealed } from '../../audit/cleaning.js';
import type { FieldCipher } from '../../audit/field-cipher.js';
import { newEventId } from '../../lib/ids.js';
import { limitAddress } from '../../security/client-address.js';
import type { Dialect } from './database.js';
import { run } from './errors.js';
import type { Schema } from './schema.js';

export interface CleaningStoreOptions {
  dialect: Dialect;
  cipher: FieldCipher;
}

const JOB = 'clean';

export function createCleaningStore(
  db: Kysely<Schema>,
  { dialect, cipher }: CleaningStoreOptions,
): CleaningStore {
  return {
    keyId: cipher.keyId,

    async lease({ now, until, held }) {
      const row = await run(() =>
        db
          .insertInto('jobs')
          .values({ name: JOB, leased_until: until })
          .onConflict((conflict) =>
            conflict
              .column('name')
              .doUpdateSet({ leased_until: until })
              .where((e) => e.or([e('jobs.leased_until', '<=', now), e('jobs.leased_until', '=', held)])),
          )
          .returning('progress')
          .executeTakeFirst(),
      );
      return row && { progress: row.progress ?? undefined };
    },

    async saveProgress(progress) {
      await run(() => db.updateTable('jobs').set({ progress }).where('name', '=', JOB).execute());
    },

    async deleteEvents(before, limit) {
      const { numDeletedRows } = await run(() =>
        db
          .deleteFrom('events')
          .where('id', 'in', (e) =>
            e.selectFrom('events').select('id').where('at', '<', before).orderBy('at').limit(limit),
          )
          .executeTakeFirst(),
      );
      return Number(numDeletedRows);
    },

    async deleteCounts(before, limit) {
      const { numDeletedRows } = await run(() =>
        db
          .deleteFrom('event_counts')
          .where((e) =>
            e(
              e.refTuple('at', 'type'),
              'in',
              e
                .selectFrom('event_counts')
                .select(['at', 'type'])
                .where('at', '<', before)
                .orderBy('at')
                .limit(limit)
                .$asTuple('at', 'type'),
            ),
          )
          .executeTakeFirst(),
      );
      return Number(numDeletedRows);
    },

    async deleteWebhooks(before, limit) {
      const { numDeletedRows } = await run(() =>
        db
          .deleteFrom('webhook_deliveries')
          .where('id', 'in', (e) =>
            e.selectFrom('webhook_deliveries').select('id').where('created_at', '<', before).limit(limit),
          )
          .executeTakeFirst(),
      );
      return Number(numDeletedRows);
    },

    async deleteTokens(now, limit) {
      const { numDeletedRows } = await run(() =>
        db
          .deleteFrom('revoked_tokens')
          .where((e) =>
            e(
              e.refTuple('legacy_id', 'jti'),
              'in',
              e
                .selectFrom('revoked_tokens')
                .select(['legacy_id', 'jti'])
                .where('expires_at', '<=', now)
                .orderBy('expires_at')
                .limit(limit)
                .$asTuple('legacy_id', 'jti'),
            ),
          )
          .executeTakeFirst(),
      );
      return Number(numDeletedRows);
    },

    async deleteState(now, limit) {
      if (dialect !== 'sqlite') return 0;
      // In a transaction, which waits for its turn among the processes that share the file.
      const { numAffectedRows = 0n } = await run(() =>
        db.transaction().execute((tx) =>
          sql`delete from state where key in (
            select key from state where expires_at <= ${now} order by expires_at limit ${limit}
          )`.execute(tx),
        ),
      );
      return Number(numAffectedRows);
    },

    async reseal({ after, before, limit }) {
      const rows = await run(() =>
        db
          .selectFrom('events')
          .select(['id', 'at', 'uid', 'ip', 'ip_key', 'user_agent'])
          .where('id', '>', after)
          .orderBy('id')
          .limit(limit)
          .execute(),
      );
      const firstYoung = rows.findIndex(({ at }) => at >= before);
      const settled = firstYoung < 0 ? rows : rows.slice(0, firstYoung);
      const found = settled.map((row) => resealRow(row, cipher));
      const changes = found.flatMap((row) => (row === 'unreadable' || row === 'current' ? [] : [row]));
      if (changes.length > 0) await run(() => applyChanges(db, dialect, changes));
      return {
        last: settled.at(-1)?.id,
        changed: changes.length,
        unreadable: found.filter((row) => row === 'unreadable').length,
      } satisfies Resealed;
    },
  };
}

interface Fields {
  id: number;
  uid: string | null;
  ip: string | null;
  ip_key: string | null;
  user_agent: string | null;
}

/** With what was there before: what has changed meanwhile, because its account was deleted, stays as it is. */
interface Change extends Fields {
  old_ip: string | null;
  old_user_agent: string | null;
}

function resealRow(
  { id, uid, ip, ip_key, user_agent }: Fields,
  cipher: FieldCipher,
): Change | 'current' | 'unreadable' {
  const isCurrent = [ip, user_agent].every((stored) => stored === null || cipher.isCurrent(stored));
  if (isCurrent) return 'current';
  const [address, agent] = [
    ip && cipher.open(ip, `${uid}:ip`),
    user_agent && cipher.open(user_agent, `${uid}:user_agent`),
  ];
  if (address === undefined || agent === undefined) return 'unreadable';
  // One that an older release wrote has none.
  const identity = uid ?? newEventId();
  return {
    id,
    uid: identity,
    ip: address && cipher.seal(address, `${identity}:ip`),
    ip_key: address ? cipher.fingerprint(limitAddress(address)) : ip_key,
    user_agent: agent && cipher.seal(agent, `${identity}:user_agent`),
    old_ip: ip,
    old_user_agent: user_agent,
  };
}

async function applyChanges(db: Kysely<Schema>, dialect: Dialect, changes: readonly Change[]): Promise<void> {
  const json = JSON.stringify(changes);
  const change =
    dialect === 'sqlite'
      ? sql`(select value ->> 'id' as id, value ->> 'uid' as uid, value ->> 'ip' as ip,
              value ->> 'ip_key' as ip_key, value ->> 'user_agent' as user_agent,
              value ->> 'old_ip' as old_ip, value ->> 'old_user_agent' as old_user_agent
            from json_each(${json})) as change`
      : sql`json_to_recordset(${json}::json) as change (
              id bigint, uid uuid, ip text, ip_key text, user_agent text, old_ip text, old_user_agent text
            )`;
  await db.transaction().execute((tx) =>
    sql`
      update events set uid = change.uid, ip = change.ip, ip_key = change.ip_key, user_agent = change.user_agent
      from ${change}
      where events.id = change.id
        and events.ip is not distinct from change.old_ip
        and events.user_agent is not distinct from change.old_user_agent`.execute(tx),
  );
}
