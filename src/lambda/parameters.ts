import { createHash, createHmac } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

/** Where the Parameter Store is, and who is asking: what Lambda gives every function. */
export interface ParameterStore {
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string | undefined;
  /** `https://…`; by default the region's own. */
  endpoint: string | undefined;
}

/** GetParameters takes no more at once. */
const AT_ONCE = 10;
const TRY_TIMEOUT_MS = 2000;
/** Many instances that start together are throttled. Each pause is cut by up to a half, at random (ms). */
const PAUSES_MS = [300, 900];

/**
 * Fetches parameters of AWS Systems Manager, decrypted, by their names: those that are not there are left out. Secrets
 * of Secrets Manager are `/aws/reference/secretsmanager/NAME`. One call for up to ten, signed here: loading the SDK would take longer
 * than the call.
 * @throws Error with what AWS said, which names no value
 */
export async function fetchParameters(
  names: readonly string[],
  store: ParameterStore,
): Promise<Map<string, string>> {
  const batches = Array.from({ length: Math.ceil(names.length / AT_ONCE) }, (_, n) =>
    names.slice(n * AT_ONCE, (n + 1) * AT_ONCE),
  );
  const found = await Promise.all(batches.map((batch) => persistently(() => getParameters(batch, store))));
  return new Map(found.flat());
}

async function persistently<T>(attempt: () => Promise<T>): Promise<T> {
  for (const pauseMs of PAUSES_MS) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof Refusal) throw error;
      await delay(pauseMs * (1 - Math.random() / 2));
    }
  }
  return attempt();
}

/** Asking again would change nothing. */
class Refusal extends Error {}

interface Found {
  Parameters: { Name: string; Value: string; Selector?: string }[];
}

async function getParameters(names: readonly string[], store: ParameterStore): Promise<[string, string][]> {
  const url = new URL(store.endpoint ?? `https://ssm.${store.region}.amazonaws.com/`);
  const body = JSON.stringify({ Names: names, WithDecryption: true });
  const response = await fetch(url, {
    method: 'POST',
    headers: sign({ url, target: 'AmazonSSM.GetParameters', body, at: new Date() }, store),
    body,
    signal: AbortSignal.timeout(TRY_TIMEOUT_MS),
  });
  const answer = (await response.json()) as Found & { __type?: string };
  if (response.ok) {
    // `NAME:3` and `NAME:label` are answered as the name and, apart from it, the selector.
    return answer.Parameters.map(({ Name, Selector = '', Value }) => [`${Name}${Selector}`, Value]);
  }
  const type = /^(?:.*#)?(\w+)$/.exec(answer.__type ?? '')?.[1] ?? 'no reason';
  const text = `AWS Systems Manager answered ${response.status} (${type})`;
  throw response.status >= 500 || type === 'ThrottlingException' ? new Error(text) : new Refusal(text);
}

/** Signature Version 4, "Create a signed AWS API request" in the IAM user guide. */
function sign(
  { url, target, body, at }: { url: URL; target: string; body: string; at: Date },
  { region, accessKeyId, secretAccessKey, sessionToken }: ParameterStore,
): Record<string, string> {
  const time = at.toISOString().replace(/[-:]|\.\d+/g, '');
  const day = time.slice(0, 8);
  const headers: Record<string, string> = {
    'content-type': 'application/x-amz-json-1.1',
    host: url.host,
    'x-amz-date': time,
    ...(sessionToken !== undefined && { 'x-amz-security-token': sessionToken }),
    'x-amz-target': target,
  };
  const signed = Object.keys(headers).join(';');
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const request = ['POST', url.pathname, '', lines.join(''), signed, sha256(body)].join('\n');
  const scope = `${day}/${region}/ssm/aws4_request`;
  const key = [day, region, 'ssm', 'aws4_request'].reduce<Buffer | string>(hmac, `AWS4${secretAccessKey}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope, sha256(request)].join('\n')).toString('hex');
  const { host: _, ...sent } = headers;
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`,
  };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: Buffer | string, text: string): Buffer => createHmac('sha256', key).update(text).digest();
