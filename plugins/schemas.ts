import type { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import type { preValidationHookHandler, RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import { SHARED_SCHEMAS } from '../src/contract/shared-schemas.js';
import type { SerializerCompiler } from './serializer-compiler.js';

export interface SchemasOptions {
  compileSerializer: SerializerCompiler;
}

/**
 * The schemas that routes refer to, and what makes validators and serializers of them, whatever an application around
 * us uses. Each is made when the first request needs it: to make them all took two thirds of the start, and a
 * command, an instance of AWS Lambda or a test uses few of them.
 */
export default fp<SchemasOptions>(
  async (app, { compileSerializer }) => {
    for (const schema of SHARED_SCHEMAS) app.addSchema(schema);
    app.setSerializerCompiler((route) => whenUsed(() => compileSerializer(route)));
    app.setValidatorCompiler((route) => whenUsed(() => compileValidator!(route)));
    app.addHook('onRoute', awaitCompilerFirst);
    app.addHook('onListen', readCompiler);
    // That of an application around us would stand in for the compiled ones.
    app.setReplySerializer(undefined as never);
  },
  { name: 'schemas', dependencies: ['json-body'] },
);

/** The function that `make` makes, made at its first call. */
function whenUsed<Value, Result>(make: () => (value: Value) => Result): (value: Value) => Result {
  let made: ReturnType<typeof make> | undefined;
  return (value) => {
    made ??= make();
    return made(value);
  };
}

let compileValidator: typeof TypeBoxValidatorCompiler | undefined;

/** TypeBox's compiler is most of TypeBox: where nothing listens it is read when the first request has a body or a query. */
async function readCompiler(): Promise<void> {
  compileValidator = (await import('@fastify/type-provider-typebox')).TypeBoxValidatorCompiler;
}

const awaitCompiler: preValidationHookHandler = (_request, _reply, done) => {
  if (compileValidator) done();
  else readCompiler().then(() => done(), done);
};

/** Before whatever else a route does before it validates. */
function awaitCompilerFirst(route: RouteOptions): void {
  const { body, querystring, params, headers } = route.schema ?? {};
  if (body ?? querystring ?? params ?? headers)
    route.preValidation = [awaitCompiler, ...[route.preValidation ?? []].flat()];
}
