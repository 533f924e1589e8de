import type { FastifyReply, FastifyRequest } from 'fastify';
import { setLimitHeaders } from '../plugins/limit-headers.js';
import type { SignedIn } from '../src/accounts/account-service.js';
import type { User as Account } from '../src/accounts/user.js';
import type { StoredEvent } from '../src/audit/events.js';
import type { PairDocument } from '../src/contract/tokens.js';
import type { UserDocument } from '../src/contract/user.js';
import { toIso } from '../src/lib/clock.js';
import type { RevokedToken } from '../src/tokens/legacy-store.js';
import type { Session, TokenPair } from '../src/tokens/session-service.js';

/** From what the services return to the documents of the contract. */

export function describeUser(user: Account, permissions: readonly string[]): UserDocument {
  return {
    id: user.id,
    legacy_id: user.legacyId,
    email: user.email,
    username: user.username,
    phone: user.phone,
    first_name: user.firstName,
    last_name: user.lastName,
    user_type: user.userType,
    role: user.role,
    permissions: permissions as string[],
    is_staff: user.isStaff,
    is_superuser: user.isSuperuser,
    is_active: user.isActive,
    email_verified: user.emailVerified,
    phone_verified: user.phoneVerified,
    date_joined: toIso(user.dateJoined),
    last_login: user.lastLogin === null ? null : toIso(user.lastLogin),
  };
}

/** A pair as the body, or with the refresh token in a cookie when the caller asked for that. */
export function sendPair(request: FastifyRequest, reply: FastifyReply, pair: TokenPair): PairDocument {
  // RFC 6749 §5.1
  reply.header('cache-control', 'no-store');
  const byCookie = request.wantsCookie();
  if (byCookie) reply.setRefreshCookie(pair);
  return {
    access: pair.access,
    ...(byCookie ? {} : { refresh: pair.refresh }),
    token_type: 'Bearer',
    expires_in: pair.expiresIn,
    refresh_expires_in: pair.refreshExpiresIn,
  };
}

/** What goes with every answer to a login or a registration. */
export function markSignedIn(reply: FastifyReply, { deviceCookie, limit }: SignedIn): void {
  if (limit) setLimitHeaders(reply, limit);
  reply.setDeviceCookie(deviceCookie);
}

/** After a login or a registration by whatever means. */
export function sendSignedIn(
  request: FastifyRequest,
  reply: FastifyReply,
  signedIn: SignedIn,
): PairDocument & { user: UserDocument } {
  markSignedIn(reply, signedIn);
  const { user, permissions, pair } = signedIn;
  return Object.assign(sendPair(request, reply, pair), { user: describeUser(user, permissions) });
}

export function describeSession(session: Session) {
  return {
    id: session.id,
    current: session.current,
    created_at: toIso(session.createdAt),
    last_used_at: toIso(session.lastUsedAt),
    expires_at: toIso(session.expiresAt),
    ip: session.ip,
    user_agent: session.userAgent,
    device: session.device,
  };
}

export function describeEvent(event: StoredEvent) {
  return {
    id: event.id,
    type: event.type,
    at: toIso(event.at),
    session_id: event.sessionId ?? null,
    reason: event.reason ?? null,
    // Where staff sat when they did it is none of the account's business.
    ip: (event.actorId ? undefined : event.ip) ?? null,
    user_agent: (event.actorId ? undefined : event.userAgent) ?? null,
    ...(event.detail && { detail: event.detail }),
    ...(event.unreadable && { unreadable: true }),
  };
}

/** As it is told to whoever of staff did it: where they sat, and not to whom. */
export const describeAct = (event: StoredEvent) =>
  describeEvent({ ...event, actorId: undefined, sessionId: undefined });

/** As staff see it. */
export function describeAnyEvent(event: StoredEvent) {
  return {
    ...describeEvent(event),
    ip: event.ip ?? null,
    user_agent: event.userAgent ?? null,
    uid: event.uid ?? null,
    user_id: event.userId ?? null,
    actor_id: event.actorId ?? null,
  };
}

export const describeRevokedToken = ({ jti, expiresAt }: RevokedToken) => ({
  jti,
  expires_at: toIso(expiresAt),
});
