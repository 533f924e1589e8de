// npm run build && node bench/metrics.mjs: what the metrics cost an authenticated request, in ns: the hook that counts
// it, and the clock around its one command to Redis.
import Fastify from 'fastify';
import { createMetrics } from '../dist/src/audit/metrics.js';

const CALLS = 5_000_000;
const ROUNDS = 5;

const metrics = createMetrics({ statusOf: {}, ofProcess: false });
const { request, reply } = await anyRequest();

const costs = {
  'counting a request': () => {
    const { url } = request.routeOptions;
    metrics.countRequest(request.method, url, reply.statusCode, reply.elapsedTime);
  },
  'timing a command': () => {
    const sentAt = performance.now();
    metrics.countStoreCall('redis', performance.now() - sentAt, false);
  },
  'counting an event': () => metrics.countEvent('token_refreshed'),
};
for (const [name, work] of Object.entries(costs)) {
  console.log(`${name.padEnd(20)} ${median(work).toFixed(0).padStart(4)} ns`);
}

/** One of an application with as many routes as ours has. */
async function anyRequest() {
  const app = Fastify();
  const seen = {};
  for (let n = 0; n < 40; n += 1) app.get(`/api/auth/route-${n}`, async () => ({}));
  app.addHook('onResponse', async (request, reply) => Object.assign(seen, { request, reply }));
  await app.inject('/api/auth/route-7');
  return seen;
}

function median(work) {
  for (let n = 0; n < CALLS; n += 1) work();
  const rounds = Array.from({ length: ROUNDS }, () => {
    const startedAt = process.hrtime.bigint();
    for (let n = 0; n < CALLS; n += 1) work();
    return Number(process.hrtime.bigint() - startedAt) / CALLS;
  });
  return rounds.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)];
}
