import type { Compilable, CompiledQuery, Kysely } from 'kysely';
import type { Schema } from './schema.js';

/**
 * A statement that every login runs: its text is made once. `query` is built with any values; the parameters of a call
 * take their places, in the order in which they stand in the text.
 */
export function prepare<Row>(
  db: Kysely<Schema>,
  query: Compilable<Row>,
): (...parameters: unknown[]) => Promise<Row[]> {
  let compiled: CompiledQuery<Row> | undefined;
  return async (...parameters) => {
    compiled ??= query.compile();
    const { rows } = await db.executeQuery<Row>({ ...compiled, parameters });
    return rows;
  };
}
