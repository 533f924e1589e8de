import type { EndReason } from '../../accounts/user.js';
import { storeUnavailable } from '../../errors.js';
import {
  type CheckResult,
  type CheckToken,
  FENCE_MS,
  type Limit,
  type LimitState,
  type Refusal,
  type RotateResult,
  type Stale,
} from '../../tokens/state-store.js';
import { createKeys } from '../keys.js';
import type { Stores } from '../stores.js';
import { decodeUser, encodeUser, SEPARATOR } from '../user-fields.js';
import { connectRedis, defineScript, type RedisOptions } from './client.js';
import { hitLimits, unhitLimits } from './limits.js';
import { createRedisLoginStore } from './login-store.js';
import { createRedisOtpStore } from './otp-store.js';
import { adoptToken as adoptTokenLua } from './scripts/adopt-token.js';
import * as checkTokenLua from './scripts/check-token.js';
import * as endSessionLua from './scripts/end-session.js';
import { openSession as openSessionLua } from './scripts/open-session.js';
import { rotate as rotateLua } from './scripts/rotate.js';
import * as userLua from './scripts/user-snapshot.js';
import { createRedisTicketStore } from './ticket-store.js';

const scripts = {
  openSession: defineScript(openSessionLua),
  checkToken: defineScript(checkTokenLua.checkToken),
  endAllSessions: defineScript(checkTokenLua.endAllSessions),
  rotate: defineScript(rotateLua),
  adoptToken: defineScript(adoptTokenLua),
  endSession: defineScript(endSessionLua.endSession),
  listSessions: defineScript(endSessionLua.listSessions),
  forgetSessions: defineScript(endSessionLua.forgetSessions),
  fenceUser: defineScript(userLua.fenceUser),
  publishUser: defineScript(userLua.publishUser),
  cacheUser: defineScript(userLua.cacheUser),
};

export interface RedisStateStoreOptions extends RedisOptions {
  /** `REDIS_PREFIX`. */
  prefix: string;
}

/** The production adapter: every method is one Lua script and one round trip. */
export function createRedisStateStore(options: RedisStateStoreOptions): Stores {
  const redis = connectRedis(options);
  const keys = createKeys(options.prefix);

  return {
    async openSession(s) {
      const generation = await redis.run(
        scripts.openSession,
        [
          keys.session(s.userId, s.sessionId),
          keys.user(s.userId),
          keys.index(s.userId),
          keys.wrongPasswords(s.userId),
          keys.devices(s.userId),
        ],
        [
          s.now,
          s.sessionId,
          s.jti,
          s.issuedAtSeconds,
          s.expiresAtSeconds,
          s.endsAtSeconds,
          s.authVersion,
          s.ip,
          // Values of up to 64 bytes keep the hash a listpack, at a third of a hash table's memory.
          ...slicePieces(s.userAgent, 64, 3),
          s.deviceId ?? '',
          ...(s.user ? encodeUser(s.user) : ['']),
        ],
      );
      return { generation: generation as string };
    },

    async checkToken(token) {
      const reply = await redis.run(
        scripts.checkToken,
        [
          keys.session(token.userId, token.sessionId),
          keys.user(token.userId),
          keys.blacklisted(token.userId, token.jti),
          keys.index(token.userId),
        ],
        checkArguments(token),
      );
      return readCheck(unpack(reply), token);
    },

    async rotate(r) {
      const { next } = r;
      const reply = await redis.run(
        scripts.rotate,
        [
          keys.session(r.userId, r.sessionId),
          keys.user(r.userId),
          keys.blacklisted(r.userId, r.jti),
          keys.index(r.userId),
        ],
        [
          r.now,
          r.sessionId,
          r.jti,
          r.issuedAtSeconds,
          next.jti,
          next.issuedAtSeconds,
          next.expiresAtSeconds,
          r.ip,
          r.limit?.max ?? '',
          r.limit?.windowMs ?? '',
          ...(r.vouched ? [r.vouched.generation, ...encodeUser(r.vouched.user)] : ['']),
        ],
      );
      return readRotate(unpack(reply), r);
    },

    async adoptToken(a) {
      const generation = await redis.run(
        scripts.adoptToken,
        [keys.session(a.userId, a.sessionId), keys.user(a.userId)],
        [
          a.now,
          a.vouched?.generation ?? '',
          a.expiresAt - a.now,
          a.jti,
          a.issuedAtSeconds,
          Math.floor(a.expiresAt / 1000),
          a.endsAtSeconds,
          a.authVersion,
          a.ip,
          ...slicePieces(a.userAgent, 64, 3),
          ...(a.vouched ? encodeUser(a.vouched.user) : []),
        ],
      );
      return (generation as string) || undefined;
    },

    async endSession({ userId, sessionId, reason, buryForMs }) {
      const live = await redis.run(
        scripts.endSession,
        [keys.session(userId, sessionId), keys.user(userId), keys.index(userId)],
        [sessionId, reason, buryForMs ?? ''],
      );
      return live === 1;
    },

    async endAllSessions({ userId, reason, caller, now }) {
      const packed = await redis.run(
        scripts.endAllSessions,
        caller
          ? [
              keys.user(userId),
              keys.devices(userId),
              keys.session(userId, caller.sessionId),
              keys.blacklisted(userId, caller.jti),
              keys.index(userId),
            ]
          : [keys.user(userId), keys.devices(userId)],
        [now, reason, ...(caller ? checkArguments(caller) : [])],
      );
      const reply = unpack(packed);
      if (reply[0] === 'done') return { status: 'done' };
      return readRefusal(reply, { userId, limit: caller?.limit, now });
    },

    async listSessions({ userId, now }) {
      const reply = (await redis.run(
        scripts.listSessions,
        [keys.user(userId), keys.index(userId)],
        [now, keys.session(userId, '')],
      )) as string[][];
      return reply
        .map(([id, createdAt, lastUsedAt, expiresAt, ip, userAgent]) => ({
          id: id as string,
          createdAt: Number(createdAt),
          lastUsedAt: Number(lastUsedAt),
          expiresAt: Number(expiresAt) * 1000,
          ip: ip as string,
          userAgent: userAgent as string,
        }))
        .sort((a, b) => b.createdAt - a.createdAt);
    },

    async forgetSessions({ userId }) {
      await redis.run(
        scripts.forgetSessions,
        [keys.index(userId), keys.devices(userId)],
        [keys.session(userId, '')],
      );
    },

    async revokeToken({ userId, jti, expiresAt, now }) {
      if (expiresAt > now)
        await redis.set(keys.blacklisted(userId, jti), '1', Math.max(1000, expiresAt - now));
    },

    async fenceUser({ userId, fenceId, now }) {
      const text = await redis.run(scripts.fenceUser, [keys.user(userId)], [now, fenceId, now + FENCE_MS]);
      return text === '' ? undefined : (decodeUser(userId, unpack(text)).lastLogin ?? undefined);
    },

    async publishUser({ userId, fenceId, user, endSessions }) {
      await redis.run(
        scripts.publishUser,
        [keys.user(userId), keys.devices(userId)],
        [fenceId, endSessions ?? '', ...(user ? ['0', ...encodeUser(user)] : ['1'])],
      );
    },

    async cacheUser({ user, generation, now }) {
      await redis.run(scripts.cacheUser, [keys.user(user.id)], [now, generation, ...encodeUser(user)]);
    },

    hitLimits: ({ slot, rules }) => hitLimits(redis, keys, slot, rules),
    unhitLimits: ({ slot, rules }) => unhitLimits(redis, keys, slot, rules),

    logins: createRedisLoginStore(redis, keys),
    otp: createRedisOtpStore(redis, keys),
    tickets: createRedisTicketStore(redis, keys),

    // A store that takes no writes can serve nobody.
    ping: () => redis.set(keys.probe(), '1', 1000),
    close: () => redis.close(),
  };
}

