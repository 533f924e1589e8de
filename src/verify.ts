/** `latchkey/verify`: what another service needs to check Latchkey's access tokens itself. */
export { default as tokenVerifier, type TokenVerifierPluginOptions } from '../plugins/token-verifier.js';
export type { Code } from './contract/codes.js';
export { AuthError } from './errors.js';
export {
  createTokenVerifier,
  type TokenVerifier,
  type TokenVerifierOptions,
  type VerifiedToken,
} from './verify/token-verifier.js';
