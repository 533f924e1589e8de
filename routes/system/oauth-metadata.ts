import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { Type } from 'typebox';

const Names = Type.Array(Type.String());

/** RFC 8414 §2: what there is here. Latchkey's own login is no OAuth grant, so no grant is listed. */
const Metadata = Type.Object({
  issuer: Type.String(),
  jwks_uri: Type.String(),
  introspection_endpoint: Type.String(),
  introspection_endpoint_auth_methods_supported: Names,
  revocation_endpoint: Type.String(),
  revocation_endpoint_auth_methods_supported: Names,
  response_types_supported: Names,
  grant_types_supported: Names,
});

export interface OauthMetadataOptions {
  issuer: string;
  publicUrl: URL;
}

export const oauthMetadata: FastifyPluginAsyncTypebox<OauthMetadataOptions> = async (
  app,
  { issuer, publicUrl },
) => {
  if (!isIssuerUrl(issuer)) return;
  const at = (path: string): string => new URL(app.prefix + path, publicUrl.origin).href;
  const metadata = {
    issuer,
    jwks_uri: at('/.well-known/jwks.json'),
    introspection_endpoint: at('/oauth/introspect'),
    introspection_endpoint_auth_methods_supported: ['client_secret_basic'],
    revocation_endpoint: at('/oauth/revoke'),
    revocation_endpoint_auth_methods_supported: ['client_secret_basic'],
    response_types_supported: [],
    // Left out it would mean authorization_code and implicit.
    grant_types_supported: [],
  };

  app.get('/.well-known/oauth-authorization-server', {
    schema: {
      tags: ['oauth'],
      operationId: 'oauthMetadata',
      summary: 'Where keys, introspection and revocation are (RFC 8414)',
      security: [],
      response: { 200: Metadata },
    },
    handler: async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=300');
      return metadata;
    },
  });
};

/** RFC 8414 §2: an https URL without query or fragment. */
function isIssuerUrl(issuer: string): boolean {
  return /^https:\/\/[^?#]+$/.test(issuer) && URL.canParse(issuer);
}
