import { Type } from 'typebox';
import type { SignedIn } from '../accounts/account-service.js';
import type { User } from '../accounts/user.js';
import { Event, Session } from '../contract/accounts.js';
import { ref } from '../contract/ref.js';
import { Token } from '../contract/tokens.js';
import { describeInDrf } from './drf.js';
import { describeBearer, describeInSimpleJwt } from './simple-jwt.js';
import { filled, orNull, text } from './text-schemas.js';
import type { Answer, Wording } from './wording.js';

/** NeuralFlow: by e-mail address and password, with a dashboard. */

export const RegisterBody = Type.Object(
  {
    email: filled({ format: 'email' }),
    password: filled(),
    username: Type.Optional(filled()),
    user_type: Type.Optional(filled({ description: 'One of USER_TYPES.' })),
    first_name: Type.Optional(text()),
    last_name: Type.Optional(text()),
  },
  {
    examples: [
      { email: 'user@example.com', password: 'testpass123', username: 'username', user_type: 'individual' },
    ],
  },
);

export const LoginBody = Type.Object(
  { email: filled(), password: filled() },
  { examples: [{ email: 'user@example.com', password: 'testpass123' }] },
);

const Person = Type.Object(
  {
    id: Type.Integer({ description: "The account's `legacy_id`." }),
    email: orNull(text()),
    username: orNull(text()),
    first_name: text(),
    last_name: text(),
    user_type: orNull(text()),
  },
  {
    additionalProperties: false,
    examples: [
      {
        id: 1,
        email: 'user@example.com',
        username: 'username',
        first_name: '',
        last_name: '',
        user_type: 'individual',
      },
    ],
  },
);

export const SignedInBody = Type.Object(
  {
    success: Type.Literal(true),
    user: Person,
    access: Token('The access token.'),
    refresh: Token('The refresh token.'),
  },
  { additionalProperties: false },
);

/** Where addresses must be confirmed first. */
export const LinkSent = Type.Object(
  { success: Type.Literal(true), message: text() },
  { additionalProperties: false },
);

export const Pair = Type.Object(
  { access: Token('The access token.'), refresh: Token('The refresh token.') },
  { additionalProperties: false },
);

export const Dashboard = Type.Object(
  { user: Person, sessions: Type.Array(ref(Session)), activity: Type.Array(ref(Event)) },
  { additionalProperties: false },
);

export const describePerson = (user: User) => ({
  id: user.legacyId,
  email: user.email,
  username: user.username,
  first_name: user.firstName,
  last_name: user.lastName,
  user_type: user.userType,
});

export const describeSignedIn = ({ user, pair }: SignedIn) => ({
  success: true as const,
  user: describePerson(user),
  access: pair.access,
  refresh: pair.refresh,
});

/** Of registration and login. */
export const describeInNeuralFlow: Wording = (error, asked) =>
  error.code === 'invalid_credentials'
    ? { status: 401, body: { success: false, error: 'Invalid email or password.' } }
    : inNeuralFlow(describeInDrf(error, asked));

function inNeuralFlow({ status, body }: Answer): Answer {
  if ('detail' in body) return { status, body: { success: false, error: body.detail } };
  const [first] = Object.values(body as Record<string, string[]>).flat();
  return { status, body: { success: false, error: first, errors: body } };
}

/** Of what was SimpleJWT's own there: its members stay beside those of the system, for clients may read either. */
const besides =
  (wording: Wording): Wording =>
  (error, asked) => {
    const answer = wording(error, asked);
    return { status: answer.status, body: { ...inNeuralFlow(answer).body, ...answer.body } };
  };

export const describeNeuralFlowTokens: Wording = besides(describeInSimpleJwt);
export const describeNeuralFlowBearer: Wording = besides(describeBearer);
