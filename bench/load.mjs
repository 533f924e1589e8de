// A closed loop of HTTP/1.1 requests over keep-alive sockets: lean enough not to be what is measured.
import { connect } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

/** One request as bytes. */
export function request(method, path, { body, token } = {}) {
  const payload = body === undefined ? '' : JSON.stringify(body);
  const head = [
    `${method} ${path} HTTP/1.1`,
    'Host: bench',
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ...(body === undefined
      ? []
      : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(payload)}`]),
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${payload}`);
}

/**
 * Runs `next(lane, answer)` in `lanes` lanes for `ms`: it is given the answer to the lane's last request, or
 * undefined at first, and gives the next request. Any status but `expected` stops the run.
 */
export function closedLoop({ port, lanes, ms, expected = 200, next }) {
  return new Promise((resolve, reject) => {
    const latencies = [];
    const started = performance.now();
    let open = lanes;
    let failed = false;

    const stop = (error) => {
      failed = true;
      reject(error);
    };
    for (let lane = 0; lane < lanes; lane++) {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      let received = Buffer.alloc(0);
      let sentAt = 0;
      const send = (answer) => {
        // Asked before the end as well: a lane must see each answer, or it would go on with a spent token.
        const bytes = next(lane, answer);
        if (failed || performance.now() - started >= ms) return socket.end();
        sentAt = performance.now();
        socket.write(bytes);
      };
      socket.on('connect', () => send(undefined));
      socket.on('data', (chunk) => {
        received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        const answer = readAnswer(received);
        if (!answer) return;
        received = received.subarray(answer.length);
        latencies.push(performance.now() - sentAt);
        if (answer.status !== expected) return stop(new Error(`answered ${answer.status}: ${answer.body()}`));
        send(answer);
      });
      socket.on('error', stop);
      socket.on('close', () => {
        open -= 1;
        if (open > 0 || failed) return;
        const seconds = (performance.now() - started) / 1000;
        latencies.sort((a, b) => a - b);
        resolve({
          requests: latencies.length,
          perSecond: latencies.length / seconds,
          p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
        });
      });
    }
  });
}

function readAnswer(bytes) {
  const headEnd = bytes.indexOf(HEAD_END);
  if (headEnd < 0) return undefined;
  const head = bytes.latin1Slice(0, headEnd);
  const size = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
  const start = headEnd + HEAD_END.length;
  if (bytes.length < start + size) return undefined;
  return {
    status: Number(head.slice(9, 12)),
    length: start + size,
    body: () => bytes.toString('utf8', start, start + size),
  };
}
