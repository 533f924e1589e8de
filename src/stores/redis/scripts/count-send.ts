import { slidingLog } from './sliding-log.js';
import { spendDay } from './spend.js';

/**
 * One code to a number: its cool-down, its hour and its day are all looked at before it is counted. The sends since
 * the last proved code are a log of their own, which the proof deletes; what is taken back takes its cool-down along.
 */
export const countNumberSend = `${slidingLog}
local sends, unproved = KEYS[1], KEYS[2]
local now, id = tonumber(ARGV[1]), ARGV[2]
local per_hour, per_day, steps = tonumber(ARGV[3]), tonumber(ARGV[4]), #ARGV - 4

local function cool_down()
  local n = redis.call('ZCOUNT', unproved, string.format('(%.0f', now - DAY), '+inf')
  if n == 0 or steps == 0 then return 0 end
  local last = redis.call('ZRANGE', unproved, -1, -1, 'WITHSCORES')[2]
  return time_left(tonumber(ARGV[4 + math.min(n, steps)]), tonumber(last), now)
end

local used = {log_use(sends, id, HOUR, now), log_use(sends, id, DAY, now)}
-- Counted before.
if redis.call('ZSCORE', sends, id) then return {0, 0, 0, cool_down(), used} end

local wait, hour, day = cool_down(), log_wait(sends, per_hour, HOUR, now), log_wait(sends, per_day, DAY, now)
if wait > 0 or hour > 0 or day > 0 then return {wait, hour, day, 0, used} end
add_to_log(sends, id, now, math.max(per_hour or 1, per_day or 1), DAY)
if steps > 0 then add_to_log(unproved, id, now, steps, DAY) end
return {0, 0, 0, cool_down(), used}
`;

export const uncountNumberSend = /* lua */ `
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
`;

/** One code asked for from an address: its hour, and what the spend guard thinks of its day. */
export const countAddressSend = `${slidingLog}${spendDay}
local sends, day = KEYS[1], KEYS[2]
local now, id, per_hour = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[6])
local used = log_use(sends, id, HOUR, now)
-- Counted before.
if redis.call('ZSCORE', sends, id) then return {0, 0, 0, used} end

local ends, sent, proved = today(day, now)
local suspicious, guard = ask_guard(now, ends, sent, proved, ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]))
local hour = log_wait(sends, per_hour, HOUR, now)
if guard == 0 and hour == 0 then
  count_today(day, now, ends)
  if per_hour then add_to_log(sends, id, now, per_hour, HOUR) end
end
return {guard, suspicious, hour, used}
`;

export const uncountAddressSend = `${spendDay}
redis.call('ZREM', KEYS[1], ARGV[2])
uncount_today(KEYS[2], tonumber(ARGV[1]))
return 1
`;
