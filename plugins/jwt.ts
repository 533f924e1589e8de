import jwt, { type JWT } from '@fastify/jwt';
import fp from 'fastify-plugin';
import { MAX_TOKEN_LENGTH } from '../src/contract/tokens.js';
import { AuthError } from '../src/errors.js';
import { HEADER_TYPE, type SignedPayload, type TokenCodec, type TokenType } from '../src/tokens/claims.js';

declare module 'fastify' {
  interface FastifyInstance {
    tokenCodec: TokenCodec;
  }
}

export interface JwtOptions {
  key: string;
  algorithm: 'HS256' | 'HS384' | 'HS512';
}

/**
 * Signs and verifies with @fastify/jwt: one namespace for each type of token, because the header's `typ` is
 * fixed when a signer is made. Claims are judged by the token core, so the library's own checks of time are
 * off; and whatever it throws is one thing here, a token that is not ours.
 */
export default fp<JwtOptions>(
  async (app, { key, algorithm }) => {
    for (const type of ['access', 'refresh'] as const satisfies TokenType[]) {
      await app.register(jwt, {
        namespace: type,
        secret: key,
        sign: { algorithm, header: { alg: algorithm, typ: HEADER_TYPE[type] } },
        verify: { algorithms: [algorithm], complete: true, ignoreExpiration: true, ignoreNotBefore: true },
      });
    }
    // The library's types know nothing of namespaces.
    const namespaces = app.jwt as unknown as Record<TokenType, JWT>;

    app.decorate('tokenCodec', {
      sign: (type, payload) => namespaces[type].sign(payload),
      verifySignature(token) {
        requireCanonicalForm(token);
        try {
          return namespaces.access.verify<SignedPayload>(token);
        } catch (error) {
          throw new AuthError('token_invalid', {
            why: error instanceof Error ? error.message : 'unreadable',
          });
        }
      },
    });
  },
  { name: 'tokens' },
);

const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/**
 * The last character of an unpadded base64url text may carry bits that decoders ignore, so one signature has
 * several spellings (RFC 4648 §3.5). Only the one that we write is taken.
 */
function requireCanonicalForm(token: string): void {
  if (token.length > MAX_TOKEN_LENGTH || !COMPACT_JWS.test(token)) {
    throw new AuthError('token_invalid', { why: 'not a compact JWS' });
  }
  const signature = token.slice(token.lastIndexOf('.') + 1);
  if (Buffer.from(signature, 'base64url').toString('base64url') !== signature) {
    throw new AuthError('token_invalid', { why: 'signature not canonical' });
  }
}
