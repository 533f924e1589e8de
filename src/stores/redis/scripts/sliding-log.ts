import { DAY_MS, HOUR_MS } from '../../../otp/otp-store.js';

/**
 * Lua of a budget whose window slides: a sorted set of what was counted, by time. It holds as many entries as the
 * budget has and no more, so that its length is bounded and the oldest says when there is room again.
 */
export const slidingLog = /* lua */ `
local HOUR, DAY = ${HOUR_MS}, ${DAY_MS}

-- What is left of a time that began then. A clock that is behind sees less than nothing of it gone: never more is told.
local function time_left(length, began, now)
  return math.max(0, math.min(length, began + length - now))
end

-- How long until fewer than max of the log are younger than the window; 0 when it is so, or without a max.
local function log_wait(log, max, window, now)
  local nth = max and redis.call('ZRANGE', log, -max, -max, 'WITHSCORES')[2]
  return nth and time_left(window, tonumber(nth), now) or 0
end

-- How many of the log are younger than the window, but for this one, and how long until the oldest has left it.
local function log_use(log, id, window, now)
  local young = string.format('(%.0f', now - window)
  local used = redis.call('ZCOUNT', log, young, '+inf') - (redis.call('ZSCORE', log, id) and 1 or 0)
  local oldest = redis.call('ZRANGEBYSCORE', log, young, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  return {used, oldest and time_left(window, tonumber(oldest), now) or window}
end

-- What falls out has left its window: whoever adds has asked first.
local function add_to_log(log, id, now, keep, window)
  redis.call('ZADD', log, now, id)
  redis.call('ZREMRANGEBYRANK', log, 0, -keep - 1)
  redis.call('PEXPIRE', log, window)
end
`;
