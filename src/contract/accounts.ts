import { Type } from 'typebox';
import { ref } from './ref.js';
import { User } from './user.js';

/** Lengths that no honest value reaches; the rules of each field are finer and stand in the domain. */
const text = (maxLength: number, options = {}) => Type.String({ maxLength, ...options });

const Password = text(1024, {
  minLength: 1,
  description: '8 to 128 characters, any Unicode, no composition rules.',
});

const profile = {
  username: Type.Optional(
    text(600, { description: 'Letters, digits and _ . + -; nothing that reads as a phone number.' }),
  ),
  first_name: Type.Optional(text(600)),
  last_name: Type.Optional(text(600)),
  user_type: Type.Optional(text(64, { description: 'One of USER_TYPES.' })),
};

export const RegisterBody = Type.Object(
  {
    email: text(320, { minLength: 1 }),
    password: Password,
    password2: Type.Optional(text(1024, { description: 'The password again, if the form asks twice.' })),
    ...profile,
  },
  {
    additionalProperties: false,
    examples: [
      { email: 'test@example.com', username: 'testuser', password: 'testpass123', password2: 'testpass123' },
    ],
  },
);

/** Exactly one of `email` and `username`. */
export const LoginBody = Type.Object(
  {
    email: Type.Optional(text(320)),
    username: Type.Optional(text(600)),
    password: text(1024),
  },
  {
    additionalProperties: false,
    description: 'Exactly one of email and username.',
    examples: [{ email: 'test@example.com', password: 'testpass123' }],
  },
);

export const ProfileBody = Type.Object(profile, {
  additionalProperties: false,
  minProperties: 1,
  examples: [{ first_name: 'Test' }],
});

export const DeleteAccountBody = Type.Object({ password: text(1024) }, { additionalProperties: false });

export const Session = Type.Object(
  {
    id: Type.String(),
    current: Type.Boolean({ description: 'The session that is asking.' }),
    created_at: Type.String({ format: 'date-time' }),
    last_used_at: Type.String({ format: 'date-time', description: 'To the minute.' }),
    expires_at: Type.String({ format: 'date-time' }),
    ip: Type.String(),
    user_agent: Type.String(),
    device: Type.String({ description: 'A short label, such as "Firefox on Android".' }),
  },
  { $id: 'latchkey:Session', additionalProperties: false },
);

export const Sessions = Type.Object({ sessions: Type.Array(ref(Session)) }, { additionalProperties: false });

export const Event = Type.Object(
  {
    id: Type.Integer(),
    type: Type.String(),
    at: Type.String({ format: 'date-time' }),
    session_id: Type.Union([Type.String(), Type.Null()]),
    reason: Type.Union([Type.String({ description: 'Why the session ended.' }), Type.Null()]),
    ip: Type.Union([Type.String(), Type.Null()]),
    user_agent: Type.Union([Type.String(), Type.Null()]),
  },
  { $id: 'latchkey:Event', additionalProperties: false },
);

export const ActivityQuery = Type.Object(
  {
    cursor: Type.Optional(
      Type.String({
        // PostgreSQL refuses what is no bigint.
        maxLength: 16,
        pattern: '^[1-9][0-9]*$',
        description: '`next_cursor` of the page before.',
      }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 20 })),
  },
  { additionalProperties: false },
);

export const Activity = Type.Object(
  { events: Type.Array(ref(Event)), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  { additionalProperties: false },
);

/** Everything that is stored about the caller but the password's hash, which is no answer to anybody. */
export const Export = Type.Object(
  {
    user: ref(User),
    sessions: Type.Array(ref(Session)),
    events: Type.Array(ref(Event)),
  },
  { additionalProperties: false },
);
