import { setTimeout as delay } from 'node:timers/promises';
import type { LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import type { OtpPurpose } from '../../src/contract/otp.js';
import { type HttpDouble, httpDouble } from '../delivery/http-double.js';
import type { SignedUp, TestApp } from '../support/app.js';

/** A text message as the provider got it. */
export interface Received {
  to: string;
  purpose: OtpPurpose;
  text: string;
  code: string;
}

/** All the phones of the world, as far as the service can reach them. */
export interface Phones {
  /** Settings that make the service send its messages here. */
  readonly env: Record<string, string>;
  readonly provider: HttpDouble;
  /** What this number was sent so far, oldest first. */
  inbox(e164: string): Received[];
  /** The newest message, once there are so many. */
  newest(e164: string, count: number): Promise<Received>;
}

export async function phones(t: Pick<Test, 'teardown'>): Promise<Phones> {
  const provider = await httpDouble(t);
  provider.answer(204);
  const inbox = (e164: string): Received[] =>
    provider.received
      .map(({ body }) => JSON.parse(body) as Received & { timestamp: string })
      .filter(({ to }) => to === e164)
      .map(({ to, purpose, text, code }) => ({ to, purpose, text, code }));
  return {
    env: {
      SMS_PROVIDER: 'webhook',
      WEBHOOK_URL: `${provider.url}/sms`,
      WEBHOOK_SECRET: 'a secret of the tests, long enough',
    },
    provider,
    inbox,
    async newest(e164, count) {
      for (const deadline = Date.now() + 5000; inbox(e164).length < count; await delay(2)) {
        if (Date.now() > deadline) throw new Error(`message ${count} to ${e164} did not arrive`);
      }
      return inbox(e164).at(-1) as Received;
    },
  };
}

/** No limit stands in the way of codes. */
export const UNLIMITED = {
  OTP_RESEND: 'off',
  OTP_SENDS_PER_HOUR: 'off',
  OTP_SENDS_PER_DAY: 'off',
  OTP_SENDS_PER_IP_HOUR: 'off',
  OTP_SPEND_GUARD: 'off',
} as const;

let numbers = 0;

/** A mobile number that nobody had before in this process: as it is typed in Iran, and in E.164. */
export function freshNumber(): { typed: string; e164: string } {
  numbers += 1;
  const rest = String((process.pid % 1000) * 10_000 + numbers).padStart(7, '0');
  return { typed: `0912${rest}`, e164: `+98912${rest}` };
}

type Fields = Record<string, unknown>;
const post = (url: string, payload: Fields) =>
  ({ method: 'POST', url: `/api/auth/${url}`, payload }) as const;

export const sendOf = (phone: unknown, purpose: unknown = 'login') => post('otp/send', { phone, purpose });
export const loginBy = (phone: unknown, otp: unknown) => post('login', { phone, otp });
export const registerBy = (phone: unknown, otp: unknown, fields: Fields = {}) =>
  post('register', { phone, otp, ...fields });

/** Another code of the same length. */
export const otherThan = (code: string): string =>
  String((Number(code) + 1) % 10 ** code.length).padStart(code.length, '0');

/** Asks for a code and reads it off the phone. */
export async function codeFor(
  { send }: Pick<TestApp, 'send'>,
  { newest, inbox }: Phones,
  e164: string,
  purpose: OtpPurpose = 'login',
): Promise<string> {
  const before = inbox(e164).length;
  const answer = await send(sendOf(e164, purpose));
  if (answer.statusCode !== 200) throw new Error(`otp/send answered ${answer.statusCode} ${answer.body}`);
  return (await newest(e164, before + 1)).code;
}

export interface PhonePerson extends SignedUp {
  e164: string;
  typed: string;
}

/** Registers somebody new by phone. */
export async function signUpByPhone(app: TestApp, phones: Phones, fields: Fields = {}): Promise<PhonePerson> {
  const number = freshNumber();
  const code = await codeFor(app, phones, number.e164, 'register');
  const answer = await app.send(registerBy(number.typed, code, fields));
  if (answer.statusCode !== 201) throw new Error(`register answered ${answer.statusCode} ${answer.body}`);
  return { ...number, ...answer.json() };
}

export const statusAndCode = (answer: LightMyRequestResponse): string =>
  `${answer.statusCode} ${answer.statusCode < 400 ? '' : answer.json().code}`.trim();
