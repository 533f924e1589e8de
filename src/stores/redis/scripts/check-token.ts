import { shared } from './shared.js';

/**
 * The question of every authenticated request, in one trip: do the session, its epoch, the blacklist and the
 * account allow this token now? Along the way the request is counted, and the first use of the newest pair is
 * noted: it proves that the answer of the last rotation arrived.
 *
 * `check` also guards logout-all, which must not spend a second trip on asking.
 */
export const check = `${shared}
local function check(session, user, blacklisted, index, argv)
  local now, jti, kind = tonumber(argv[1]), argv[2], argv[3]
  local iat, max, window = tonumber(argv[4]), tonumber(argv[5]), tonumber(argv[6])
  require_writable(index)

  local s = redis.call('HMGET', session, 'end', 'e', 'a', 'j', 'p', 'k', 'n', 'l', 'i')
  if s[1] then return {'ended', s[1]} end
  if not s[2] then return unknown_session(user) end
  if redis.call('EXISTS', blacklisted) == 1 then return {'revoked'} end

  local u = redis.call('HMGET', user, 'e', 'w', 'g', 'f', 'd', 'rc', 'rt', unpack(USER_FIELDS))
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
    if not allowed then return {'limited', counted, string.format('%.0f', ends)} end
    ends = string.format('%.0f', ends)
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
  return append_fields({'ok', counted, ends}, u, 8)
end
`;

export const checkToken = `${check}
return pack(check(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV))
`;

/**
 * Logout everywhere. With a caller's token (its ARGV start at 3) only when that is good; sessions are never
 * walked: all of an older epoch are dead from here on.
 */
export const endAllSessions = `${check}
local user, reason = KEYS[1], ARGV[2]
if KEYS[2] then
  local argv = {}
  for n = 3, #ARGV do argv[n - 2] = ARGV[n] end
  local verdict = check(KEYS[2], user, KEYS[3], KEYS[4], argv)
  if verdict[1] ~= 'ok' then return pack(verdict) end
end
raise_epoch(user, reason)
return 'done'
`;
