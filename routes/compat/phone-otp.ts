import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { readingNothing } from '../../plugins/compat-dialect.js';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { clientOf } from '../../plugins/request-context.js';
import {
  describePerson,
  EmptyEnvelope,
  LOCALE,
  LogoutBody,
  ProfileBody,
  ProfileEnvelope,
  readPurpose,
  SendOtpBody,
  Sent,
  succeed,
} from '../../src/compat/phone-otp.js';
import { readProfile } from '../../src/compat/profile.js';
import { AnyBody } from '../../src/compat/simple-jwt.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import { endSessionOf } from './end-session.js';
import { CONSUMES, envelopeFailures } from './responses.js';

const common = { tags: ['phone-otp'], consumes: CONSUMES };

const localeOf = ({ headers }: FastifyRequest): Locale => pickLocale(headers['accept-language'], LOCALE);

/** Sending codes and ending a session; registration and login are in `phone-or-password.ts`. */
export const phoneOtp: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/send-otp/', {
    schema: {
      ...common,
      operationId: 'phoneOtpSend',
      summary: 'Send a one-time code to a phone',
      security: [],
      body: SendOtpBody,
      response: { 200: Sent, ...envelopeFailures(403) },
    },
    handler: async (request, reply) => {
      const purpose = readPurpose(request.body.purpose);
      const locale = localeOf(request);
      const asked = { phone: request.body.phone, purpose, locale };
      const { expiresIn, resendIn, limit } = await app.otp.send(asked, clientOf(request));
      if (limit) setLimitHeaders(reply, limit);
      return succeed('sent', locale, { expires_in: expiresIn, resend_in: resendIn });
    },
  });

  app.post('/api/logout/', {
    schema: {
      ...common,
      operationId: 'phoneOtpLogout',
      summary: 'End the session of a refresh token',
      security: [],
      body: LogoutBody,
      response: { 200: EmptyEnvelope, ...envelopeFailures(401, 403) },
    },
    handler: async (request, reply) => {
      await app.countRefused(request, reply, () =>
        endSessionOf(app, request.body.refresh, clientOf(request)),
      );
      return succeed('loggedOut', localeOf(request), {});
    },
  });
};

/** For whoever shows a bearer token; it is asked about once, where all sessions are ended. */
export const phoneOtpLogoutAll: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/api/logout-all/', {
    validatorCompiler: readingNothing,
    schema: {
      ...common,
      operationId: 'phoneOtpLogoutAll',
      summary: 'End every session of the caller, this one included',
      body: AnyBody,
      response: { 200: EmptyEnvelope, ...envelopeFailures(401, 403) },
    },
    handler: async (request, reply) => {
      await app.logoutAllOld(request, reply);
      return succeed('loggedOutEverywhere', localeOf(request), {});
    },
  });
};

/** For people who are signed in. */
export const phoneOtpProfile: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/api/dashboard/', {
    schema: {
      tags: common.tags,
      operationId: 'phoneOtpDashboard',
      summary: 'Who is calling',
      response: { 200: ProfileEnvelope, ...envelopeFailures(401, 403) },
    },
    handler: async (request) =>
      succeed('profile', localeOf(request), { user: describePerson(request.auth.user) }),
  });

  app.patch('/api/profile/', {
    schema: {
      ...common,
      operationId: 'phoneOtpProfile',
      summary: "Update the caller's profile",
      body: ProfileBody,
      response: { 200: ProfileEnvelope, ...envelopeFailures(401, 403) },
    },
    handler: async (request) => {
      const { auth, body } = request;
      const isChange = Object.keys(body).length > 0;
      const user = isChange
        ? await app.accounts.updateProfile(auth.user.id, readProfile(body), clientOf(request))
        : auth.user;
      return succeed('profileChanged', localeOf(request), { user: describePerson(user) });
    },
  });
};
