import { judgeStatus, notUnderstood, postTo, readObject } from './http-request.js';
import { DeliveryError } from './port.js';
import type { SmsProvider } from './sms.js';

export interface TwilioSettings {
  accountSid: string;
  authToken: string;
  /** A number in E.164, a sender name, or a Messaging Service (`MG…`). */
  from: string;
  /** Without a slash at the end. */
  baseUrl?: string;
}

/** "This 'From' number has exceeded the maximum number of queued messages". */
const QUEUE_FULL = 21_611;

/**
 * The other codes from 21000 on are about the recipient, except these about the sender, which fail for everybody
 * (https://www.twilio.com/docs/api/errors).
 */
const OF_SENDER = new Set([21_212, 21_601, 21_603, 21_606, 21_660, 21_661, 21_701, 21_704]);

/** Twilio's Messages resource, version 2010-04-01. */
export function createTwilioSms(settings: TwilioSettings): SmsProvider {
  const { accountSid, authToken, from, baseUrl = 'https://api.twilio.com' } = settings;
  const url = `${baseUrl}/2010-04-01/Accounts/${encodeURIComponent(accountSid)}/Messages.json`;
  const authorization = `Basic ${Buffer.from(`${accountSid}:${authToken}`).toString('base64')}`;
  const sender = from.startsWith('MG') ? 'MessagingServiceSid' : 'From';

  return {
    name: 'twilio',
    async send({ to, text }, signal) {
      const response = await postTo('twilio', url, {
        headers: { authorization, accept: 'application/json' },
        body: new URLSearchParams({ To: to, [sender]: from, Body: text }),
        signal,
      });
      const answer = await readObject(response);
      if (!response.ok) throw readRefusal(response.status, answer?.code);
      if (typeof answer?.sid !== 'string') throw notUnderstood('twilio', response.status);
    },
  };
}

/** Its `message` quotes the number, so only the code is told. */
function readRefusal(status: number, code: unknown): DeliveryError {
  const isCode = typeof code === 'number' && code < 100_000;
  const what = isCode ? `${status}, code ${code}` : status;
  return new DeliveryError(`twilio answered ${what}`, isCode ? judgeCode(status, code) : judgeStatus(status));
}

function judgeCode(status: number, code: number): { retryable: boolean; ofProvider: boolean } {
  if (code < 21_000 || code >= 22_000) return judgeStatus(status);
  const retryable = code === QUEUE_FULL;
  return { retryable, ofProvider: retryable || OF_SENDER.has(code) };
}
