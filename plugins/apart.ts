import Fastify, { type FastifyInstance } from 'fastify';

const noCompiler = (): never => {
  throw new Error('plugins/schemas.ts is not registered');
};

/** For applications whose compilers come from plugins/schemas.ts, or that have no schema: Fastify's own are not read. */
export const NO_COMPILERS = { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } };

/**
 * An application that never listens, for a library that lives in one: there it gets no options from an application around
 * us, and none from it.
 */
export const createApart = (): FastifyInstance => Fastify({ schemaController: NO_COMPILERS });
