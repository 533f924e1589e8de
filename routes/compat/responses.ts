import { Type } from 'typebox';

/** As those systems did: JSON, and forms of both kinds. */
export const CONSUMES = ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'];

/** Django REST Framework's: of the whole request, or of fields. */
const DrfFailure = Type.Unsafe<object>({
  type: 'object',
  properties: {
    detail: { type: 'string' },
    code: { type: 'string' },
    messages: { type: 'array', items: { type: 'object' } },
  },
  additionalProperties: { type: 'array', items: { type: 'string' } },
});

/** What any of these routes may answer. */
const ALWAYS = [400, 413, 415, 429, 500, 503] as const;

type Status = 400 | 401 | 403 | 404 | 413 | 415 | 429 | 500 | 503;

const MEANING: Record<Status, string> = {
  400: 'What was sent cannot be accepted; fields at fault are named.',
  401: 'A token or a login that is not accepted.',
  403: 'Not allowed.',
  404: 'Not found.',
  413: 'The body is too large.',
  415: 'Neither JSON nor a form.',
  429: 'Too many requests; see `Retry-After`.',
  500: 'A failure of ours.',
  503: 'Briefly unavailable; see `Retry-After`.',
};

/** The failures of a route of an old system, for the OpenAPI document. */
const failuresIn =
  (schema: object, examples: Partial<Record<Status, object>>) =>
  (...statuses: Status[]): Record<number, unknown> =>
    Object.fromEntries(
      [...new Set([...ALWAYS, ...statuses])].map((status) => [
        status,
        {
          description: MEANING[status],
          content: {
            'application/json': { schema, ...(examples[status] && { example: examples[status] }) },
          },
        },
      ]),
    );

export const drfFailures = failuresIn(DrfFailure, {
  400: { password: ['This field is required.'] },
  401: { detail: 'Token is invalid or expired', code: 'token_not_valid' },
  413: { detail: 'Request body is too large.' },
  429: { detail: 'Request was throttled. Expected available in 30 seconds.' },
  503: { detail: 'Service temporarily unavailable, try again later.' },
});

export const revocationFailures = failuresIn(
  Type.Unsafe<object>({
    type: 'object',
    properties: { error: { type: 'string' }, detail: { type: 'string' }, code: { type: 'string' } },
  }),
  {
    400: { error: 'Invalid token' },
    401: { detail: 'Given token not valid for any token type', code: 'token_not_valid', messages: [] },
  },
);

export const neuralFlowFailures = failuresIn(
  Type.Unsafe<object>({
    type: 'object',
    required: ['success', 'error'],
    properties: {
      success: { const: false },
      error: { type: 'string' },
      errors: { type: 'object', additionalProperties: { type: 'array', items: { type: 'string' } } },
    },
  }),
  {
    400: {
      success: false,
      error: 'This field is required.',
      errors: { password: ['This field is required.'] },
    },
    401: { success: false, error: 'Invalid email or password.' },
  },
);

export const envelopeFailures = failuresIn(
  Type.Unsafe<object>({
    type: 'object',
    required: ['success', 'message', 'data'],
    properties: { success: { const: false }, message: { type: 'string' }, data: { type: 'object' } },
  }),
  { 401: { success: false, message: 'خطا در احراز هویت', data: {} } },
);

/** Of the paths that two systems share. */
export const eitherFailures = failuresIn(
  Type.Unsafe<object>({
    type: 'object',
    properties: {
      success: { const: false },
      message: { type: 'string' },
      data: { type: 'object' },
      detail: { type: 'string' },
    },
  }),
  { 400: { detail: 'Invalid email or password.' } },
);
