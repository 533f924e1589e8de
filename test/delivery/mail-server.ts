import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import type { Test } from 'tap';
import { freePort } from '../support/free-port.js';

/** A message as it arrived. */
export interface Delivered {
  from: string;
  to: string[];
  /** Of `MAIL FROM`. */
  parameters: string[];
  user: string | undefined;
  encrypted: boolean;
  raw: string;
}

export interface MailServer {
  readonly port: number;
  readonly delivered: Delivered[];
  /** Connections that were opened, ever. */
  opened(): number;
  /** Connections that are open. */
  open(): number;
  dropConnections(): void;
}

export const USER = 'mailer@example.com';
export const PASSWORD = 'zq9/smtp#s?cret@ö';

/** A mail server of the test's own, which wants a password when it speaks TLS. */
export async function mailServer(
  t: Pick<Test, 'teardown'>,
  options: SMTPServerOptions = {},
): Promise<MailServer> {
  const delivered: Delivered[] = [];
  let opened = 0;
  const server = new SMTPServer({
    name: 'mail.example.com',
    authOptional: true,
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 100,
    onConnect: (_, done) => {
      opened += 1;
      done();
    },
    onAuth: ({ username, password }, _, done) => {
      if (username === USER && password === PASSWORD) done(null, { user: username });
      else done(Object.assign(new Error(`no such user ${username} ${password}`), { responseCode: 535 }));
    },
    onData: async (stream, session, done) => {
      const { mailFrom, rcptTo } = session.envelope;
      const raw = await text(stream);
      delivered.push({
        from: mailFrom ? mailFrom.address : '',
        parameters: mailFrom ? Object.keys(mailFrom.args || {}) : [],
        to: rcptTo.map(({ address }) => address),
        user: typeof session.user === 'string' ? session.user : undefined,
        encrypted: session.secure,
        raw,
      });
      done();
    },
    ...options,
  });
  // A client that goes away in the middle is what some tests are about.
  server.on('error', () => undefined);
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  await once(server.server, 'listening');
  t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return {
    port,
    delivered,
    opened: () => opened,
    open: () => server.connections.size,
    dropConnections: () => {
      for (const connection of server.connections) connection.close();
    },
  };
}

export interface Script {
  readonly port: number;
  /** What the client said, line by line. */
  readonly heard: string[];
  /** Resolves when the client has gone. */
  gone(): Promise<unknown>;
}

/** Stands for the line that nobody says: the server greets first. */
export const ARRIVAL = '(arrival)';

/** A server that says what it is told: `answer` is given each line, says nothing by `undefined`, hangs up by `cut`. */
export async function scriptedServer(
  t: Pick<Test, 'teardown'>,
  answer: (line: string, cut: () => void) => string | undefined,
): Promise<Script> {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setEncoding('utf8').on('error', () => undefined);
    const cut = () => void socket.destroy();
    const say = (line: string): void => {
      const reply = answer(line, cut);
      if (reply !== undefined) socket.write(`${reply}\r\n`);
    };
    say(ARRIVAL);
    let rest = '';
    socket.on('data', (chunk: string) => {
      const lines = `${rest}${chunk}`.split('\r\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        heard.push(line);
        say(line);
      }
    });
  });
  const port = await freePort();
  await once(server.listen(port, '127.0.0.1'), 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port,
    heard,
    gone: () =>
      Promise.all([...sockets].map((socket) => (socket.destroyed ? undefined : once(socket, 'close')))),
  };
}
