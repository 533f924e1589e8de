import { compileSerializer } from '../plugins/serializer-compiler.js';
import { FRONT_ANSWERS } from './contract/front-answers.js';

/**
 * What writes the answers of src/front.ts, by their schemas as text. In the bundle for AWS Lambda
 * scripts/bundle-lambda.mjs puts their code in place of this file: to compile them there takes longer than all else of
 * a first answer.
 */
export const frontSerializers: ReadonlyMap<string, (document: unknown) => string> = new Map(
  FRONT_ANSWERS.map((schema) => [JSON.stringify(schema), compileSerializer({ schema })]),
);
