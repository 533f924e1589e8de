import { isUtf8 } from 'node:buffer';
import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** For routes that can do without a body: none is the same as an empty object. */
    allowEmptyBody(request: FastifyRequest, reply: FastifyReply, done: () => void): void;
  }
}

/** 64 KiB: a hundred times the largest honest body. */
const BODY_LIMIT = 65_536;

/**
 * JSON in, and nothing else: no text, no forms. Bodies are taken as they are (nothing is coerced, no field is
 * silently dropped), `__proto__` is refused, and an empty body is no error where a route needs none.
 */
export default fp(
  async (app) => {
    app.addHook('onRoute', (route) => {
      route.bodyLimit ??= BODY_LIMIT;
    });

    const parseJson = app.getDefaultJsonParser('error', 'error');
    app.removeAllContentTypeParsers();
    app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
      if (body.length === 0) done(null, undefined);
      // Decoding would turn every bad byte into the same character, and so many passwords into one.
      else if (!isUtf8(body)) done(new AuthError('invalid_request', { why: 'not UTF-8' }));
      else parseJson(request, body.toString(), done);
    });

    app.decorate('allowEmptyBody', (request, _reply, done) => {
      if (request.body === undefined) request.body = {};
      done();
    });
  },
  { name: 'json-body' },
);
