import type Libsql from 'libsql';

/** One row while a transition works on it. What it changes here is written when the transition is done. */
export interface Row<Value> {
  readonly key: string;
  /** Undefined where there is none, or where it has expired; set to undefined, it is deleted. */
  value: Value | undefined;
  expiresAt: number;
}

/** The state table as one transition sees it, at one moment. */
export interface Rows {
  readonly now: number;
  /** The same key gives the same row. */
  load<Value>(key: string): Row<Value>;
  /** Every row whose key begins with `prefix`, for reading only. */
  scan<Value>(prefix: string): { rest: string; value: Value }[];
}

export interface StateTable {
  /** Runs a transition and writes the rows it changed. The caller has opened the SQL transaction. */
  transact<T>(now: number, transition: (rows: Rows) => T): T;
}

/** Every so many writes the expired rows go: up to twice as many, so that no flood outgrows the sweeping. */
const SWEEP_EVERY = 100;
const SWEEP_AT_MOST = 2 * SWEEP_EVERY;

/** Sorts after whatever a key may hold. */
const LAST_CHARACTER = '\u{10ffff}';

/** Keeps the prepared statements of one connection. */
export function createStateTable(db: Libsql.Database): StateTable {
  const get = db.prepare('select value, expires_at from state where key = ?').raw();
  const range = db.prepare('select key, value, expires_at from state where key >= ? and key < ?').raw();
  const put = db.prepare(`insert into state (key, value, expires_at) values (?, ?, ?)
    on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at`);
  const remove = db.prepare('delete from state where key = ?');
  const sweep = db.prepare(`delete from state where key in
    (select key from state where expires_at <= ? limit ${SWEEP_AT_MOST})`);
  let writes = 0;

  function write(row: Row<unknown>, text: string, now: number): void {
    put.run(row.key, text, row.expiresAt);
    if (writes++ % SWEEP_EVERY === 0) sweep.run(now);
  }

  return {
    transact(now, transition) {
      const loaded = new Map<string, { row: Row<unknown>; text: string | undefined; expiresAt: number }>();

      const result = transition({
        now,
        load<Value>(key: string) {
          const known = loaded.get(key);
          if (known) return known.row as Row<Value>;
          const found = get.get(key) as [string, number] | undefined;
          const [text, expiresAt] = found && found[1] > now ? found : [undefined, 0];
          const row: Row<Value> = { key, value: text && JSON.parse(text), expiresAt };
          loaded.set(key, { row, text, expiresAt });
          return row;
        },
        scan<Value>(prefix: string) {
          const found = range.all(prefix, prefix + LAST_CHARACTER) as [string, string, number][];
          return found
            .filter(([, , expiresAt]) => expiresAt > now)
            .map(([key, text]) => ({ rest: key.slice(prefix.length), value: JSON.parse(text) as Value }));
        },
      });

      for (const { row, text, expiresAt } of loaded.values()) {
        const changed: string | undefined = JSON.stringify(row.value);
        if (changed === text && row.expiresAt === expiresAt) continue;
        if (changed === undefined) remove.run(row.key);
        else write(row, changed, now);
      }
      return result;
    },
  };
}
