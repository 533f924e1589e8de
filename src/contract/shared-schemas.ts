import { Event, Session } from './accounts.js';
import { Role } from './admin.js';
import { AnyEvent } from './events.js';
import { Problem } from './problem.js';
import { Pair, PairWithUser, TOKEN_PATTERN } from './tokens.js';
import { User } from './user.js';

/** The schemas that others refer to by their `$id`. */
export const SHARED_SCHEMAS = [Problem, User, Pair, PairWithUser, Session, Event, AnyEvent, Role];

/**
 * The same by their `$id`, for a serializer. What fits the pattern of a token holds nothing that JSON escapes: looking
 * for it takes a fiftieth of a refresh.
 */
export const readSerializedSchemas = (): Record<string, object> =>
  Object.fromEntries(SHARED_SCHEMAS.map(withoutEscapes).map((schema) => [schema.$id, schema]));

const withoutEscapes = (schema: object): { $id: string } =>
  JSON.parse(JSON.stringify(schema), (_name, part) =>
    part?.pattern === TOKEN_PATTERN ? { ...part, format: 'unsafe' } : part,
  );
