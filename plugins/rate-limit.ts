import type { FastifyRateLimitStoreCtor } from '@fastify/rate-limit';
import fp from 'fastify-plugin';
import { AuthError } from '../src/errors.js';
import type { Clock } from '../src/lib/clock.js';
import { limitAddress } from '../src/security/client-address.js';
import type { Limit, StateStore } from '../src/tokens/state-store.js';
import { createApart } from './apart.js';
import { setLimitHeaders } from './limit-headers.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a request that carries no valid token against its address. @throws rate_limited, store_unavailable */
    limitAnonymous(request: FastifyRequest, reply: FastifyReply): Promise<void>;
    /** Runs what checks a token, and counts the request as anonymous when the token turns out to be none. */
    countRefused<T>(request: FastifyRequest, reply: FastifyReply, check: () => Promise<T>): Promise<T>;
  }
}

export interface RateLimitOptions {
  anon: Limit | undefined;
  now: Clock;
}

/** The shield of all that is asked without a token: @fastify/rate-limit, counting in our state store. */
export default fp<RateLimitOptions>(
  async (app, { anon, now }) => {
    let counter: ReturnType<typeof createCounter> | undefined;
    const readCounter = (limit: Limit) => {
      counter ??= createCounter(limit, countingStore(app.stateStore, now));
      return counter;
    };
    // Where nothing listens it is made for the first who needs it: an instance of AWS Lambda may meet nobody but
    // callers with good tokens. A server must not have to read a file first while it is under attack.
    if (anon) app.addHook('onListen', async () => void (await readCounter(anon)));

    app.decorate('limitAnonymous', async (request, reply) => {
      if (!anon) return;
      const count = await readCounter(anon);
      const verdict = await count(request);
      if (verdict.isAllowed) return;
      const limit = { max: verdict.max, remaining: verdict.remaining, resetMs: verdict.ttl };
      if (verdict.isExceeded) throw new AuthError('rate_limited', { limit });
      setLimitHeaders(reply, limit);
    });

    app.decorate('countRefused', async (request, reply, check) => {
      try {
        return await app.withNewKeys(check);
      } catch (error) {
        if (error instanceof AuthError && REFUSED_TOKEN.has(error.code))
          await app.limitAnonymous(request, reply);
        throw error;
      }
    });
  },
  { name: 'rate-limit', dependencies: ['state-store', 'tokens'] },
);

/** In an application of its own, which never listens: one around us would get the limiter and its store. */
async function createCounter({ max, windowMs }: Limit, store: FastifyRateLimitStoreCtor) {
  const { default: rateLimit } = await import('@fastify/rate-limit');
  const limiter = createApart();
  await limiter.register(rateLimit, { global: false, store });
  return limiter.createRateLimit({
    max,
    timeWindow: windowMs,
    keyGenerator: (request) => limitAddress(request.ip),
  });
}

/**
 * Not `token_expired`: its signature is ours, it costs no store anything, and an office behind one address
 * shows a good many of them an hour before each refresh.
 */
const REFUSED_TOKEN = new Set([
  'token_missing',
  'token_invalid',
  'token_revoked',
  'token_reused',
  'session_ended',
  // Of a client. Passwords are counted where they are compared.
  'invalid_credentials',
]);

type Counted = (error: Error | null, result?: { current: number; ttl: number }) => void;

/** The store that @fastify/rate-limit asks for, as a class because it makes the instances itself. */
function countingStore(state: StateStore, now: Clock) {
  return class CountingStore {
    incr(address: string, done: Counted, windowMs: number, max: number): void {
      state
        .hitLimits({ slot: `ip:${address}`, rules: [{ name: 'anon', max, windowMs }], now: now() })
        .then(
          ({ allowed, limit }) =>
            done(null, { current: allowed ? max - limit.remaining : max + 1, ttl: limit.resetMs }),
          done,
        );
    }

    child(): CountingStore {
      return this;
    }
  };
}
