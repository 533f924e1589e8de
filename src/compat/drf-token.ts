import { Type } from 'typebox';
import { Obtained } from './simple-jwt.js';

/**
 * Of a route that has had two kinds of clients: those of the Django REST Framework read `token`, those of Cosmo, which
 * put SimpleJWT in its place, read the pair.
 */
export const KeyObtained = Type.Object(
  {
    ...Obtained.properties,
    token: Type.Optional(
      Type.String({
        description: 'A key that does not expire, with DRF_TOKENS=on: another one at each login.',
      }),
    ),
  },
  { additionalProperties: false },
);
