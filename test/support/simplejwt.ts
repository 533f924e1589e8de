import { createHmac } from 'node:crypto';
import { newTokenId } from '../../src/lib/ids.js';

/** Secret of the old system, as Django makes them: 50 characters. */
export const OLD_KEY = 'n3(w$6k)0r^q!z8@v5p=x2c7b1m4l9j-h+g%f&d*s_a#t~u8yi';

export const DAY_SECONDS = 86_400;

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export interface OldToken {
  token: string;
  payload: Record<string, unknown> & { jti: string; exp: number };
}

/**
 * A token as djangorestframework-simplejwt 5.2 signs it. Members that are `undefined` are left out; lifetimes are
 * SimpleJWT's defaults.
 */
export function oldToken(
  type: 'access' | 'refresh',
  userId: unknown,
  claims: Record<string, unknown> = {},
  { key = OLD_KEY, alg = 'HS256', header = {} }: { key?: string; alg?: string; header?: object } = {},
): OldToken {
  const now = Math.floor(Date.now() / 1000);
  const payload = {
    token_type: type,
    exp: now + (type === 'access' ? 300 : DAY_SECONDS),
    iat: now,
    jti: newTokenId(),
    user_id: userId,
    ...claims,
  };
  const input = `${part({ alg, typ: 'JWT', ...header })}.${part(payload)}`;
  const signature = createHmac(`sha${alg.slice(2)}`, key)
    .update(input)
    .digest('base64url');
  return { token: `${input}.${signature}`, payload };
}
