import fastJsonStringify from 'fast-json-stringify';
import { readSerializedSchemas } from '../src/contract/shared-schemas.js';

/** Makes what writes a document as the schema of a response says. */
export type SerializerCompiler = (route: { schema: unknown }) => (document: unknown) => string;

let shared: ReturnType<typeof readSerializedSchemas> | undefined;

export const compileSerializer: SerializerCompiler = ({ schema }) => {
  shared ??= readSerializedSchemas();
  return fastJsonStringify(schema as never, { schema: shared as never });
};
