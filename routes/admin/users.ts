import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyRequest } from 'fastify';
import { clientOf } from '../../plugins/request-context.js';
import type { Standing } from '../../src/accounts/authority.js';
import type { Asking } from '../../src/accounts/user-admin.js';
import { ActivityQuery } from '../../src/contract/accounts.js';
import {
  UserActivity,
  UserChangeBody,
  UserParams,
  UserSessionParams,
  UserSessions,
  Users,
  UsersQuery,
} from '../../src/contract/admin.js';
import { ref } from '../../src/contract/ref.js';
import { EmptyBody, Message } from '../../src/contract/tokens.js';
import { User } from '../../src/contract/user.js';
import { describeAnyEvent, describeSession, describeUser } from '../present.js';
import { failures, HAS_BODY, NEEDS_STAFF, NoContent } from '../responses.js';

/** Registered where `requireStaff` has gone before: here each route asks for its permission. */
export const users: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/users', {
    onRequest: app.authorize('users.read'),
    schema: {
      tags: ['admin'],
      operationId: 'listUsers',
      summary: 'Accounts, the newest first',
      description: 'Needs `users.read`.',
      querystring: UsersQuery,
      response: { 200: Users, ...failures(...NEEDS_STAFF) },
    },
    handler: async ({ query }) => {
      const { users: found, next } = await app.userAdmin.search({
        text: query.q,
        isActive: query.is_active,
        isStaff: query.is_staff,
        isSuperuser: query.is_superuser,
        role: query.role,
        before: query.cursor === undefined ? undefined : Number(query.cursor),
        limit: query.limit ?? 20,
      });
      return { users: found.map(describe), next_cursor: next === undefined ? null : String(next) };
    },
  });

  app.get('/users/:id', {
    onRequest: app.authorize('users.read'),
    schema: {
      tags: ['admin'],
      operationId: 'getUser',
      summary: 'One account',
      description: 'Needs `users.read`.',
      params: UserParams,
      response: { 200: ref(User), ...failures(...NEEDS_STAFF, 'not_found') },
    },
    handler: async ({ params }) => describe(await app.userAdmin.read(params.id)),
  });

  app.patch('/users/:id', {
    onRequest: app.authorize('users.read'),
    schema: {
      tags: ['admin'],
      operationId: 'updateUser',
      summary: "Change somebody's account",
      description:
        'Needs `users.read`, and for each field what stands there. All of it is done or nothing; it shows at once, on ' +
        'every process. Refused with `forbidden`, and `errors` where only some fields were: the own account; a ' +
        'superuser, or staff with permissions that the caller lacks; to give, take away or come to use such ' +
        'permissions by `email`, `role` or `is_staff`; to leave no active superuser.',
      params: UserParams,
      body: UserChangeBody,
      response: {
        200: ref(User),
        ...failures(...HAS_BODY, ...NEEDS_STAFF, 'not_found', 'email_taken', 'username_taken'),
      },
    },
    handler: async (request) => {
      const { params, body } = request;
      const edit = {
        firstName: body.first_name,
        lastName: body.last_name,
        username: body.username,
        email: body.email,
        isActive: body.is_active,
        role: body.role,
        isStaff: body.is_staff,
        isSuperuser: body.is_superuser,
      };
      return describe(await app.userAdmin.change(params.id, edit, askedBy(request)));
    },
  });

  app.post('/users/:id/logout-all', {
    onRequest: app.authorize('users.sessions'),
    preValidation: app.allowEmptyBody,
    schema: {
      tags: ['admin'],
      operationId: 'endUserSessions',
      summary: "End all of somebody's sessions",
      description: 'Needs `users.sessions`.',
      params: UserParams,
      body: EmptyBody,
      response: { 200: Message, ...failures(...HAS_BODY, ...NEEDS_STAFF, 'not_found') },
    },
    handler: async (request) => {
      await app.userAdmin.endSessions(request.params.id, askedBy(request));
      return { message: 'Logged out everywhere.' };
    },
  });

  app.get('/users/:id/sessions', {
    onRequest: app.authorize('users.sessions'),
    schema: {
      tags: ['admin'],
      operationId: 'listUserSessions',
      summary: "Somebody's open sessions",
      description: 'Needs `users.sessions`.',
      params: UserParams,
      response: { 200: UserSessions, ...failures(...NEEDS_STAFF, 'not_found') },
    },
    handler: async ({ params, auth }) => {
      const open = await app.userAdmin.sessionsOf(params.id, auth.claims.sessionId);
      return { sessions: open.map(describeSession) };
    },
  });

  app.delete('/users/:id/sessions/:sid', {
    onRequest: app.authorize('users.sessions'),
    schema: {
      tags: ['admin'],
      operationId: 'endUserSession',
      summary: "End one of somebody's sessions",
      description: 'Needs `users.sessions`.',
      params: UserSessionParams,
      response: { 204: NoContent, ...failures(...HAS_BODY, ...NEEDS_STAFF, 'not_found') },
    },
    handler: async (request, reply) => {
      const { id, sid } = request.params;
      await app.userAdmin.endSession(id, sid, askedBy(request));
      return reply.code(204).send(null);
    },
  });

  app.get('/users/:id/activity', {
    onRequest: app.authorize('events.read'),
    schema: {
      tags: ['admin'],
      operationId: 'listUserActivity',
      summary: "Somebody's security events, newest first",
      description: 'Needs `events.read`.',
      params: UserParams,
      querystring: ActivityQuery,
      response: { 200: UserActivity, ...failures(...NEEDS_STAFF, 'not_found') },
    },
    handler: async ({ params, query }) => {
      const limit = query.limit ?? 20;
      const before = query.cursor === undefined ? undefined : Number(query.cursor);
      const events = await app.userAdmin.activity(params.id, { before, limit });
      const last = events.at(-1);
      return {
        events: events.map(describeAnyEvent),
        next_cursor: last && events.length === limit ? String(last.id) : null,
      };
    },
  });
};

const describe = ({ user, permissions }: Standing) => describeUser(user, permissions);

const askedBy = (request: FastifyRequest): Asking => ({
  actorId: request.auth.user.id,
  client: clientOf(request),
});
