import { Type } from 'typebox';
import { STATUS } from '../plugins/errors.js';
import type { Code } from '../src/contract/codes.js';
import { Problem } from '../src/contract/problem.js';
import { ref } from '../src/contract/ref.js';

/** What any route may answer: the stores are asked by all, and the body parser stands before all. */
const ALWAYS: Code[] = ['invalid_request', 'rate_limited', 'internal_error', 'store_unavailable'];

/** What a route behind `authenticate` may answer besides. */
export const NEEDS_TOKEN: Code[] = ['token_missing', 'token_invalid', 'token_expired', 'token_revoked'];

/** What a route for staff may answer besides. */
export const NEEDS_STAFF: Code[] = [...NEEDS_TOKEN, 'forbidden'];

/** What a route with a body may answer besides. */
export const HAS_BODY: Code[] = ['body_too_large', 'unsupported_media_type'];

/** What a route that takes a one-time code may answer besides. */
export const PROVES_PHONE: Code[] = ['invalid_phone', 'otp_invalid', 'otp_expired', 'otp_attempts_exceeded'];

/** The failures of a route, for the OpenAPI document: one response per status, which names its codes. */
export function failures(...codes: Code[]): Record<number, unknown> {
  const byStatus = new Map<number, Code[]>();
  for (const code of new Set([...ALWAYS, ...codes])) {
    byStatus.set(STATUS[code], [...(byStatus.get(STATUS[code]) ?? []), code]);
  }
  return Object.fromEntries(Array.from(byStatus, ([status, list]) => [status, problem(list)]));
}

const problem = (codes: Code[]) => ({
  description: codes.map((code) => `\`${code}\``).join(', '),
  content: { 'application/problem+json': { schema: ref(Problem) } },
});

export const NoContent = Type.Null({ description: 'Done.' });
