import { Type } from 'typebox';
import type { TextFields } from './fields.js';
import * as phone from './phone-otp.js';
import * as password from './pycoder.js';
import type { Wording } from './wording.js';

/**
 * Two systems had a registration and a login under the same paths: whoever sends a phone number or a code is a client
 * of the one by phone, all others are clients of the one by password.
 */
export const isByPhone = (body: unknown): boolean =>
  typeof body === 'object' && body !== null && ('phone' in body || 'otp' in body);

export const chooseRegisterForm = (body: unknown): TextFields =>
  isByPhone(body) ? phone.RegisterBody : password.RegisterBody;

export const chooseLoginForm = (body: unknown): TextFields =>
  isByPhone(body) ? phone.LoginBody : password.LoginBody;

/** A body that could not be read tells nothing of its sender, who finds the members of both systems. */
export const describeInEither: Wording = (error, asked) => {
  const [byPhone, byPassword] = [phone.describeInEnvelope, password.describeInPycoder];
  if (asked.body === undefined) {
    const answer = byPassword(error, asked);
    return { ...answer, body: { ...byPhone(error, asked).body, ...answer.body } };
  }
  return isByPhone(asked.body) ? byPhone(error, asked) : byPassword(error, asked);
};

/** As the OpenAPI document shows them; which fields are required depends on the form. */
export const RegisterBody = Type.Object(
  { ...Type.Partial(password.RegisterBody).properties, ...Type.Partial(phone.RegisterBody).properties },
  {
    description: 'Either `email` and `password`, or `phone` and `otp`, a code of purpose `register`.',
    examples: [...examplesOf(password.RegisterBody), ...examplesOf(phone.RegisterBody)],
  },
);

export const LoginBody = Type.Object(
  { ...Type.Partial(password.LoginBody).properties, ...Type.Partial(phone.LoginBody).properties },
  {
    description: 'Either `email` and `password`, or `phone` and `otp`, a code of purpose `login`.',
    examples: [...examplesOf(password.LoginBody), ...examplesOf(phone.LoginBody)],
  },
);

export const SignedInBody = Type.Union([password.SignedInBody, phone.SignedInBody]);

function examplesOf(schema: object): object[] {
  return (schema as { examples?: object[] }).examples ?? [];
}
