import { Type } from 'typebox';
import type { SignedIn } from '../accounts/account-service.js';
import type { User } from '../accounts/user.js';
import { Token } from '../contract/tokens.js';
import { toIso } from '../lib/clock.js';
import { describeInDrf } from './drf.js';
import { filled, orNull, text } from './text-schemas.js';
import type { Wording } from './wording.js';

/** PyCoder: registers and signs in by e-mail address and password. */

export const RegisterBody = Type.Object(
  {
    email: filled({ format: 'email' }),
    username: Type.Optional(filled()),
    password: filled({ description: '8 to 128 characters; what surrounds it is trimmed.' }),
    password2: Type.Optional(filled({ description: 'The password again.' })),
    first_name: Type.Optional(text()),
    last_name: Type.Optional(text()),
  },
  {
    examples: [
      { email: 'test@example.com', username: 'testuser', password: 'testpass123', password2: 'testpass123' },
    ],
  },
);

export const LoginBody = Type.Object(
  { email: filled(), password: filled() },
  { examples: [{ email: 'test@example.com', password: 'testpass123' }] },
);

export const Tokens = Type.Object(
  { access: Token('The access token.'), refresh: Token('The refresh token.') },
  { additionalProperties: false },
);

export const Person = Type.Object(
  {
    id: Type.Integer({ description: "The account's `legacy_id`." }),
    email: orNull(text()),
    username: orNull(text()),
    first_name: text(),
    last_name: text(),
    date_joined: text({ format: 'date-time' }),
  },
  {
    additionalProperties: false,
    examples: [
      {
        id: 1,
        email: 'test@example.com',
        username: 'testuser',
        first_name: '',
        last_name: '',
        date_joined: '2026-01-05T10:00:00Z',
      },
    ],
  },
);

export const SignedInBody = Type.Object({ user: Person, tokens: Tokens }, { additionalProperties: false });

/** Where addresses must be confirmed first. */
export const LinkSent = Type.Object({ detail: text() }, { additionalProperties: false });

export const describePerson = (user: User) => ({
  id: user.legacyId,
  email: user.email,
  username: user.username,
  first_name: user.firstName,
  last_name: user.lastName,
  date_joined: toIso(user.dateJoined),
});

export const describeSignedIn = ({ user, pair }: SignedIn) => ({
  user: describePerson(user),
  tokens: { access: pair.access, refresh: pair.refresh },
});

export const describeInPycoder: Wording = (error, asked) =>
  error.code === 'invalid_credentials'
    ? { status: 400, body: { detail: 'Invalid email or password.' } }
    : describeInDrf(error, asked);
