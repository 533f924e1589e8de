import { type Static, Type } from 'typebox';

/** As a list of types: for a union the serializer would run a validator on every value. */
const orNull = (schema: Type.TString) => Type.Unsafe<string | null>({ ...schema, type: ['string', 'null'] });
const Time = (description: string) => Type.String({ format: 'date-time', description });

/** An account, as its owner and staff see it. */
export const User = Type.Object(
  {
    id: Type.String({ format: 'uuid', description: 'UUIDv7.' }),
    legacy_id: Type.Integer({ description: "The old system's id, or the next in sequence." }),
    email: orNull(Type.String()),
    username: orNull(Type.String()),
    phone: orNull(Type.String({ description: 'E.164.' })),
    first_name: Type.String(),
    last_name: Type.String(),
    user_type: orNull(Type.String({ description: 'Chosen by the user; never authorise by it.' })),
    role: Type.String(),
    permissions: Type.Array(Type.String()),
    is_staff: Type.Boolean(),
    is_superuser: Type.Boolean(),
    is_active: Type.Boolean(),
    email_verified: Type.Boolean(),
    phone_verified: Type.Boolean(),
    date_joined: Time('When the account was made, UTC.'),
    last_login: orNull(Time('The last login, UTC.')),
  },
  {
    $id: 'latchkey:User',
    additionalProperties: false,
    examples: [
      {
        id: '0197f3a1-7c00-7d3e-9a51-3f0c2b6e8d14',
        legacy_id: 1,
        email: 'test@example.com',
        username: 'testuser',
        phone: null,
        first_name: 'Test',
        last_name: 'User',
        user_type: 'individual',
        role: 'viewer',
        permissions: [],
        is_staff: false,
        is_superuser: false,
        is_active: true,
        email_verified: false,
        phone_verified: false,
        date_joined: '2026-01-05T10:00:00Z',
        last_login: '2026-01-05T10:00:00Z',
      },
    ],
  },
);

export type UserDocument = Static<typeof User>;
