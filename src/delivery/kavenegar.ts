import { judgeStatus, notUnderstood, postTo, readObject } from './http-request.js';
import { DeliveryError } from './port.js';
import type { SmsProvider } from './sms.js';

export interface KavenegarSettings {
  apiKey: string;
  /** The line to send from; by default the account's own. */
  sender?: string | undefined;
  /** A template of the account's with `%token`, for its faster lines: then the code is sent instead of the text. */
  template?: string | undefined;
  /** Without a slash at the end. */
  baseUrl?: string;
}

/** `return.status` of what may work a moment later: it failed, the server is busy, too many calls. */
const RETRYABLE = new Set([402, 409, 429, 451]);

/**
 * And of what fails for everybody: account, key, address, IP, line, credit, template. The rest is about the message.
 */
const OF_ACCOUNT = new Set([401, 403, 404, 405, 407, 412, 416, 418, 424, 426, 432]);

/** "Only test messages to the owner of the account": no fault of the server's, for all its number. */
const NOT_THE_OWNER = 501;

/** Kavenegar's REST API, version 1 (https://kavenegar.com/rest.html). */
export function createKavenegarSms(settings: KavenegarSettings): SmsProvider {
  const { apiKey, sender, template, baseUrl = 'https://api.kavenegar.com' } = settings;
  // The key is in the path: nothing that quotes the URL may get into an error.
  const method = template === undefined ? 'sms/send.json' : 'verify/lookup.json';
  const url = `${baseUrl}/v1/${encodeURIComponent(apiKey)}/${method}`;

  return {
    name: 'kavenegar',
    async send({ to, text, code }, signal) {
      const receptor = toReceptor(to);
      const fields: Record<string, string> =
        template === undefined
          ? { receptor, message: text, ...(sender !== undefined && { sender }) }
          : { receptor, template, token: code };
      const response = await postTo('kavenegar', url, {
        headers: { accept: 'application/json' },
        body: new URLSearchParams(fields),
        signal,
      });
      const status = readStatus(await readObject(response));
      if (!response.ok || (status !== undefined && status !== 200))
        throw readRefusal(response.status, status);
      if (status === undefined) throw notUnderstood('kavenegar', response.status);
    },
  };
}

/** Numbers as its documentation writes them: `09…` at home, `00` and the country code abroad. */
const toReceptor = (to: string): string => (to.startsWith('+98') ? `0${to.slice(3)}` : to.replace('+', '00'));

/** Its own verdict: also in answers with HTTP 200. */
function readStatus(answer: Record<string, unknown> | undefined): number | undefined {
  const { status } = (answer?.return ?? {}) as { status?: unknown };
  const number = typeof status === 'string' ? Number.parseInt(status, 10) : status;
  return typeof number === 'number' && number > 0 && number < 1000 ? number : undefined;
}

function readRefusal(httpStatus: number, status: number | undefined): DeliveryError {
  if (status === undefined || status === 200) {
    return new DeliveryError(`kavenegar answered ${httpStatus}`, judgeStatus(httpStatus));
  }
  const retryable = RETRYABLE.has(status) || (status >= 500 && status < 600 && status !== NOT_THE_OWNER);
  return new DeliveryError(`kavenegar answered ${httpStatus}, status ${status}`, {
    retryable,
    ofProvider: retryable || OF_ACCOUNT.has(status),
  });
}
