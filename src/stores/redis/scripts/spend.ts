import { DAY_MS } from '../../../otp/otp-store.js';

/**
 * Lua of the spend guard. A day's hash: `e` when the day ends (ms), `s` codes sent, `v` codes proved. The day starts
 * with its first send; one that is over says nothing, whether or not Redis has dropped it yet.
 */
export const spendDay = /* lua */ `
local SPEND_DAY = ${DAY_MS}

-- Returns when the day ends (nil: there is none), sent, proved.
local function today(key, now)
  local day = redis.call('HMGET', key, 'e', 's', 'v')
  local ends = tonumber(day[1])
  if ends and now < ends then return ends, tonumber(day[2]), tonumber(day[3]) end
  return nil, 0, 0
end

-- Is a send suspicious, and how long to deny it? Without a ratio it is enough that min were sent.
local function ask_guard(now, ends, sent, proved, deny, min, ratio)
  if not min or sent < min or (ratio and proved >= ratio * sent) then return 0, 0 end
  return 1, deny == '1' and math.min(SPEND_DAY, (ends or now + SPEND_DAY) - now) or 0
end

-- A clock that is behind may count before the first send: then the day starts there.
local function count_today(key, now, ends)
  if ends then
    redis.call('HINCRBY', key, 's', 1)
    if now + SPEND_DAY < ends then redis.call('HSET', key, 'e', now + SPEND_DAY) end
  else
    redis.call('HSET', key, 'e', now + SPEND_DAY, 's', 1, 'v', 0)
    redis.call('PEXPIRE', key, SPEND_DAY)
  end
end

-- Only in the day in which it was counted, and never below 0.
local function uncount_today(key, sent_at)
  local ends, sent = today(key, sent_at)
  if ends and ends - SPEND_DAY <= sent_at and sent > 0 then redis.call('HINCRBY', key, 's', -1) end
end
`;

/** One send of a country, or of all. */
export const countSpend = `${spendDay}
local day, now = KEYS[1], tonumber(ARGV[1])
local ends, sent, proved = today(day, now)
local suspicious, wait = ask_guard(now, ends, sent, proved, ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
if wait == 0 then count_today(day, now, ends) end
return {wait, suspicious}
`;

export const uncountSpend = `${spendDay}
uncount_today(KEYS[1], tonumber(ARGV[1]))
return 1
`;

/** A code was proved. Without a send that day there is nothing to compare it with. */
export const countVerified = `${spendDay}
if today(KEYS[1], tonumber(ARGV[1])) then redis.call('HINCRBY', KEYS[1], 'v', 1) end
return 1
`;

export const readSpend = `${spendDay}
local _, sent, proved = today(KEYS[1], tonumber(ARGV[1]))
return {sent, proved}
`;
