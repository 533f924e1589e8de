import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { announceToken } from '../../plugins/authenticate.js';
import { setLimitHeaders } from '../../plugins/limit-headers.js';
import { clientOf } from '../../plugins/request-context.js';
import type { SignedIn } from '../../src/accounts/account-service.js';
import { namesOf } from '../../src/compat/simple-jwt.js';
import { type Locale, pickLocale } from '../../src/contract/messages.js';
import type { TokenPair } from '../../src/tokens/session-service.js';
import { markSignedIn } from '../present.js';

type Obtaining = FastifyRequest & { body: { username?: string; email?: string; password: string } };
type Renewing = FastifyRequest & { body: { refresh: string } };

/** Signs in by password. */
export async function signInByPassword(
  app: FastifyInstance,
  request: Obtaining,
  reply: FastifyReply,
  defaultLocale: Locale,
): Promise<SignedIn> {
  const { password, ...names } = request.body;
  const locale = pickLocale(request.headers['accept-language'], defaultLocale);
  const signedIn = await app.accounts.login(namesOf(names), password, request.clientWithDevice(), locale);
  markSignedIn(reply, signedIn);
  return signedIn;
}

/** Trades a refresh token for its successor; without rotation, only for another access token. */
export async function renewPair(
  app: FastifyInstance,
  request: Renewing,
  reply: FastifyReply,
  { rotation }: { rotation: boolean },
): Promise<TokenPair> {
  const renew = rotation ? app.sessions.refresh : app.sessions.renewAccess;
  const { pair, limit } = await app.countRefused(request, reply, () =>
    renew(request.body.refresh, clientOf(request)),
  );
  if (limit) setLimitHeaders(reply, limit);
  announceToken(reply, pair.accessExpiresAt, app.clock());
  return pair;
}
