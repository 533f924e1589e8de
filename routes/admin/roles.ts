import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { clientOf } from '../../plugins/request-context.js';
import { NewRoleParams, Role, RoleBody, RoleParams, Roles } from '../../src/contract/admin.js';
import { ref } from '../../src/contract/ref.js';
import { failures, HAS_BODY, NEEDS_STAFF, NoContent } from '../responses.js';

/** Registered where `requireStaff` has gone before: here each route asks for its permission. */
export const roles: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/roles', {
    onRequest: app.authorize('roles.read'),
    schema: {
      tags: ['admin'],
      operationId: 'listRoles',
      summary: 'The roles, by name',
      description: 'Needs `roles.read`.',
      response: { 200: Roles, ...failures(...NEEDS_STAFF) },
    },
    handler: async () => ({ roles: await app.roleAdmin.list() }),
  });

  app.put('/roles/:name', {
    onRequest: app.authorize('roles.write'),
    schema: {
      tags: ['admin'],
      operationId: 'defineRole',
      summary: 'Make a role, or change what it allows',
      description:
        'Needs `roles.write`. Everybody who has the role may do what it then allows: at once for requests to this ' +
        'process, within five seconds for others, and from their next refresh on by what access tokens say. Only ' +
        'superusers define a role that they have themselves, or one that allows, or used to allow, what they lack.',
      params: NewRoleParams,
      body: RoleBody,
      response: { 200: ref(Role), ...failures(...HAS_BODY, ...NEEDS_STAFF) },
    },
    handler: async (request) => {
      const { params, body, auth } = request;
      const role = { name: params.name, permissions: body.permissions, description: body.description ?? '' };
      return app.roleAdmin.define(role, auth.user.id, clientOf(request));
    },
  });

  app.delete('/roles/:name', {
    onRequest: app.authorize('roles.write'),
    schema: {
      tags: ['admin'],
      operationId: 'deleteRole',
      summary: 'Delete a role that nobody has',
      description:
        'Needs `roles.write`. While somebody has it, or new accounts get it, `invalid_request` names `name` as taken.',
      params: RoleParams,
      response: { 204: NoContent, ...failures(...HAS_BODY, ...NEEDS_STAFF, 'not_found') },
    },
    handler: async (request, reply) => {
      await app.roleAdmin.remove(request.params.name, request.auth.user.id, clientOf(request));
      return reply.code(204).send(null);
    },
  });
};
