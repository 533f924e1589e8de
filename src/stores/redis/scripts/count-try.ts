import { ROW_LIFETIME_MS } from '../../../security/login-store.js';
import { devices } from './devices.js';

const rows = `${devices}
local ROW_LIFETIME = ${ROW_LIFETIME_MS}

-- How many wrong passwords there were in a row, and when the last one was tried; 0 once that was taken back.
local function read_row(key)
  local n, t = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  return tonumber(n) or 0, tonumber(t) or 0
end
`;

/**
 * A try to prove a password, at its account. It is counted before anything is compared, so that tries side by side
 * cannot outrun the delay. One from a known device is counted with the device; a refused one is not counted at all.
 *
 * Replies what became of it, whether the device is known, its tries in the window, the ms until that ends, and the ms
 * until the delay ends.
 */
export const countTry = `${rows}
local row, known = KEYS[1], KEYS[2]
local now, id, max, window = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local after, step, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

-- Neither this nor a window is ever longer than it is, for a clock that is behind either.
local function delay_left(n, t)
  if n < after then return 0 end
  local delay = math.min((n - after + 1) * step, longest)
  return math.max(0, math.min(delay, t + delay - now))
end

local d = read_device(known, id, now)
if d then
  if d.x <= now then d.c, d.x = 0, now + window end
  d.x = math.min(d.x, now + window)
  local left = delay_left(d.n, d.t)
  if d.c >= max and d.x - now >= left then return {'limited', 1, d.c, d.x - now, left} end
  if left > 0 then return {'delayed', 1, d.c, d.x - now, left} end
  d.c, d.n, d.t = d.c + 1, d.n + 1, now
  write_device(known, id, d)
  return {'counted', 1, d.c, d.x - now, 0}
end

local n, t = read_row(row)
local left = delay_left(n, t)
if left > 0 then return {'delayed', 0, 0, 0, left} end
redis.call('SET', row, string.format('%d %.0f', n + 1, now), 'PX', ROW_LIFETIME)
return {'counted', 0, 0, 0, 0}
`;

/** It was not compared after all. If it was the last one, nobody waits for it either. */
export const uncountTry = `${rows}
local row, known, tried_at, id = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
if id ~= '' then
  local d = read_device(known, id, tried_at)
  if not d then return 0 end
  d.c, d.n = math.max(0, d.c - 1), math.max(0, d.n - 1)
  if d.t == tried_at then d.t = 0 end
  write_device(known, id, d)
  return 1
end
local n, t = read_row(row)
if n <= 1 then return redis.call('DEL', row) end
if t == tried_at then t = 0 end
redis.call('SET', row, string.format('%d %.0f', n - 1, t), 'KEEPTTL')
return 1
`;

/** The password was right. */
export const endRow = `${devices}
local row, known, now, id = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
redis.call('DEL', row)
local d = read_device(known, id, now)
if d then
  d.n, d.t = 0, 0
  write_device(known, id, d)
end
return 1
`;
