import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { freePort } from './free-port.js';
import { commandName, RespReader } from './resp-reader.js';

export interface TripCounter {
  /** Where the code under test connects. */
  readonly url: string;
  /** Round trips since the last reset. */
  trips(): number;
  /** Names of the commands since the last reset, lower-case. */
  commands(): string[];
  reset(): void;
}

/** What a client says to set up its connection. */
const SET_UP = new Set(['hello', 'client', 'auth', 'select', 'info', 'script load', 'cluster', 'readonly']);

/**
 * A proxy before Redis that counts what a request costs. A round trip is a burst: the commands that a connection
 * sends before the reply to the first of them was passed back. Connections count apart, set-up does not count.
 */
export async function countTrips(t: Pick<Test, 'teardown'>, redisUrl: string): Promise<TripCounter> {
  const target = new URL(redisUrl);
  const url = new URL(redisUrl);
  const sockets = new Set<Socket>();
  let trips = 0;
  let commands: string[] = [];

  const server = createServer((client) => {
    const redis = connect(Number(target.port || 6379), target.hostname);
    const burst = trackBursts(() => {
      trips += 1;
    });
    const requests = new RespReader();
    const replies = new RespReader();
    client.on('data', (chunk) => {
      for (const value of requests.read(chunk)) {
        const name = commandName(value);
        const counts = !SET_UP.has(name);
        if (counts) commands.push(name);
        burst.sent(name, counts);
      }
      redis.write(chunk);
    });
    redis.on('data', (chunk) => {
      client.write(chunk);
      for (const value of replies.read(chunk)) burst.answered(isPush(value));
    });
    pair(client, redis);
    for (const socket of [client, redis]) sockets.add(socket.setNoDelay(true));
  });
  url.port = String(await freePort());
  await once(server.listen(Number(url.port), '127.0.0.1'), 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: url.href,
    trips: () => trips,
    commands: () => [...commands],
    reset() {
      trips = 0;
      commands = [];
    },
  };
}

/** Pushes (RESP3 `>`) come unasked and answer no command. */
function isPush(value: Buffer): boolean {
  return value[0] === '>'.charCodeAt(0);
}

function trackBursts(onTrip: () => void) {
  let sent = 0;
  let answered = 0;
  /** Number of the command whose reply ends the burst. */
  let first: number | undefined;
  let subscribed = false;
  return {
    sent(name: string, counts: boolean) {
      sent += 1;
      if (name.endsWith('subscribe')) subscribed = true;
      if (!counts || first !== undefined) return;
      first = sent;
      onTrip();
    },
    answered(push: boolean) {
      if (!push) answered += 1;
      // A subscriber's replies cannot be matched to its commands: any answer ends its burst.
      if (subscribed || (first !== undefined && answered >= first)) first = undefined;
    },
  };
}

function pair(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}
