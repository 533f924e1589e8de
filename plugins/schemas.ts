import Fastify from 'fastify';
import fp from 'fastify-plugin';
import { Event, Session } from '../src/contract/accounts.js';
import { Role } from '../src/contract/admin.js';
import { AnyEvent } from '../src/contract/events.js';
import { Problem } from '../src/contract/problem.js';
import { Pair, PairWithUser } from '../src/contract/tokens.js';
import { User } from '../src/contract/user.js';

const SHARED = [Problem, User, Pair, PairWithUser, Session, Event, AnyEvent, Role];

/** The schemas that routes refer to, and what makes serializers of them, whatever an application around us uses. */
export default fp(
  async (app) => {
    for (const schema of SHARED) app.addSchema(schema);
    app.setSerializerCompiler(await defaultSerializerCompiler());
    // That of an application around us would stand in for the compiled ones.
    app.setReplySerializer(undefined as never);
  },
  { name: 'schemas' },
);

/** Fastify's own, as it makes it for an application with these schemas. */
async function defaultSerializerCompiler() {
  const plain = Fastify();
  for (const schema of SHARED) plain.addSchema(schema);
  plain.get('/', { schema: { response: { 200: {} } } }, () => undefined);
  await plain.ready();
  return plain.serializerCompiler as NonNullable<typeof plain.serializerCompiler>;
}
