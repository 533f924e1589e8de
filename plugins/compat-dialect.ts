import type { FastifyReply, FastifyRequest, FastifySchemaCompiler, HTTPMethods } from 'fastify';
import fp from 'fastify-plugin';
import { CHALLENGE } from '../src/compat/drf.js';
import { readFields, type TextFields } from '../src/compat/fields.js';
import { MethodNotAllowed, type Wording } from '../src/compat/wording.js';
import type { AuthError } from '../src/errors.js';
import type { Failure } from './errors.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route only says that its path has no such method. */
    refusesMethod?: true;
  }
}

export interface CompatDialectOptions {
  /** How the system of this scope speaks of failures. */
  wording: Wording;
  /** Whether its paths are all its own: then other methods than theirs are told so, as Django does. */
  ownsPaths: boolean;
}

/** For a scope that stands for an old system: its forms, its way of judging bodies, its words for failures. */
export default fp<CompatDialectOptions>(
  async (app, { wording, ownsPaths }) => {
    app.setErrorHandler((thrown, request, reply) =>
      app.sendFailure(request, reply, thrown, (error, status) => describe(error, status, request)),
    );

    function describe(error: AuthError, status: number, { method, headers, body }: FastifyRequest): Failure {
      const {
        status: said,
        body: document,
        locale = 'en',
      } = wording(error, {
        status,
        method,
        contentType: headers['content-type'] ?? '',
        acceptLanguage: headers['accept-language'],
        authorization: headers.authorization,
        body,
      });
      const contentType = 'application/json; charset=utf-8';
      return { status: said, body: document, contentType, challenge: CHALLENGE, locale };
    }

    // An empty body is an empty form, in which fields are missing.
    app.addHook('preValidation', app.allowEmptyBody);
    app.setValidatorCompiler<TextFields>(
      ({ schema }) =>
        (body) =>
          judge(schema, body),
    );

    app.addHook('onRoute', function ({ method, routePath, config }) {
      if (!ownsPaths || config?.refusesMethod) return;
      const served = new Set([method].flat());
      // Fastify adds a HEAD to each GET, and OPTIONS is what browsers ask first.
      if (served.has('HEAD')) return;
      const refuse = (reply: FastifyReply): never => {
        reply.header('allow', [...served, 'OPTIONS'].join(', '));
        throw new MethodNotAllowed();
      };
      const others = METHODS.filter(
        (other) => !served.has(other) && !(other === 'HEAD' && served.has('GET')),
      );
      this.route({
        method: others,
        url: routePath,
        config: { refusesMethod: true },
        schema: { hide: true },
        // Before the body is looked at.
        onRequest: [app.limitAnonymous, async (_request, reply) => refuse(reply)],
        handler: (_request, reply) => refuse(reply),
      });
    });
  },
  { name: 'compat-dialect', dependencies: ['errors', 'json-body', 'rate-limit'] },
);

const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** For a route whose body comes in several forms: says as which of them a body is to be read. */
export const readingAs =
  (choose: (body: unknown) => TextFields): FastifySchemaCompiler<unknown> =>
  () =>
  (body) =>
    judge(choose(body), body);

/** For a route that does not look at its body: whatever is in it is no fault. */
export const readingNothing: FastifySchemaCompiler<unknown> = () => () => ({ value: {} });

function judge(fields: TextFields, body: unknown): { value: unknown } | { error: Error } {
  try {
    return { value: readFields(fields, body) };
  } catch (error) {
    return { error: error as Error };
  }
}
