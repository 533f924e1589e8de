import { type Static, Type } from 'typebox';
import { ref } from './ref.js';
import { User } from './user.js';

export const Token = (description: string) =>
  Type.String({ description, examples: ['eyJhbGciOiJIUzI1NiIsInR5cCI6…'] });

/** What a token of ours looks like: base64url and dots. */
export const TOKEN_PATTERN = '^[\\w-]+(\\.[\\w-]+){2}$';

/** In an answer. Of a request nothing is asked but that it is a string: whatever else is wrong with it is a 401. */
const IssuedToken = (description: string) => Type.String({ ...Token(description), pattern: TOKEN_PATTERN });

const lifetimes = {
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds until the access token expires.' }),
  refresh_expires_in: Type.Integer({ description: 'Seconds until the refresh token expires.' }),
};

/** With `X-Auth-Transport: cookie` the refresh token is in the cookie `latchkey_refresh` instead. */
export const Pair = Type.Object(
  {
    access: IssuedToken('The access token.'),
    refresh: Type.Optional(IssuedToken('The refresh token.')),
    ...lifetimes,
  },
  { $id: 'latchkey:Pair', additionalProperties: false },
);

export const PairWithUser = Type.Object(
  { ...Pair.properties, user: ref(User) },
  { $id: 'latchkey:PairWithUser', additionalProperties: false },
);

export type PairDocument = Static<typeof Pair>;

export const RefreshBody = Type.Object(
  { refresh: Type.Optional(Token('Left out when the token comes by cookie.')) },
  { additionalProperties: false },
);

export const VerifyBody = Type.Object({ token: Token('Of either kind.') }, { additionalProperties: false });

export const Verified = Type.Object(
  {
    valid: Type.Literal(true),
    token_type: Type.Enum(['access', 'refresh']),
    // Lists of types: for a union the serializer would run a validator on every value.
    user_id: Type.Unsafe<string | number>({ type: ['string', 'integer'] }),
    session_id: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: '`null` for a token that an old system signed: it has no session.',
    }),
    expires_at: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);

export const Message = Type.Object({ message: Type.String() }, { additionalProperties: false });

/** Routes that need no body take an empty object too, because some clients always send one. */
export const EmptyBody = Type.Object({}, { additionalProperties: false });
