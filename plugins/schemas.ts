import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { Event, Session } from '../src/contract/accounts.js';
import { Role } from '../src/contract/admin.js';
import { AnyEvent } from '../src/contract/events.js';
import { Problem } from '../src/contract/problem.js';
import { Pair, PairWithUser } from '../src/contract/tokens.js';
import { User } from '../src/contract/user.js';

const SHARED = [Problem, User, Pair, PairWithUser, Session, Event, AnyEvent, Role];

export interface SchemasOptions {
  /**
   * Makes a serializer or a validator when the first request needs it. Making them all takes a third of the start, of
   * which an instance of AWS Lambda has many.
   */
  lazy: boolean;
}

type SerializerCompiler = NonNullable<FastifyInstance['serializerCompiler']>;

/** The schemas that routes refer to, and what makes serializers of them, whatever an application around us uses. */
export default fp<SchemasOptions>(
  async (app, { lazy }) => {
    for (const schema of SHARED) app.addSchema(schema);
    const compiler = await defaultSerializerCompiler();
    app.setSerializerCompiler(lazy ? (route) => whenUsed(() => compiler(route)) : compiler);
    if (lazy) app.setValidatorCompiler((route) => whenUsed(() => TypeBoxValidatorCompiler(route)));
    // That of an application around us would stand in for the compiled ones.
    app.setReplySerializer(undefined as never);
  },
  { name: 'schemas', dependencies: ['json-body'] },
);

/** The function that `make` makes, made at its first call. */
function whenUsed<Args extends unknown[], Result>(
  make: () => (...args: Args) => Result,
): (...args: Args) => Result {
  let made: ReturnType<typeof make> | undefined;
  return (...args) => {
    made ??= make();
    return made(...args);
  };
}

/** Fastify's own, as it makes it for an application with these schemas. */
async function defaultSerializerCompiler(): Promise<SerializerCompiler> {
  const plain = Fastify();
  for (const schema of SHARED) plain.addSchema(schema);
  plain.get('/', { schema: { response: { 200: {} } } }, () => undefined);
  await plain.ready();
  return plain.serializerCompiler as SerializerCompiler;
}
