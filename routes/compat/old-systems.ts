import type { FastifyPluginAsync } from 'fastify';
import compatDialect from '../../plugins/compat-dialect.js';
import formBody from '../../plugins/form-body.js';
import {
  describeInNeuralFlow,
  describeNeuralFlowBearer,
  describeNeuralFlowTokens,
} from '../../src/compat/neural-flow.js';
import { describeInEither } from '../../src/compat/phone-or-password.js';
import { describeBearerInEnvelope, describeInEnvelope } from '../../src/compat/phone-otp.js';
import { describeBearer, describeInSimpleJwt, describeRevocation } from '../../src/compat/simple-jwt.js';
import type { Wording } from '../../src/compat/wording.js';
import type { Locale } from '../../src/contract/messages.js';
import { drfToken } from './drf-token.js';
import { neuralFlow, neuralFlowDashboard, neuralFlowTokens } from './neural-flow.js';
import { phoneOrPassword } from './phone-or-password.js';
import { phoneOtp, phoneOtpLogoutAll, phoneOtpProfile } from './phone-otp.js';
import { pycoder } from './pycoder.js';
import { simpleJwt, tokenRevocation } from './simple-jwt.js';

export interface OldSystemsOptions {
  /** Of messages to those who have no preference. */
  defaultLocale: Locale;
  /** Whether `/api/token/refresh/` gives a new refresh token. */
  rotation: boolean;
  /** Whether no other application has routes beside them. */
  ownsPaths: boolean;
  /** Gives routes their second spelling where the router does not. */
  spelling(routes: FastifyPluginAsync<OldSystemsOptions>): FastifyPluginAsync<OldSystemsOptions>;
}

/** The systems that Latchkey takes over from: over the same services, each scope in the words of its system. */
export const oldSystems: FastifyPluginAsync<OldSystemsOptions> = async (app, options) => {
  await app.register(formBody);

  const inWordsOf = (
    wording: Wording,
    routes: FastifyPluginAsync<OldSystemsOptions>,
    { guarded = false } = {},
  ) =>
    app.register(async (scope) => {
      await scope.register(compatDialect, { wording, ownsPaths: options.ownsPaths });
      if (guarded) scope.addHook('onRequest', scope.authenticateOld);
      await scope.register(options.spelling(routes), options);
    });

  await inWordsOf(describeInSimpleJwt, simpleJwt);
  await inWordsOf(describeInSimpleJwt, drfToken);
  await inWordsOf(describeRevocation, tokenRevocation);
  await inWordsOf(describeInNeuralFlow, neuralFlow);
  await inWordsOf(describeNeuralFlowTokens, neuralFlowTokens);
  await inWordsOf(describeNeuralFlowBearer, neuralFlowDashboard, { guarded: true });
  await inWordsOf(describeInEnvelope, phoneOtp);
  await inWordsOf(describeBearerInEnvelope, phoneOtpLogoutAll);
  await inWordsOf(describeBearerInEnvelope, phoneOtpProfile, { guarded: true });
  await inWordsOf(describeInEither, phoneOrPassword);
  await inWordsOf(describeBearer, pycoder, { guarded: true });
};
