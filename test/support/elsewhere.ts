import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';

/** A service in another process that answers the requests of a test, on the same stores. */
export interface Elsewhere {
  /** Of its stores. */
  env: Record<string, string>;
  send(options: InjectOptions): Promise<LightMyRequestResponse>;
  /** Moves its clock (ms). */
  advance(ms: number): void;
}

/** What test/lambda/offline.test.ts gives the tests that it runs once more against what it has started. */
export function findElsewhere(): Elsewhere | undefined {
  const { TEST_BASE_URL: base, TEST_CLOCK_FILE: clock, TEST_STORES: stores } = process.env;
  if (!base || !clock || !stores) return undefined;
  return {
    env: JSON.parse(stores),
    send: (options) => sendTo(base, options),
    advance: (ms) => writeFileSync(clock, String(Number(readFileSync(clock, 'utf8')) + ms)),
  };
}

/** What Fastify's `inject` does, by HTTP; of the answer there is what tests look at. */
async function sendTo(base: string, options: InjectOptions): Promise<LightMyRequestResponse> {
  const { method = 'GET', url, headers, payload, remoteAddress } = options;
  const isObject = typeof payload === 'object' && payload !== null;
  const body = isObject ? JSON.stringify(payload) : (payload as string | undefined);
  return new Promise((resolve, reject) => {
    const outgoing = request(new URL(String(url), base), {
      method,
      // serverless-offline gives the length and sends chunks nevertheless.
      insecureHTTPParser: true,
      headers: {
        ...(isObject && { 'content-type': 'application/json' }),
        ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
        'x-test-address': remoteAddress ?? '127.0.0.1',
        ...(headers as Record<string, string>),
      },
    });
    outgoing.on('error', reject);
    outgoing.on('response', async (incoming) => {
      let text = '';
      for await (const chunk of incoming.setEncoding('utf8')) text += chunk;
      const cookies = (incoming.headers['set-cookie'] ?? []).map((cookie) => {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
        return { name, value: decodeURIComponent(value ?? '') };
      });
      resolve({
        statusCode: incoming.statusCode,
        headers: incoming.headers,
        body: text,
        cookies,
        json: () => JSON.parse(text),
      } as unknown as LightMyRequestResponse);
    });
    outgoing.end(body);
  });
}
