import { slidingLog } from './sliding-log.js';

/**
 * A challenge hash: `h` the keyed hash of the code, `t` wrong tries, `x` when it expires (ms), `n` how new it is
 * (ms), `d` set once answered. Two codes of the same millisecond are told apart by their hashes.
 *
 * What runs twice or late finds one as new, or newer: it neither replaces that nor gives it new tries.
 */
export const openChallenge = /* lua */ `
local challenge, now, hash, lifetime = KEYS[1], tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local c = redis.call('HMGET', challenge, 'n', 'h')
local newest = tonumber(c[1])
if newest and (now < newest or (now == newest and hash == c[2])) then return 0 end
redis.call('DEL', challenge)
redis.call('HSET', challenge, 'h', hash, 't', 0, 'x', now + lifetime, 'n', ARGV[1])
redis.call('PEXPIRE', challenge, math.max(lifetime, 1000))
return 1
`;

/**
 * Judges an answer. The budgets, of the code and of the number, are looked at and charged before anything is
 * compared: a store that cannot count does not tell either. The right answer gets its charge back. It leaves a mark
 * as new as itself, longer than any command can be late, so that nothing from before it is opened again.
 *
 * The wrong tries of a number are a list of times, newest first.
 */
export const answerChallenge = `${slidingLog}
local challenge, tries, unproved = KEYS[1], KEYS[2], KEYS[3]
local now, max = tonumber(ARGV[1]), tonumber(ARGV[2])
local per_hour, per_day = tonumber(ARGV[3]), tonumber(ARGV[4])
local LATEST = 60000

local c = redis.call('HMGET', challenge, 'h', 't', 'x', 'n', 'd')
local ends = tonumber(c[3])
if not ends or c[5] or now >= ends then return {'none', 0} end

local function tries_wait(most, window)
  local nth = most and redis.call('LINDEX', tries, most - 1)
  return nth and time_left(window, tonumber(nth), now) or 0
end
local wait = math.max(tries_wait(per_hour, HOUR), tries_wait(per_day, DAY))
if tonumber(c[2]) >= max then
  local began = tonumber(c[4])
  wait = math.max(wait, time_left(ends - began, began, now))
end
if wait > 0 then return {'spent', wait} end

redis.call('HINCRBY', challenge, 't', 1)
redis.call('LPUSH', tries, ARGV[1])
redis.call('LTRIM', tries, 0, math.max(per_hour, per_day or 0) - 1)
redis.call('PEXPIRE', tries, DAY)

for n = 5, #ARGV do
  if ARGV[n] == c[1] then
    redis.call('LPOP', tries)
    redis.call('DEL', unproved)
    redis.call('HSET', challenge, 'd', 1, 'n', math.max(now, tonumber(c[4])))
    redis.call('PEXPIRE', challenge, math.max(ends - now, LATEST))
    return {'right', 0}
  end
end
return {'wrong', 0}
`;
