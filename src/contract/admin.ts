import { Type } from 'typebox';
import { Sessions } from './accounts.js';
import { Events } from './events.js';
import { ref } from './ref.js';
import { User } from './user.js';

/** Lengths that no honest value reaches; the rules of each field are finer and stand in the domain. */
const text = (maxLength: number, options = {}) => Type.String({ minLength: 1, maxLength, ...options });

/** Neither PostgreSQL nor anybody's name holds control characters. */
const PRINTABLE = '^[^\\x00-\\x1f\\x7f]*$';

/** Of a role that is there, whoever put it there. */
const RoleName = text(64, { pattern: PRINTABLE });

export const UsersQuery = Type.Object(
  {
    q: Type.Optional(
      text(320, {
        pattern: PRINTABLE,
        description:
          'How the e-mail address, the username, the first or last name or the number begins; a number also whole, ' +
          'in any spelling.',
      }),
    ),
    is_active: Type.Optional(Type.Boolean()),
    is_staff: Type.Optional(Type.Boolean()),
    is_superuser: Type.Optional(Type.Boolean()),
    role: Type.Optional(RoleName),
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

const [somebody] = (User as unknown as { examples: object[] }).examples;

export const Users = Type.Object(
  { users: Type.Array(ref(User)), next_cursor: Type.Union([Type.String(), Type.Null()]) },
  { additionalProperties: false, examples: [{ users: [somebody], next_cursor: '1' }] },
);

export const UserParams = Type.Object({ id: Type.String({ maxLength: 64, description: 'UUID.' }) });

export const UserSessionParams = Type.Object({
  ...UserParams.properties,
  sid: Type.String({ maxLength: 64 }),
});

export const UserChangeBody = Type.Object(
  {
    first_name: Type.Optional(text(600, { minLength: 0, description: 'Needs users.write.' })),
    last_name: Type.Optional(text(600, { minLength: 0, description: 'Needs users.write.' })),
    username: Type.Optional(text(600, { description: 'Needs users.write.' })),
    email: Type.Optional(
      text(320, {
        description: 'Needs users.email. Another address is not verified, and ends every session.',
      }),
    ),
    is_active: Type.Optional(
      Type.Boolean({ description: 'Needs users.disable. `false` ends every session at once.' }),
    ),
    role: Type.Optional(
      text(64, { pattern: PRINTABLE, description: 'Needs users.grant, and all that the role allows.' }),
    ),
    is_staff: Type.Optional(Type.Boolean({ description: 'Needs users.grant.' })),
    is_superuser: Type.Optional(Type.Boolean({ description: 'For superusers.' })),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    examples: [{ is_active: false }, { role: 'admin', is_staff: true }],
  },
);

const openSession = {
  id: '5f0c2b6e8d144d3e9a513f0c2b6e8d14',
  current: false,
  created_at: '2026-01-05T10:00:00Z',
  last_used_at: '2026-01-05T10:04:00Z',
  expires_at: '2026-01-12T10:00:00Z',
  ip: '192.0.2.10',
  user_agent: 'Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0',
  device: 'Firefox on Android',
};

export const UserSessions = Type.Object(Sessions.properties, {
  additionalProperties: false,
  examples: [{ sessions: [openSession] }],
});

const roleChanged = {
  id: 42,
  type: 'role_changed',
  at: '2026-01-05T10:00:00Z',
  session_id: null,
  reason: null,
  ip: '192.0.2.10',
  user_agent: 'curl/8.7.1',
  detail: { role: 'support', former_role: 'viewer' },
  uid: '0197f3a1-7c00-7d3e-9a51-3f0c2b6e8d15',
  user_id: '0197f3a1-7c00-7d3e-9a51-3f0c2b6e8d14',
  actor_id: '0197f3a1-7c00-7d3e-9a51-3f0c2b6e8d13',
};

export const UserActivity = Type.Object(Events.properties, {
  additionalProperties: false,
  examples: [{ events: [roleChanged], next_cursor: '42' }],
});

export const Role = Type.Object(
  {
    name: Type.String(),
    permissions: Type.Array(Type.String(), { description: 'In alphabetical order.' }),
    description: Type.String(),
  },
  {
    $id: 'latchkey:Role',
    additionalProperties: false,
    examples: [
      { name: 'support', permissions: ['users.read', 'users.sessions'], description: 'Answers the phone.' },
    ],
  },
);

const [support] = (Role as unknown as { examples: object[] }).examples;

export const Roles = Type.Object(
  { roles: Type.Array(ref(Role)) },
  { additionalProperties: false, examples: [{ roles: [support] }] },
);

export const RoleParams = Type.Object({ name: RoleName });

export const NewRoleParams = Type.Object({
  name: Type.String({
    pattern: '^[A-Za-z][A-Za-z0-9_.:-]{0,63}$',
    description: 'A letter, then letters, digits and _ . : -.',
  }),
});

export const RoleBody = Type.Object(
  {
    permissions: Type.Array(Type.String({ maxLength: 64 }), {
      maxItems: 64,
      description:
        "Latchkey's own (see the README) or the application's: a letter, then letters, digits and _ . : -. Names that " +
        "begin with users., roles., events. or stats. are Latchkey's.",
    }),
    description: Type.Optional(Type.String({ maxLength: 600 })),
  },
  {
    additionalProperties: false,
    examples: [{ permissions: ['users.read', 'users.sessions'], description: 'Answers the phone.' }],
  },
);
