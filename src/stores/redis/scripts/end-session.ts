import { shared } from './shared.js';

/**
 * Ends one session. One that is dead or unknown is refused anyway, and keeps the reason it has; but an unknown one of
 * a token that could be adopted is buried: see `adopt-token`.
 */
export const endSession = `${shared}
local session, user, index, bury = KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[3])
-- As require_writable, but allowed where memory has run out: ending a session frees some.
redis.call('ZREM', index, '')
local s = redis.call('HMGET', session, 'e', 'a', 'end')
if bury and not s[1] and not s[3] then
  redis.call('HSET', session, 'end', ARGV[2])
  redis.call('PEXPIRE', session, math.max(1000, bury))
  return 1
end
if not is_live(s[1], s[2], redis.call('HMGET', user, 'e', 'a', 'd')) then return 0 end
finish(session, index, ARGV[1], ARGV[2])
return 1
`;

/**
 * The live sessions of a user: the index names them, the sessions themselves decide. The session keys are not
 * declared but share the index's slot. Dead ones stay in the index until they expire, for `forgetSessions`.
 */
export const listSessions = `${shared}
local user, index, session_prefix = KEYS[1], KEYS[2], ARGV[2]
local u = redis.call('HMGET', user, 'e', 'a', 'd')
local reply = {}
redis.call('ZREMRANGEBYSCORE', index, '-inf', ARGV[1])
for _, sid in ipairs(redis.call('ZRANGE', index, 0, -1)) do
  local s = redis.call('HMGET', session_prefix .. sid, 'e', 'a', 'c', 'l', 'x', 'ip', 'ua0', 'ua1', 'ua2')
  if is_live(s[1], s[2], u) then
    reply[#reply + 1] = {sid, s[3], s[4], s[5], s[6], (s[7] or '') .. (s[8] or '') .. (s[9] or '')}
  elseif not s[1] then
    redis.call('ZREM', index, sid)
  end
end
return reply
`;

/**
 * Deletes a user's sessions, and the devices. Only for users whose sessions are dead already: what the index misses
 * expires.
 */
export const forgetSessions = /* lua */ `
local index, devices, session_prefix = KEYS[1], KEYS[2], ARGV[1]
for _, sid in ipairs(redis.call('ZRANGE', index, 0, -1)) do redis.call('DEL', session_prefix .. sid) end
redis.call('DEL', index, devices)
return 1
`;
