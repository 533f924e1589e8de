import swagger from '@fastify/swagger';
import fp from 'fastify-plugin';

/** The systems that Latchkey takes over from. Their paths are shown as they were: with a slash at the end. */
const COMPAT_TAGS = [
  {
    name: 'simplejwt',
    description:
      'As djangorestframework-simplejwt has it, with the revocation of Cosmo; also the paths of older coffee shop clients.',
  },
  { name: 'neuralflow', description: 'As NeuralFlow has it: by password, with a dashboard.' },
  {
    name: 'phone-otp',
    description: 'As the phone OTP system has it: answers in an envelope, in Persian by default.',
  },
  {
    name: 'pycoder',
    description: 'As PyCoder has it. Its register and login are also those of the phone OTP system.',
  },
];

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
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
            client: {
              type: 'http',
              scheme: 'basic',
              description: 'Id and secret of `latchkey client create`.',
            },
          },
        },
        security: [{ bearer: [] }],
        tags: [
          { name: 'auth', description: 'Signing in and out.' },
          { name: 'tokens', description: 'Refreshing and checking tokens.' },
          { name: 'account', description: "The caller's own account." },
          { name: 'admin', description: 'For staff: accounts, roles, what happened.' },
          { name: 'oauth', description: 'For other services that are given tokens.' },
          { name: 'system', description: 'For operators.' },
          ...COMPAT_TAGS,
        ],
      },
      // Whatever has an id is documented, also where it is hidden from the document of an application around us, and
      // under the first of the spellings that routes/both-spellings.ts gives it.
      transform: ({ schema, url }) => ({
        schema: { ...schema, hide: !schema?.operationId },
        url: isCompat(schema) ? url.replace(/\/?$/, '/') : url.replace(/(?<=.)\/$/, ''),
      }),
      refResolver: {
        buildLocalReference: (schema, _base, _fragment, index) =>
          String(schema.$id ?? `schema-${index}`).replace('latchkey:', ''),
      },
    });
  },
  { name: 'docs' },
);

const isCompat = (schema: { tags?: readonly string[] } | undefined): boolean =>
  COMPAT_TAGS.some(({ name }) => schema?.tags?.includes(name));
