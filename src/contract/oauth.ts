import { Type } from 'typebox';
import { Token } from './tokens.js';

/** RFC 7662 §2.1 and RFC 7009 §2.1. */
export const TokenQuestion = Type.Object(
  {
    token: Token('Of either kind.'),
    token_type_hint: Type.Optional(
      Type.String({ description: 'Not needed: a token says itself of which kind it is.' }),
    ),
  },
  { additionalProperties: false },
);

/** RFC 7662 §2.2. Of a token that is not good now nothing is told but that. */
export const Introspection = Type.Object(
  {
    active: Type.Boolean(),
    token_type: Type.Optional(
      Type.Literal('Bearer', { description: 'Of access tokens only: a refresh token opens no resource.' }),
    ),
    token_use: Type.Optional(Type.Enum(['access', 'refresh'])),
    username: Type.Optional(Type.String({ description: 'Username, e-mail address or phone number.' })),
    iss: Type.Optional(Type.String()),
    aud: Type.Optional(Type.String()),
    sub: Type.Optional(Type.String()),
    user_id: Type.Optional(Type.Union([Type.String(), Type.Integer()])),
    jti: Type.Optional(Type.String()),
    sid: Type.Optional(Type.String({ description: 'The session.' })),
    iat: Type.Optional(Type.Integer()),
    exp: Type.Optional(Type.Integer()),
  },
  {
    additionalProperties: true,
    description: 'Of access tokens also the other claims, with what they say about the user as of now.',
    examples: [{ active: false }],
  },
);
