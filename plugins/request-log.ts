import fp from 'fastify-plugin';

/**
 * One line for each answer: changes and failures at `info`, successful reads at `debug`. The path stands in it
 * without its query, and no header does, so no token can.
 */
export default fp(
  async (app) => {
    const readsAreLogged = ['trace', 'debug'].includes(app.log.level);
    const othersAreLogged = readsAreLogged || app.log.level === 'info';
    app.addHook('onResponse', (request, reply, done) => {
      done();
      const { method, url } = request;
      const isRead = method === 'GET' && reply.statusCode < 400;
      if (!(isRead ? readsAreLogged : othersAreLogged)) return;
      request.log[isRead ? 'debug' : 'info'](
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
