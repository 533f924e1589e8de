import { DeliveryError } from './port.js';

/** Far above any answer of a provider; what is longer is not read (bytes). */
const MAX_ANSWER = 65_536;

/**
 * Posts to a provider over HTTP. No redirect is followed: it could lead away from https, and would take the message
 * and the key along. Errors tell neither the URL nor what was sent: some providers have their key in the path.
 * @throws DeliveryError
 */
export async function postTo(
  provider: string,
  url: string,
  init: { headers?: Record<string, string>; body: string | URLSearchParams; signal: AbortSignal },
): Promise<Response> {
  try {
    return await fetch(url, { ...init, method: 'POST', redirect: 'manual' });
  } catch (error) {
    if (init.signal.aborted)
      throw new DeliveryError(`${provider} did not answer in time`, { retryable: true });
    throw new DeliveryError(`${provider} cannot be reached (${networkCode(error)})`, { retryable: true });
  }
}

/** `ECONNREFUSED` and the like. The texts of these errors may quote the URL or a header. */
function networkCode(error: unknown): string {
  const { code } = ((error as Error).cause ?? error) as { code?: unknown };
  return typeof code === 'string' ? code : 'no connection';
}

/** The JSON object that was answered; `undefined` when it is something else, too long, or breaks off. */
export async function readObject(response: Response): Promise<Record<string, unknown> | undefined> {
  try {
    const json: unknown = JSON.parse(await readText(response));
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    // Leaving the loop cancels the rest.
    if (size > MAX_ANSWER) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What an HTTP status says of a failure where nothing better is known. */
export function judgeStatus(status: number): { retryable: boolean; ofProvider: boolean } {
  const retryable = status === 408 || status === 425 || status === 429 || status >= 500;
  // A wrong key or a wrong address fails for everybody, a wrong number only for its owner.
  return { retryable, ofProvider: retryable || (status !== 400 && status !== 422) };
}

/** A success without the answer that belongs to it: a proxy, a captive portal, a wrong address. */
export const notUnderstood = (provider: string, status: number): DeliveryError =>
  new DeliveryError(`${provider} answered ${status}, but not as it should`, { retryable: true });
