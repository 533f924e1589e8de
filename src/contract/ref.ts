import { type Static, type TSchema, Type } from 'typebox';

/** Points at a schema by its `$id`, so that the OpenAPI document holds it once, under its name. */
export const ref = <T extends TSchema>(schema: T) =>
  Type.Unsafe<Static<T>>({ $ref: `${(schema as { $id?: string }).$id}#` });
