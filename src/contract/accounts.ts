import { Type } from 'typebox';
import { eventFields } from './events.js';
import { Otp, Phone } from './otp.js';
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

/** By e-mail address and password, or by a number and the code that was sent to it. */
export const RegisterBody = Type.Object(
  {
    email: Type.Optional(text(320, { minLength: 1 })),
    password: Type.Optional(Password),
    phone: Type.Optional(Phone),
    otp: Type.Optional(Otp),
    password2: Type.Optional(text(1024, { description: 'The password again, if the form asks twice.' })),
    ...profile,
  },
  {
    additionalProperties: false,
    description:
      'Either email and password, with password2 and username if you like; or phone and otp, a code of purpose ' +
      '`register`. With both go first_name, last_name and user_type.',
    examples: [
      { email: 'test@example.com', username: 'testuser', password: 'testpass123', password2: 'testpass123' },
      { phone: '09123456789', otp: '123456', first_name: 'Test', last_name: 'User' },
    ],
  },
);

/** Exactly one of `email`, `username` and `phone` with the password, or `phone` and `otp`. */
export const LoginBody = Type.Object(
  {
    email: Type.Optional(text(320)),
    username: Type.Optional(text(600)),
    phone: Type.Optional(Phone),
    password: Type.Optional(text(1024)),
    otp: Type.Optional(Otp),
  },
  {
    additionalProperties: false,
    description:
      'Either exactly one of email, username and phone, and the password; or phone and otp, a code of purpose `login`.',
    examples: [
      { email: 'test@example.com', password: 'testpass123' },
      { username: 'testuser', password: 'testpass123' },
      { phone: '09123456789', otp: '123456' },
    ],
  },
);

const TicketToken = text(256, { description: 'The token of the link in the e-mail.' });
const Email = text(320, { minLength: 1 });

export const PasswordChangeBody = Type.Object(
  { current_password: text(1024), new_password: Password },
  {
    additionalProperties: false,
    examples: [{ current_password: 'testpass123', new_password: 'another testpass' }],
  },
);

/** `email`, or `phone`. */
export const PasswordForgotBody = Type.Object(
  { email: Type.Optional(Email), phone: Type.Optional(Phone) },
  {
    additionalProperties: false,
    description: 'Either email, or phone.',
    examples: [{ email: 'test@example.com' }, { phone: '09123456789' }],
  },
);

/** `token`, or `phone` and `otp`; and the new password. */
export const PasswordResetBody = Type.Object(
  {
    token: Type.Optional(TicketToken),
    phone: Type.Optional(Phone),
    otp: Type.Optional(Otp),
    new_password: Password,
  },
  {
    additionalProperties: false,
    description: 'Either token; or phone and otp, a code of purpose `reset`. With both goes new_password.',
    examples: [
      { token: 'fXk4b0nq4h9Qw2rT7yU4iO9pA6sD3fG0hJk0Jm5v1n8', new_password: 'another testpass' },
      { phone: '09123456789', otp: '123456', new_password: 'another testpass' },
    ],
  },
);

export const EmailVerifyBody = Type.Object(
  { token: TicketToken },
  {
    additionalProperties: false,
    examples: [{ token: 'fXk4b0nq4h9Qw2rT7yU4iO9pA6sD3fG0hJk0Jm5v1n8' }],
  },
);

export const EmailChangeBody = Type.Object(
  { password: text(1024), email: Email },
  { additionalProperties: false, examples: [{ password: 'testpass123', email: 'new@example.com' }] },
);

export const PhoneVerifyBody = Type.Object(
  { phone: Phone, otp: Otp },
  {
    additionalProperties: false,
    description: "phone, the caller's own, and otp, a code of purpose `verify`.",
    examples: [{ phone: '09123456789', otp: '123456' }],
  },
);

export const PhoneChangeBody = Type.Object(
  { password: text(1024), phone: Phone, otp: Otp },
  {
    additionalProperties: false,
    description: 'phone, the new number, and otp, a code of purpose `verify` that was sent there.',
    examples: [{ password: 'testpass123', phone: '09123456789', otp: '123456' }],
  },
);

export const ProfileBody = Type.Object(profile, {
  additionalProperties: false,
  minProperties: 1,
  examples: [{ first_name: 'Test' }],
});

/** `password`, or `phone` and `otp`. */
export const DeleteAccountBody = Type.Object(
  { password: Type.Optional(text(1024)), phone: Type.Optional(Phone), otp: Type.Optional(Otp) },
  {
    additionalProperties: false,
    description: "Either password; or phone, the caller's own, and otp, a code of purpose `verify`.",
    examples: [{ password: 'testpass123' }, { phone: '09123456789', otp: '123456' }],
  },
);

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

export const Event = Type.Object(eventFields, { $id: 'latchkey:Event', additionalProperties: false });

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
    devices: Type.Array(Type.Object({ last_login_at: Type.String({ format: 'date-time' }) }), {
      description: 'Browsers and apps that are known again at the next login.',
    }),
    revoked_tokens: Type.Optional(
      Type.Array(Type.Object({ jti: Type.String(), expires_at: Type.String({ format: 'date-time' }) }), {
        description: 'Tokens of an old system that were ended before their time, or traded.',
      }),
    ),
    keys: Type.Optional(
      Type.Array(Type.Object({ created_at: Type.String({ format: 'date-time' }) }), {
        description: 'Keys for clients of an old system; what they are is stored nowhere.',
      }),
    ),
    events: Type.Array(ref(Event)),
    staff_actions: Type.Array(ref(Event), {
      description: 'What the caller did to other accounts and to roles, as one of staff.',
    }),
  },
  { additionalProperties: false },
);
