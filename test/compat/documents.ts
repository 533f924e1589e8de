import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import { bearer } from '../support/app.js';

/** `WWW-Authenticate` of every old system. */
export const CHALLENGE = 'Bearer realm="api"';

export const post = (url: string, payload?: object | string, headers: Record<string, string> = {}) =>
  ({ method: 'POST', url, ...(payload !== undefined && { payload }), headers }) as const;

export const get = (url: string, token?: string) =>
  ({ method: 'GET', url, headers: token === undefined ? {} : bearer(token) }) as const;

/** A request as a document has it on its command line: `curl -X POST URL -H "…" -d '…'`. */
export function readCurl(command: string, replace: Record<string, string> = {}): InjectOptions {
  const words = Array.from(command.matchAll(/'([^']*)'|"([^"]*)"|([^\s\\]+)/g), ([, single, double, bare]) =>
    Object.entries(replace).reduce(
      (word, [from, to]) => word.replaceAll(from, to),
      single ?? double ?? bare ?? '',
    ),
  );
  const valuesOf = (flag: string): string[] =>
    words.flatMap((word, n) => (words[n - 1] === flag ? [word] : []));
  const url = words.find((word) => word.startsWith('http://localhost:8000/'));
  if (words[0] !== 'curl' || !url) throw new Error(`no request: ${command}`);
  const [payload] = valuesOf('-d');
  return {
    method: valuesOf('-X')[0] as 'GET',
    url: new URL(url).pathname,
    headers: Object.fromEntries(valuesOf('-H').map((header) => header.split(/:\s*/, 2) as [string, string])),
    ...(payload !== undefined && { payload }),
  };
}

/** What an answer looks like, whatever it says: the type of each of its members. */
export function shapeOf(value: unknown): unknown {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length > 0 ? [shapeOf(value[0])] : [];
  if (typeof value !== 'object') return typeof value === 'string' && JWT.test(value) ? 'jwt' : typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shapeOf(member)]));
}

const JWT = /^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+$/;

/** Status and body, with the challenge of a 401. */
export const told = ({ statusCode, headers, body }: LightMyRequestResponse): unknown[] => [
  statusCode,
  JSON.parse(body),
  ...(headers['www-authenticate'] ? [headers['www-authenticate']] : []),
];
