import { lua, USER_FIELD_ARGUMENTS } from './shared.js';

/**
 * The one place where a refresh token becomes its successor.
 *
 * - the token in force: rotated, and remembered as the one before;
 * - the one before, while nothing proves that its answer arrived or the race window is open: answered with the
 *   same successor;
 * - a token newer than the one in force: a failover lost its rotation, not its holder: rotated from there
 *   (`iat` never falls along a session, so a spent token is never newer);
 * - any other: spent, hence stolen, here or there: the session ends.
 *
 * A stale snapshot rotates nothing; the caller asks SQL and comes back with what it said, and with the
 * generation of this answer: if the account changed since, and no snapshot says how, that is refused too.
 */
export const rotate = `${lua.raceWindow}${lua.userFields}${lua.requireWritable}${lua.unknownSession}${lua.epochReason}
${lua.fenced}${lua.count}${lua.keep}${lua.finish}${lua.writeUser}${lua.pack}
local function rotate()
  local session, user, blacklisted, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
  local now, sid, jti, iat = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
  local next_jti, next_iat, next_exp = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
  local ip, max, window, vouched = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[11]
  require_writable(index)

  local s = redis.call('HMGET', session, 'end', 'e', 'a', 'j', 'p', 'k', 'n', 'i', 'x', 'm', 'ip', 'rc', 'rt')
  if s[1] then return {'ended', s[1]} end
  if not s[2] then return unknown_session(user) end
  if redis.call('EXISTS', blacklisted) == 1 then return {'revoked'} end

  local u = redis.call('HMGET', user, 'e', 'w', 'g', 'f', 'd', ${USER_FIELD_ARGUMENTS})
  if not u[1] then return {'gone'} end
  if u[5] then return {'ended', 'account_deleted'} end
  if u[1] ~= s[2] then return {'ended', epoch_reason(s[2], u[1], u[2])} end

  local is_fenced = fenced(u[4], now)
  if not u[7] or is_fenced or tonumber(u[7]) < tonumber(s[3]) then
    if u[3] ~= vouched then return {'stale', '', '', u[3], s[3]} end
    if not is_fenced then write_user(user, ARGV, 12, u[6]) end
    for n = 1, #USER_FIELDS do u[5 + n] = ARGV[11 + n] end
  end
  if tonumber(u[7]) > tonumber(s[3]) then return {'ended', u[8] ~= '' and u[8] or 'unknown'} end

  local repeated = false
  if jti == s[5] and (not s[7] or now - tonumber(s[6]) < RACE_WINDOW) then
    repeated = true
  elseif jti ~= s[4] and iat <= tonumber(s[8]) then
    finish(session, index, sid, 'reuse')
    return {'reused'}
  end

  local counted, ends = '', ''
  if max then
    local allowed
    allowed, counted, ends = count(session, s[12], s[13], max, window, now)
    if not allowed then return {'limited', counted, ends} end
  end

  if repeated then
    return {'repeated', counted, ends, s[4], s[8], s[9], s[11]}, u
  end

  local latest = tonumber(s[10])
  if next_exp > latest then next_exp = latest end
  if next_iat < tonumber(s[8]) then next_iat = tonumber(s[8]) end
  local ttl = next_exp * 1000 - now
  if ttl < 1000 then
    finish(session, index, sid, 'expired')
    return {'ended', 'expired'}
  end
  redis.call('HSET', session, 'j', next_jti, 'p', jti, 'k', now, 'l', now, 'i', next_iat, 'x', next_exp, 'ip', ip)
  redis.call('HDEL', session, 'n')
  redis.call('PEXPIRE', session, ttl)
  redis.call('ZADD', index, next_exp * 1000, sid)
  keep(index, ttl)
  keep(user, ttl)
  return {'rotated', counted, ends, next_jti, tostring(next_iat), tostring(next_exp), s[11]}, u
end
local verdict, u = rotate()
return pack(verdict, u, 6)
`;
