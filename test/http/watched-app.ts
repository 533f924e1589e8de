import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import type { Test } from 'tap';
import { type Stores, type TestApp, testApp } from '../support/app.js';

interface Operation {
  responses: Record<string, { description: string }>;
}

interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
}

/**
 * The service with two eyes on it: every answer must be one that the OpenAPI document declares for its route, and
 * no secret that went in or out may stand in the log when the test ends.
 */
export async function watchedApp(
  t: Test,
  options: { stores?: Stores; env?: Record<string, string> } = {},
): Promise<TestApp> {
  const real = await testApp(t, options);
  const document = real.app.swagger() as unknown as OpenApi;
  const secrets = new Set<string>();

  // Teardowns run last come, first served: the application is still up.
  t.teardown(() => {
    const log = real.logs();
    const leaked = [...secrets].filter((secret) => log.includes(secret));
    if (leaked.length > 0)
      throw new Error(`secrets stand in the log: ${leaked.map((secret) => `${secret.slice(0, 8)}…`)}`);
  });

  return {
    ...real,
    async send(options) {
      const response = await real.send(options);
      for (const secret of [...secretsOf(options), ...secretsIn(response)]) secrets.add(secret);
      requireDeclared(document, options, response);
      return response;
    },
  };
}

function requireDeclared(document: OpenApi, options: InjectOptions, response: LightMyRequestResponse): void {
  const method = (options.method ?? 'GET').toLowerCase();
  const path = String(options.url).split('?', 1)[0]!;
  const known = Object.keys(document.paths).find((pattern) => matches(pattern, path));
  const operation = known && document.paths[known]?.[method];
  if (!operation) return;

  const answer = operation.responses[response.statusCode];
  // The routes of old systems have codes of their own, or none.
  const isProblem = String(response.headers['content-type']).startsWith('application/problem+json');
  const code = isProblem ? String(response.json().code) : '';
  if (answer?.description.includes(code && `\`${code}\``)) return;
  throw new Error(`${method} ${known} answered ${response.statusCode} ${code}, which is not declared`);
}

function matches(pattern: string, path: string): boolean {
  const [parts, given] = [pattern, path].map((each) => each.replace(/(?<=.)\/$/, '').split('/')) as [
    string[],
    string[],
  ];
  return parts.length === given.length && parts.every((part, n) => part.startsWith('{') || part === given[n]);
}

const SECRET_FIELDS = new Set([
  'password',
  'password2',
  'current_password',
  'new_password',
  'access',
  'refresh',
  'token',
]);

/** Shorter ones might stand in a log by accident, and so might the example of an old document that is just the word. */
const isSecret = (value: unknown): value is string =>
  typeof value === 'string' && value.length >= 8 && value !== 'password';

const fieldsOf = (body: unknown): string[] =>
  typeof body === 'object' && body !== null
    ? Object.entries(body)
        .filter(([name]) => SECRET_FIELDS.has(name))
        .map(([, value]) => value)
        .filter(isSecret)
    : [];

function secretsOf({ payload, headers = {}, cookies = {} }: InjectOptions): string[] {
  const credentials = String(headers.authorization ?? '').split(/\s+/);
  return [...fieldsOf(payload), ...credentials, ...Object.values(cookies)].filter(isSecret);
}

function secretsIn(response: LightMyRequestResponse): string[] {
  const isJson = response.headers['content-type']?.toString().startsWith('application/json');
  const body = isJson && response.body ? response.json() : undefined;
  return [...fieldsOf(body), ...response.cookies.map(({ value }) => value)].filter(isSecret);
}
