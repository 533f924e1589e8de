import { lua } from './shared.js';

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
export const rotate = `${lua.raceWindow}${lua.requireWritable}${lua.noSession}${lua.epochReason}
${lua.authReason}${lua.fenced}${lua.count}${lua.keep}${lua.finish}${lua.writeUser}${lua.pack}
local function rotate()
  local session, user, index = KEYS[1], KEYS[2], KEYS[4]
  local now, sid, jti = tonumber(ARGV[1]), ARGV[2], ARGV[3]
  local next_jti, next_iat, next_exp = ARGV[5], ARGV[6], ARGV[7]

  local s = redis.call('HMGET', session, 'e', 'a', 'j', 'i', 'm', 'ip', 'rc', 'rt')
  if not s[1] then return no_session(session, user) end
  if redis.call('EXISTS', KEYS[3]) == 1 then return {'revoked'} end

  local u = redis.call('HMGET', user, 'e', 'a', 'p0', 'p1', 'p2', 'p3', 'f', 'd')
  if not u[1] then return {'gone'} end
  if u[8] then return {'ended', 'account_deleted'} end
  if u[1] ~= s[1] then return {'ended', epoch_reason(user, s[1], u[1])} end

  local auth, own, is_fenced = tonumber(u[2]), tonumber(s[2]), fenced(u[7], now)
  local reason, snapshot
  if not auth or auth < own or is_fenced then
    local seen = redis.call('HMGET', user, 'g', 'v')
    if seen[1] ~= ARGV[11] then return {'stale', '', '', seen[1], s[2]} end
    if not is_fenced then write_user(user, ARGV, 12, seen[2]) end
    auth, reason, snapshot = tonumber(ARGV[13]), ARGV[14] ~= '' and ARGV[14] or 'unknown', ARGV[15]
  else
    snapshot = u[3] .. u[4] .. u[5] .. u[6]
  end
  if auth > own then return {'ended', reason or auth_reason(user)} end

  local repeated
  if jti ~= s[3] then
    local spent = redis.call('HMGET', session, 'p', 'n', 'k', 'x')
    if jti == spent[1] and (spent[2] ~= '1' or now - tonumber(spent[3]) < RACE_WINDOW) then
      repeated = spent[4]
    elseif tonumber(ARGV[4]) <= tonumber(s[4]) then
      finish(session, index, sid, 'reuse')
      return {'reused'}
    end
  end

  local counted, ends, max = '', '', tonumber(ARGV[9])
  if max then
    local allowed
    allowed, counted, ends = count(s[7], s[8], max, tonumber(ARGV[10]), now)
    if not allowed then return {'limited', counted, ends} end
  end

  if repeated then
    if max then redis.call('HSET', session, 'rc', counted, 'rt', ends) end
    return {'repeated', counted, ends, s[3], s[4], repeated, s[6], snapshot}
  end

  -- They stay the texts they came as: Redis makes a text of a number at a third of a microsecond each.
  if tonumber(next_exp) > tonumber(s[5]) then next_exp = s[5] end
  if tonumber(next_iat) < tonumber(s[4]) then next_iat = s[4] end
  local ttl = tonumber(next_exp) * 1000 - now
  if ttl < 1000 then
    finish(session, index, sid, 'expired')
    return {'ended', 'expired'}
  end
  redis.call('HSET', session, 'j', next_jti, 'l', ARGV[1], 'i', next_iat, 'ip', ARGV[8], 'x', next_exp, 'p', jti, 'n', '',
    'k', ARGV[1], 'rc', counted, 'rt', ends)
  redis.call('PEXPIRE', session, ttl)
  redis.call('ZADD', index, next_exp .. '000', sid)
  keep(index, ttl)
  keep(user, ttl)
  return {'rotated', counted, ends, next_jti, next_iat, next_exp, s[6], snapshot}
end
local verdict = rotate()
if verdict[1] ~= 'rotated' then require_writable(KEYS[4]) end
return pack(verdict)
`;
