import { Type } from 'typebox';
import type { LoginNames } from '../accounts/account-service.js';
import type { Code } from '../contract/codes.js';
import { Token } from '../contract/tokens.js';
import type { AuthError } from '../errors.js';
import { describeInDrf } from './drf.js';
import type { TextFields } from './fields.js';
import { filled } from './text-schemas.js';
import type { Wording } from './wording.js';

/** djangorestframework-simplejwt's wire format, and the two routes that Cosmo put beside it. */

export const ObtainBody = Type.Object(
  {
    username: Type.Optional(filled({ description: 'Or an e-mail address.' })),
    email: Type.Optional(filled({})),
    password: filled({}),
  },
  {
    description: '`username` or `email`, and the password.',
    examples: [
      { username: 'testuser', password: 'testpass123' },
      { email: 'test@example.com', password: 'testpass123' },
    ],
  },
);

export const RefreshBody = Type.Object({ refresh: filled({ examples: ['eyJhbGciOiJIUzI1NiIsInR5cCI6…'] }) });

export const VerifyBody = Type.Object({ token: filled({ description: 'Of either kind.' }) });

export const Obtained = Type.Object(
  { refresh: Token('The refresh token.'), access: Token('The access token.') },
  { additionalProperties: false },
);

export const Refreshed = Type.Object(
  {
    access: Token('The access token.'),
    refresh: Type.Optional(
      Token('The new refresh token; with COMPAT_ROTATION=off the one sent stays in force.'),
    ),
  },
  { additionalProperties: false },
);

/** Of routes that read none. */
export const AnyBody = Type.Object({});

export const Nothing = Type.Object({}, { additionalProperties: false });

export const Revoked = Type.Object(
  { message: Type.String() },
  { additionalProperties: false, examples: [{ message: 'Token revoked successfully' }] },
);

/** The name may be of either kind, and one that is missing is a username: it is what Django asks for by default. */
export function chooseObtainForm(body: unknown): TextFields {
  const isByEmail = isRecord(body) && body.username === undefined && body.email !== undefined;
  const name = isByEmail ? 'email' : 'username';
  const { username, email, password } = ObtainBody.properties;
  return { properties: { [name]: { username, email }[name], password }, required: [name, 'password'] };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/**
 * A username with an `@` was an address in the old system, and one of digits a phone number, which an import makes of
 * them: here no username is either.
 */
export function namesOf({ username, email }: LoginNames): LoginNames {
  if (username?.includes('@')) return { email: username };
  return username !== undefined && isNumber(username) ? { phone: username } : { username, email };
}

/** Whether `normalizeUsername` refuses it as one, or would if it had no spaces and brackets. */
const isNumber = (username: string): boolean =>
  /^\p{Nd}{5,}$/u.test(username.replace(/[\p{Zs}\p{Pd}\p{Default_Ignorable_Code_Point}\u2212.()[\]+]/gu, ''));

/** Of the routes that take a token or a password in the body. */
export const describeInSimpleJwt: Wording = (error, asked) => {
  switch (error.code) {
    case 'invalid_credentials':
    case 'account_disabled':
    case 'forbidden':
      return { status: 401, body: { detail: 'No active account found with the given credentials' } };
    case 'token_invalid':
    case 'token_expired':
    case 'token_revoked':
    case 'token_reused':
    case 'session_ended':
      return { status: 401, body: { detail: describeToken(error), code: 'token_not_valid' } };
    default:
      return describeInDrf(error, asked);
  }
};

/** Of the routes that ask for a bearer token. */
export const describeBearer: Wording = (error, asked) => {
  if (!REFUSED_TOKEN.has(error.code)) return describeInDrf(error, asked);
  return { status: 401, body: describeRefusedBearer(error, asked.authorization ?? '') };
};

/** Of Cosmo's own routes, which say no more of a refresh token that they cannot use. */
export const describeRevocation: Wording = (error, asked) =>
  asked.status === 400 ? { status: 400, body: { error: 'Invalid token' } } : describeBearer(error, asked);

const REFUSED_TOKEN = new Set<Code>([
  'token_missing',
  'token_invalid',
  'token_expired',
  'token_revoked',
  'session_ended',
]);

function describeRefusedBearer(error: AuthError, authorization: string): object {
  const [scheme = '', ...tokens] = authorization.trim().split(/\s+/);
  if (/^bearer$/i.test(scheme) && tokens.length !== 1) {
    const detail = 'Authorization header must contain two space-delimited values';
    return { detail, code: 'bad_authorization_header' };
  }
  if (error.finding === 'unknown_key') return { detail: 'Invalid token.' };
  if (error.code === 'token_missing') return { detail: 'Authentication credentials were not provided.' };
  if (/^token$/i.test(scheme) && error.finding === 'account_disabled') {
    return { detail: 'User inactive or deleted.' };
  }
  if (error.finding === 'account_disabled') return { detail: 'User is inactive', code: 'user_inactive' };
  if (error.finding === 'account_deleted') return { detail: 'User not found', code: 'user_not_found' };
  return {
    detail: 'Given token not valid for any token type',
    code: 'token_not_valid',
    messages: [{ token_class: 'AccessToken', token_type: 'access', message: describeToken(error) }],
  };
}

/** Why SimpleJWT does not take a token. */
function describeToken({ code, finding }: AuthError): string {
  if (finding === 'wrong_type') return 'Token has wrong type';
  if (finding === 'account_disabled' || finding === 'account_deleted')
    return 'No active account found for the given token.';
  return code === 'token_invalid' || code === 'token_expired'
    ? 'Token is invalid or expired'
    : 'Token is blacklisted';
}
