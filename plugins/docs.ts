import swagger from '@fastify/swagger';
import fp from 'fastify-plugin';
import { Event, Session } from '../src/contract/accounts.js';
import { Problem } from '../src/contract/problem.js';
import { Pair, PairWithUser } from '../src/contract/tokens.js';
import { User } from '../src/contract/user.js';

export interface DocsOptions {
  publicUrl: URL;
  version: string;
}

/** Collects the OpenAPI document from the routes' own schemas: what is not in it is not validated either. */
export default fp<DocsOptions>(
  async (app, { publicUrl, version }) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Latchkey',
          version,
          description:
            'Registers people, signs them in, issues and rotates JSON Web Tokens, revokes them at once and says ' +
            'who is calling. Failures are problem documents (RFC 9457) whose `code` is from a closed list.',
        },
        servers: [{ url: publicUrl.origin }],
        components: {
          securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
        },
        security: [{ bearer: [] }],
        tags: [
          { name: 'auth', description: 'Signing in and out.' },
          { name: 'tokens', description: 'Refreshing and checking tokens.' },
          { name: 'account', description: "The caller's own account." },
          { name: 'system', description: 'For operators.' },
        ],
      },
      refResolver: {
        buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? `schema-${index}`),
      },
    });
    for (const schema of [Problem, User, Pair, PairWithUser, Session, Event]) app.addSchema(schema);
  },
  { name: 'docs' },
);
