import { lua, USER_FIELD_ARGUMENTS } from './shared.js';

/**
 * The question of every authenticated request, in one trip: do the session, its epoch, the blacklist and the
 * account allow this token now? Along the way the request is counted, and the first use of the newest pair is
 * noted: it proves that the answer of the last rotation arrived.
 *
 * `check` also guards logout-all, which must not spend a second trip on asking.
 */
export const check = `${lua.lastUsedGrain}${lua.raceWindow}${lua.requireWritable}${lua.unknownSession}${lua.epochReason}
${lua.fenced}${lua.count}${lua.pack}
-- Gives the verdict and, where the token is good, what was read of the user: the snapshot from the eighth on.
local function check(session, user, blacklisted, index, argv)
  local now, jti, kind = tonumber(argv[1]), argv[2], argv[3]
  local iat, max, window = tonumber(argv[4]), tonumber(argv[5]), tonumber(argv[6])
  require_writable(index)

  local s = redis.call('HMGET', session, 'end', 'e', 'a', 'j', 'p', 'k', 'n', 'l', 'i')
  if s[1] then return {'ended', s[1]} end
  if not s[2] then return unknown_session(user) end
  if redis.call('EXISTS', blacklisted) == 1 then return {'revoked'} end

  local u = redis.call('HMGET', user, 'e', 'w', 'g', 'f', 'd', 'rc', 'rt', ${USER_FIELD_ARGUMENTS})
  if not u[1] then return {'gone'} end
  if u[5] then return {'ended', 'account_deleted'} end
  if u[1] ~= s[2] then return {'ended', epoch_reason(s[2], u[1], u[2])} end

  if kind == 'refresh' and jti ~= s[4] then
    -- Good as far as a rotation would take it.
    local replayable = jti == s[5] and (not s[7] or now - tonumber(s[6]) < RACE_WINDOW)
    if not replayable and iat <= tonumber(s[9]) then return {'revoked'} end
  end

  local counted, ends = '', ''
  if max then
    local allowed
    allowed, counted, ends = count(user, u[6], u[7], max, window, now)
    if not allowed then return {'limited', counted, ends} end
  end

  -- An access token shares the first twelve digits of its jti with the refresh token it was issued with.
  if s[5] and not s[7] and string.sub(jti, 1, 12) == string.sub(s[4], 1, 12) then
    redis.call('HSET', session, 'n', 1)
  end
  if now - tonumber(s[8]) >= LAST_USED_GRAIN then redis.call('HSET', session, 'l', argv[1]) end

  local auth, reason = tonumber(u[9]), u[10]
  if not auth or fenced(u[4], now) or auth < tonumber(s[3]) then
    return {'stale', counted, ends, u[3], s[3]}
  end
  if auth > tonumber(s[3]) then return {'ended', reason ~= '' and reason or 'unknown'} end
  return {'ok', counted, ends}, u
end
`;

export const checkToken = `${check}
local verdict, u = check(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV)
return pack(verdict, u, 8)
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
