import { AuthError, type FieldFault } from '../src/errors.js';

/**
 * Reads a body that comes in several forms as one of them. In its schema every field of every form is optional, for a
 * union would be refused with what each of its members misses; this says what is missing and what belongs elsewhere.
 * @throws invalid_request
 */
export function requireForm<
  Body extends object,
  Required extends keyof Body & string,
  Optional extends keyof Body & string = never,
>(
  body: Body,
  required: readonly Required[],
  optional: readonly Optional[] = [],
): { [Name in Required]: Exclude<Body[Name], undefined> } & Pick<Body, Optional> {
  const belongs = new Set<string>([...required, ...optional]);
  const faults: FieldFault[] = [
    ...required
      .filter((field) => body[field] === undefined)
      .map((field) => ({ field, code: 'required' as const })),
    ...Object.keys(body)
      .filter((field) => !belongs.has(field))
      .map((field) => ({ field, code: 'unknown' as const })),
  ];
  if (faults.length > 0) throw new AuthError('invalid_request', { errors: faults });
  return body as ReturnType<typeof requireForm<Body, Required, Optional>>;
}
