import { lua } from './shared.js';

/**
 * The question of every authenticated request, in one trip: do the session, its epoch, the blacklist and the
 * account allow this token now? Along the way the request is counted, and the first use of the newest pair is
 * noted: it proves that the answer of the last rotation arrived.
 *
 * `check` also guards logout-all, which must not spend a second trip on asking.
 */
export const check = `${lua.lastUsedGrain}${lua.raceWindow}${lua.requireWritable}${lua.noSession}${lua.epochReason}
${lua.authReason}${lua.fenced}${lua.count}${lua.pack}
-- Gives the verdict and, where the token is good, the count of requests, its end and the user's snapshot.
local function judge(session, user, blacklisted, argv)
  local now, jti = tonumber(argv[1]), argv[2]
  local s = redis.call('HMGET', session, 'e', 'a', 'j', 'l', 'p', 'n')
  if not s[1] then return no_session(session, user) end
  if redis.call('EXISTS', blacklisted) == 1 then return {'revoked'} end

  local u = redis.call('HMGET', user, 'e', 'a', 'p0', 'p1', 'p2', 'p3', 'rc', 'rt', 'f', 'd')
  if not u[1] then return {'gone'} end
  if u[10] then return {'ended', 'account_deleted'} end
  if u[1] ~= s[1] then return {'ended', epoch_reason(user, s[1], u[1])} end

  local is_proved = s[6] == '1'
  if argv[3] == 'refresh' and jti ~= s[3] then
    -- Good as far as a rotation would take it.
    local spent = redis.call('HMGET', session, 'k', 'i')
    local replayable = jti == s[5] and (not is_proved or now - tonumber(spent[1]) < RACE_WINDOW)
    if not replayable and tonumber(argv[4]) <= tonumber(spent[2]) then return {'revoked'} end
  end

  local counted, ends, max = '', '', tonumber(argv[5])
  if max then
    local allowed
    allowed, counted, ends = count(u[7], u[8], max, tonumber(argv[6]), now)
    if not allowed then return {'limited', counted, ends} end
    redis.call('HSET', user, 'rc', counted, 'rt', ends)
  end

  -- An access token shares the first twelve digits of its jti with the refresh token it was issued with.
  if s[5] and not is_proved and string.sub(jti, 1, 12) == string.sub(s[3], 1, 12) then
    redis.call('HSET', session, 'n', 1)
  end
  if now - tonumber(s[4]) >= LAST_USED_GRAIN then redis.call('HSET', session, 'l', argv[1]) end

  local auth, own = tonumber(u[2]), tonumber(s[2])
  if not auth or auth < own or fenced(u[9], now) then
    return {'stale', counted, ends, redis.call('HGET', user, 'g'), s[2]}
  end
  if auth > own then return {'ended', auth_reason(user)} end
  return {'ok', counted, ends, u[3] .. u[4] .. u[5] .. u[6]}
end

local function check(session, user, blacklisted, index, argv)
  local verdict = judge(session, user, blacklisted, argv)
  local has_written = verdict[1] == 'ok' and verdict[2] ~= ''
  if not has_written then require_writable(index) end
  return verdict
end
`;

export const checkToken = `${check}
return pack(check(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV))
`;

/**
 * Logout everywhere. With a caller's token (its ARGV start at 3) only when that is good; sessions are never
 * walked: all of an older epoch are dead from here on. No device is known any more.
 */
export const endAllSessions = `${check}${lua.raiseEpoch}
local user, devices, reason = KEYS[1], KEYS[2], ARGV[2]
if KEYS[3] then
  local argv = {}
  for n = 3, #ARGV do argv[n - 2] = ARGV[n] end
  local verdict = check(KEYS[3], user, KEYS[4], KEYS[5], argv)
  if verdict[1] ~= 'ok' then return pack(verdict) end
end
raise_epoch(user, reason)
redis.call('DEL', devices)
return 'done'
`;
