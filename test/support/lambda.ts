import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { makeTempDir, recordProcess } from './process-records.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const RUNTIME = fileURLToPath(new URL('./lambda-runtime.js', import.meta.url));

/** Builds the bundle for this machine into a folder that holds nothing else; gives its path. */
export async function buildBundle(): Promise<string> {
  const out = join(mkdtempSync(join(makeTempDir('lambda'), 'task-')), 'lambda');
  const script = join(root, 'scripts/build-lambda.mjs');
  await promisify(execFile)(process.execPath, [script, '--local', '--out', out], { env: {} });
  return out;
}

export interface LambdaAnswer {
  statusCode: number;
  headers: Record<string, string>;
  multiValueHeaders?: Record<string, string[]>;
  cookies?: string[];
  body: string;
  isBase64Encoded: boolean;
}

export interface Instance {
  /** Of an HTTP event; throws what the handler threw. */
  invoke(event: object): Promise<LambdaAnswer>;
  clean(event?: object): Promise<string>;
  /** Timers that the last answer left running. */
  timers(): number;
  /** The most memory that it has had (bytes). */
  memory(): number;
  output(): string;
  freeze(): void;
  thaw(): void;
}

interface Reply {
  id: number;
  answer?: unknown;
  timers?: number;
  memory?: number;
  error?: string;
}

/** An instance of the function, with these settings and nothing else of this process. */
export async function startInstance(
  t: Pick<Test, 'teardown'>,
  { bundle, node = process.execPath, env }: { bundle: string; node?: string; env: Record<string, string> },
): Promise<Instance> {
  // By `env`, or tap would add the hook of its coverage, which takes memory and is made for one version of Node.js.
  const command = [`NODE_OPTIONS=${env.NODE_OPTIONS ?? ''}`, node, RUNTIME, join(bundle, 'index.mjs')];
  const child = spawn('env', command, {
    cwd: bundle,
    env: { AWS_LAMBDA_FUNCTION_NAME: 'latchkey-test-api', LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A ^C in the terminal is for the tests' own process, which then stops this one.
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += text));
  const exited = once(child, 'exit');
  if (child.pid) recordProcess(child.pid);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });

  const waiting = new Map<number, (reply: Reply) => void>();
  child.on('message', (reply: Reply) => waiting.get(reply.id)?.(reply));
  let ids = 0;
  let last: Reply = { id: 0 };
  const replyTo = async (id: number): Promise<Reply> => {
    const reply = new Promise<Reply>((resolve) => waiting.set(id, resolve));
    const ended = exited.then(() => ({ id, error: `the instance ended: ${output}` }));
    last = await Promise.race([reply, ended]);
    if (last.error !== undefined) throw new Error(last.error);
    return last;
  };
  const call = async (name: string, event: object): Promise<unknown> => {
    ids += 1;
    child.send({ id: ids, name, event });
    return (await replyTo(ids)).answer;
  };

  await replyTo(0);
  return {
    async invoke(event) {
      const answer = (await call('handler', event)) as LambdaAnswer;
      // Never what a test is about.
      if (answer.statusCode === 500) throw new Error(`${answer.body}\n${output}`);
      return answer;
    },
    clean: (event = { source: 'aws.events' }) => call('clean', event) as Promise<string>,
    timers: () => last.timers ?? 0,
    memory: () => last.memory ?? 0,
    output: () => output,
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
  };
}

interface Asked {
  body?: object | string;
  headers?: Record<string, string>;
  query?: string;
  cookies?: string[];
  /** Who the gateway says is asking. */
  sourceIp?: string;
  base64?: boolean;
}

/** What an HTTP API and a function URL send (payload format 2.0). */
export function httpEvent(method: string, path: string, asked: Asked = {}): object {
  const { headers, query = '', cookies, sourceIp = '203.0.113.7' } = asked;
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: query,
    ...(query && { queryStringParameters: Object.fromEntries(new URLSearchParams(query)) }),
    ...(cookies && { cookies }),
    headers: {
      host: 'auth.example.com',
      'x-forwarded-for': sourceIp,
      'content-type': 'application/json',
      ...headers,
    },
    requestContext: {
      requestId: 'JKJaXmPLvHcESHA=',
      stage: '$default',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp, userAgent: 'test' },
    },
    ...bodyOf(asked),
  };
}

/** What a REST API sends (payload format 1.0). */
export function restEvent(method: string, path: string, asked: Asked = {}): object {
  const { headers, query, cookies, sourceIp = '203.0.113.7' } = asked;
  const all = {
    Host: 'auth.example.com',
    'X-Forwarded-For': sourceIp,
    'Content-Type': 'application/json',
    ...(cookies && { Cookie: cookies.join('; ') }),
    ...headers,
  };
  return {
    resource: '/{proxy+}',
    path,
    httpMethod: method,
    headers: all,
    multiValueHeaders: Object.fromEntries(Object.entries(all).map(([name, value]) => [name, [value]])),
    queryStringParameters: query ? Object.fromEntries(new URLSearchParams(query)) : null,
    multiValueQueryStringParameters: query
      ? Object.fromEntries([...new URLSearchParams(query)].map(([name, value]) => [name, [value]]))
      : null,
    requestContext: {
      resourcePath: '/{proxy+}',
      stage: 'prod',
      requestId: 'c6af9ac6-7b61-11e6-9a41-93e8deadbeef',
      identity: { sourceIp, userAgent: 'test' },
    },
    ...bodyOf(asked),
  };
}

function bodyOf({ body, base64 = false }: Asked): { body: string | null; isBase64Encoded: boolean } {
  const text = body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body);
  return {
    body: text !== null && base64 ? Buffer.from(text).toString('base64') : text,
    isBase64Encoded: base64,
  };
}
