import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { freePort } from '../support/free-port.js';

export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface HttpDouble {
  readonly url: string;
  /** Requests, oldest first. */
  readonly received: Received[];
  /** The same answer from now on. An object is sent as JSON. */
  answer(status: number, body?: string | object, headers?: Record<string, string>): void;
  answerWith(how: (response: ServerResponse, request: Received) => void): void;
}

/** A provider of the test's own. It answers nothing until it is told what. */
export async function httpDouble(t: Pick<Test, 'teardown'>): Promise<HttpDouble> {
  const received: Received[] = [];
  let how: (response: ServerResponse, request: Received) => void = () => undefined;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url: path = '', headers } = request;
    const taken = { method, path, headers, body: Buffer.concat(chunks).toString() };
    received.push(taken);
    how(response, taken);
  });
  const port = await freePort();
  await once(server.listen(port, '127.0.0.1'), 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    answer(status, body = '', headers = {}) {
      const isText = typeof body === 'string';
      how = (response) =>
        response
          .writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json', ...headers })
          .end(isText ? body : JSON.stringify(body));
    },
    answerWith(given) {
      how = given;
    },
  };
}