/** @see pack in scripts/shared.ts */
const unpack = (reply: unknown): string[] => (reply as string).split(SEPARATOR);

const checkArguments = ({ now, jti, type, issuedAtSeconds, limit }: CheckToken): (string | number)[] => [
  now,
  jti,
  type,
  issuedAtSeconds,
  limit?.max ?? '',
  limit?.windowMs ?? '',
];

type Asked = { userId: string; limit?: Limit | undefined; now: number };

function readCheck(reply: string[], asked: Asked): CheckResult {
  const status = reply[0];
  switch (status) {
    case 'ok':
      return { status, user: decodeUser(asked.userId, reply, 3), limit: readLimit(reply, asked) };
    default:
      return readRefusal(reply, asked);
  }
}

function readRotate(reply: string[], asked: Asked): RotateResult {
  const status = reply[0];
  switch (status) {
    case 'rotated':
    case 'repeated':
      return {
        status,
        limit: readLimit(reply, asked),
        jti: reply[3] as string,
        issuedAtSeconds: Number(reply[4]),
        expiresAtSeconds: Number(reply[5]),
        lastIp: reply[6] as string,
        user: decodeUser(asked.userId, reply, 7),
      };
    case 'reused':
      return { status };
    default:
      return readRefusal(reply, asked);
  }
}

function readRefusal(reply: string[], asked: Asked): Refusal | Stale {
  const status = reply[0];
  switch (status) {
    case 'gone':
    case 'revoked':
      return { status };
    case 'ended':
      return { status, reason: reply[1] as EndReason };
    case 'limited':
      return { status, limit: readLimit(reply, asked) as LimitState };
    case 'stale':
      return {
        status,
        limit: readLimit(reply, asked),
        generation: reply[3] as string,
        authVersion: Number(reply[4]),
      };
    default:
      throw storeUnavailable(new Error(`the state script answered ${String(status)}`));
  }
}

/** The counter and the end of its window, after the status; empty where nothing was counted. */
function readLimit(reply: string[], { limit, now }: Asked): LimitState | undefined {
  if (!limit || reply[1] === '') return undefined;
  return {
    max: limit.max,
    remaining: Math.max(0, limit.max - Number(reply[1])),
    resetMs: Math.max(0, Math.min(limit.windowMs, Number(reply[2]) - now)),
  };
}

/** Cuts an ASCII text into pieces; what is left over is dropped. */
const slicePieces = (text: string, size: number, pieces: number): string[] =>
  Array.from({ length: pieces }, (_, n) => text.slice(n * size, (n + 1) * size));
