import { Type } from 'typebox';

/** What the bodies and answers of the old systems are made of. */

export const text = (options: Type.TStringOptions = {}) => Type.String(options);

/** A text that may not be blank: see `readFields`. */
export const filled = (options: Type.TStringOptions = {}) => Type.String({ minLength: 1, ...options });

/** As a list of types: for a union the serializer would run a validator on every value. */
export const orNull = (schema: Type.TString) =>
  Type.Unsafe<string | null>({ ...schema, type: ['string', 'null'] });
