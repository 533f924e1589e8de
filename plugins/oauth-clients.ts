import fp from 'fastify-plugin';
import { createOauthClientService, type OauthClient } from '../src/accounts/oauth-clients.js';
import type { Code } from '../src/contract/codes.js';
import { AuthError } from '../src/errors.js';
import { describeError } from '../src/lib/describe-error.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The service that is asking; there on every route behind this plugin. */
    oauthClient: OauthClient;
  }
}

/** For a scope of its own, whose every caller is a client: HTTP Basic, forms, and OAuth's words for failures. */
export default fp(
  async (app) => {
    const clients = createOauthClientService({
      store: app.database.clients,
      now: app.clock,
      onTrouble: (error) => app.log.warn({ err: describeError(error) }, 'clients could not be read again'),
    });
    app.decorateRequest('oauthClient');

    app.addHook('onRequest', async (request, reply) => {
      request.oauthClient = await app.countRefused(request, reply, async () => {
        const { id, secret } = readBasic(request.headers.authorization);
        return clients.authenticate(id, secret);
      });
    });
    app.addContentTypeParser<string>(
      'application/x-www-form-urlencoded',
      { parseAs: 'string' },
      async (_request: unknown, body: string) => readForm(body),
    );
    app.setErrorHandler((error, request, reply) =>
      app.sendProblem(request, reply, error, { challenge: () => CHALLENGE, error: oauthError }),
    );
  },
  { name: 'oauth-clients', dependencies: ['database', 'sessions', 'rate-limit', 'errors'] },
);

/** RFC 7617 §2.1 */
const CHALLENGE = 'Basic realm="latchkey", charset="UTF-8"';

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i;

/** RFC 6749 §2.3.1: id and secret are form-encoded first, then joined and encoded as RFC 7617 has it. */
function readBasic(header = ''): { id: string; secret: string } {
  const encoded = BASIC.exec(header)?.[1] ?? '';
  const [, id, secret] = /^([^:]+):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString()) ?? [];
  if (id === undefined || secret === undefined)
    throw new AuthError('invalid_credentials', { why: 'not Basic' });
  return { id: decodeFormValue(id), secret: decodeFormValue(secret) };
}

function decodeFormValue(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new AuthError('invalid_credentials', { why: 'not form-encoded' });
  }
}

const PARAMETERS = new Set(['token', 'token_type_hint']);

/**
 * RFC 6749 §3.2: a parameter without a value is as good as none, one that nobody knows is passed over, and one
 * that comes twice makes the request invalid.
 */
function readForm(body: string): Record<string, string> {
  const form = [...new URLSearchParams(body)];
  const names = form.map(([name]) => name);
  const twice = names.find((name, n) => names.indexOf(name) < n);
  if (twice !== undefined) {
    throw new AuthError('invalid_request', {
      errors: [{ field: twice.slice(0, 64), code: 'invalid_value' }],
    });
  }
  return Object.fromEntries(form.filter(([name, value]) => PARAMETERS.has(name) && value !== ''));
}

/** RFC 6749 §5.2; of a failure of ours OAuth has no word but the status. */
function oauthError(code: Code): string | undefined {
  switch (code) {
    case 'invalid_credentials':
      return 'invalid_client';
    case 'invalid_request':
    case 'body_too_large':
    case 'unsupported_media_type':
      return 'invalid_request';
    default:
      return undefined;
  }
}
