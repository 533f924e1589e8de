import fp from 'fastify-plugin';

/**
 * One line for each answer: changes and failures at `info`, successful reads at `debug`. The path stands in it
 * without its query, and no header does, so no token can.
 */
export default fp(
  async (app) => {
    app.addHook('onResponse', async (request, reply) => {
      const { method, url } = request;
      const level = method === 'GET' && reply.statusCode < 400 ? 'debug' : 'info';
      request.log[level](
        {
          method,
          path: url.split('?', 1)[0],
          status: reply.statusCode,
          ms: Math.round(reply.elapsedTime * 10) / 10,
          ip: request.ip,
        },
        'answered',
      );
    });
  },
  { name: 'request-log' },
);
