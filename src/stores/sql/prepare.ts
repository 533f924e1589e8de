import type { Compilable, CompiledQuery, Kysely } from 'kysely';
import type { Schema } from './schema.js';

/**
 * Makes a statement that every login runs: its text is written once, when it is first needed. `query` is built with any
 * values; the parameters of a call take their places, in the order in which they stand in the text.
 */
export type Prepare = <Row>(query: Compilable<Row>) => (...parameters: unknown[]) => Promise<Row[]>;

/** By the query builder's own driver. */
export const prepareWithKysely =
  (db: Kysely<Schema>): Prepare =>
  <Row>(query: Compilable<Row>) => {
    let compiled: CompiledQuery<Row> | undefined;
    return async (...parameters) => {
      compiled ??= query.compile();
      const { rows } = await db.executeQuery<Row>({ ...compiled, parameters });
      return rows;
    };
  };
