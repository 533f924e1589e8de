import type { FastifyReply } from 'fastify';
import type { LimitState } from '../src/tokens/state-store.js';

/** draft-ietf-httpapi-ratelimit-headers-06: the window's size, what is left of it, and seconds until it ends. */
export function setLimitHeaders(reply: FastifyReply, limit: LimitState): void {
  reply.header('ratelimit-limit', limit.max);
  reply.header('ratelimit-remaining', limit.remaining);
  reply.header('ratelimit-reset', Math.max(1, Math.ceil(limit.resetMs / 1000)));
}
