import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { freePort } from './free-port.js';

export interface StatementCounter {
  /** Where the code under test connects. */
  readonly url: string;
  /** The statements since the last reset, in order; what only opens or ends a transaction is none. */
  statements(): string[];
  reset(): void;
}

const TRANSACTION = /^\s*(begin|start transaction|commit|rollback)\b/i;

/** A proxy before PostgreSQL that reads along which statements are executed (protocol 3.0, without TLS). */
export async function countStatements(
  t: Pick<Test, 'teardown'>,
  databaseUrl: string,
): Promise<StatementCounter> {
  const target = new URL(databaseUrl);
  const url = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let statements: string[] = [];

  const server = createServer((client) => {
    const postgres = connect(Number(target.port || 5432), target.hostname);
    const read = statementReader((text) => {
      if (!TRANSACTION.test(text)) statements.push(text);
    });
    client.on('data', (chunk) => {
      read(chunk);
      postgres.write(chunk);
    });
    postgres.pipe(client);
    for (const [one, other] of [
      [client, postgres],
      [postgres, client],
    ] as const) {
      sockets.add(one.setNoDelay(true));
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  url.port = String(await freePort());
  await once(server.listen(Number(url.port), '127.0.0.1'), 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: url.href,
    statements: () => [...statements],
    reset() {
      statements = [];
    },
  };
}

/** Follows what one client says: Query, or Parse, Bind and Execute. The first message has no type. */
function statementReader(onStatement: (text: string) => void): (chunk: Buffer) => void {
  const prepared = new Map<string, string>();
  let pending: Buffer = Buffer.alloc(0);
  let started = false;
  let bound = '';

  function take(type: string, body: Buffer): void {
    const [first = '', second = ''] = body.toString('utf8').split('\0', 2);
    if (type === 'Q') onStatement(first);
    else if (type === 'P') prepared.set(first, second);
    else if (type === 'B') bound = prepared.get(second) ?? '';
    else if (type === 'E') onStatement(bound);
  }

  return (chunk) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const header = started ? 1 : 0;
      if (pending.length < header + 4) return;
      const end = header + pending.readInt32BE(header);
      if (pending.length < end) return;
      if (started) take(pending.toString('latin1', 0, 1), pending.subarray(5, end));
      started = true;
      pending = pending.subarray(end);
    }
  };
}
