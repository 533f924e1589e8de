import type { Compilable, Kysely } from 'kysely';
import type { Schema } from './schema.js';

/**
 * Makes a statement that every login runs: its text is written once. `query` is built with any values; the parameters of
 * a call take their places, in the order in which they stand in the text.
 */
export type Prepare = <Row>(query: Compilable<Row>) => (...parameters: unknown[]) => Promise<Row[]>;

/** By the query builder's own driver. */
export const prepareWithKysely =
  (db: Kysely<Schema>): Prepare =>
  <Row>(query: Compilable<Row>) => {
    const compiled = query.compile();
    return async (...parameters) => (await db.executeQuery<Row>({ ...compiled, parameters })).rows;
  };
