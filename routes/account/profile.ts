import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { clientOf } from '../../plugins/request-context.js';
import type { AccountExport } from '../../src/accounts/account-service.js';
import type { StoredEvent } from '../../src/audit/events.js';
import { DeleteAccountBody, Export, ProfileBody } from '../../src/contract/accounts.js';
import { ref } from '../../src/contract/ref.js';
import { User } from '../../src/contract/user.js';
import { toIso } from '../../src/lib/clock.js';
import { requireForm } from '../body-forms.js';
import {
  describeAct,
  describeEvent,
  describeRevokedToken,
  describeSession,
  describeUser,
} from '../present.js';
import { failures, HAS_BODY, NEEDS_TOKEN, NoContent, PROVES_PHONE } from '../responses.js';

/** What callers do with their own account. */
export const profile: FastifyPluginAsyncTypebox = async (app) => {
  app.patch('/me', {
    schema: {
      tags: ['account'],
      operationId: 'updateMe',
      summary: "Update the caller's profile",
      body: ProfileBody,
      response: { 200: ref(User), ...failures(...HAS_BODY, ...NEEDS_TOKEN, 'username_taken') },
    },
    handler: async (request) => {
      const { auth, body } = request;
      const change = {
        firstName: body.first_name,
        lastName: body.last_name,
        username: body.username,
        userType: body.user_type,
      };
      const user = await app.accounts.updateProfile(auth.user.id, change, clientOf(request));
      return describeUser(user, auth.permissions);
    },
  });

  app.delete('/me', {
    schema: {
      tags: ['account'],
      operationId: 'deleteMe',
      summary: "Delete the caller's account and all personal data",
      description: 'The last active superuser is `forbidden` to go.',
      body: DeleteAccountBody,
      response: {
        204: NoContent,
        ...failures(
          ...HAS_BODY,
          ...NEEDS_TOKEN,
          ...PROVES_PHONE,
          'invalid_credentials',
          'account_delayed',
          'overloaded',
          'forbidden',
        ),
      },
    },
    handler: async (request, reply) => {
      const { auth, body } = request;
      const client = request.clientWithDevice();
      if (body.phone !== undefined || body.otp !== undefined) {
        await app.phoneSignIn.remove(auth.user, requireForm(body, ['phone', 'otp']), client);
      } else {
        const { password } = requireForm(body, ['password']);
        await app.accounts.remove(auth.user.id, password, client);
      }
      if (request.wantsCookie()) reply.clearRefreshCookie();
      return reply.code(204).send(null);
    },
  });

  app.get('/me/export', {
    schema: {
      tags: ['account'],
      operationId: 'exportMe',
      summary: 'Everything that is stored about the caller',
      response: { 200: Export, ...failures(...NEEDS_TOKEN) },
    },
    handler: async ({ auth }, reply) => {
      const { sessions, revokedTokens, keys, deviceLogins, ...pages } = await app.accounts.exportAll(
        auth.user,
        auth.claims.sessionId,
      );
      const head = {
        user: describeUser(auth.user, auth.permissions),
        sessions: sessions.map(describeSession),
        devices: deviceLogins.map((at) => ({ last_login_at: toIso(at) })),
        ...(revokedTokens.length > 0 && { revoked_tokens: revokedTokens.map(describeRevokedToken) }),
        ...(keys.length > 0 && { keys: keys.map(({ createdAt }) => ({ created_at: toIso(createdAt) })) }),
      };
      return reply
        .type('application/json; charset=utf-8')
        .send(Readable.from(writeExport(head, pages)) as never);
    },
  });
};

/** Whatever fails after the first page cuts the connection: half a document is none. */
async function* writeExport(
  head: object,
  { eventPages, actPages }: Pick<AccountExport, 'eventPages' | 'actPages'>,
): AsyncIterable<string> {
  yield `${JSON.stringify(head).slice(0, -1)},"events":[`;
  yield* writePages(eventPages, describeEvent);
  yield '],"staff_actions":[';
  yield* writePages(actPages, describeAct);
  yield ']}';
}

async function* writePages(
  pages: AsyncIterable<StoredEvent[]>,
  describe: (event: StoredEvent) => object,
): AsyncIterable<string> {
  let comma = '';
  for await (const page of pages) {
    if (page.length === 0) continue;
    yield comma + page.map((event) => JSON.stringify(describe(event))).join(',');
    comma = ',';
  }
}
