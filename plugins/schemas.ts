import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { Event, Session } from '../src/contract/accounts.js';
import { Role } from '../src/contract/admin.js';
import { AnyEvent } from '../src/contract/events.js';
import { Problem } from '../src/contract/problem.js';
import { Pair, PairWithUser, TOKEN_PATTERN } from '../src/contract/tokens.js';
import { User } from '../src/contract/user.js';

const SHARED = [Problem, User, Pair, PairWithUser, Session, Event, AnyEvent, Role];

type SerializerCompiler = NonNullable<FastifyInstance['serializerCompiler']>;

/**
 * The schemas that routes refer to, and what makes serializers of them, whatever an application around us uses. Each is
 * made when the first request needs it: to make them all took two thirds of the start, and a command, an instance of
 * AWS Lambda or a test uses few of them.
 */
export default fp(
  async (app) => {
    for (const schema of SHARED) app.addSchema(schema);
    const compiler = await defaultSerializerCompiler();
    app.setSerializerCompiler((route) => whenUsed(() => compiler(route)));
    app.setValidatorCompiler((route) => whenUsed(() => TypeBoxValidatorCompiler(route)));
    // That of an application around us would stand in for the compiled ones.
    app.setReplySerializer(undefined as never);
  },
  { name: 'schemas', dependencies: ['json-body'] },
);

/** The function that `make` makes, made at its first call. */
function whenUsed<Value, Result>(make: () => (value: Value) => Result): (value: Value) => Result {
  let made: ReturnType<typeof make> | undefined;
  return (value) => {
    made ??= make();
    return made(value);
  };
}

/** Fastify's own, as it makes it for an application with these schemas. */
async function defaultSerializerCompiler(): Promise<SerializerCompiler> {
  const plain = Fastify();
  for (const schema of SHARED) plain.addSchema(withoutEscapes(schema));
  plain.get('/', { schema: { response: { 200: {} } } }, () => undefined);
  await plain.ready();
  return plain.serializerCompiler as SerializerCompiler;
}

/** What fits the pattern of a token holds nothing that JSON escapes: looking for it takes a fiftieth of a refresh. */
const withoutEscapes = (schema: object): object =>
  JSON.parse(JSON.stringify(schema), (_name, part) =>
    part?.pattern === TOKEN_PATTERN ? { ...part, format: 'unsafe' } : part,
  );
