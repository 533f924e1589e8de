import { DEVICE_LIFETIME_MS, DEVICES_KEPT } from '../../../security/login-store.js';

/**
 * Lua for the known devices of a user: one small hash, whose fields are the devices. A record is six numbers in one
 * text of at most 64 bytes, so that the hash stays a listpack: when it last logged in (ms), whether it ever came
 * back, tries in the window and the window's end (ms), wrong passwords in a row and when the last was tried (ms).
 */
export const devices = /* lua */ `
local DEVICE_LIFETIME = ${DEVICE_LIFETIME_MS}
local DEVICES_KEPT = ${DEVICES_KEPT}

local function parse_device(text)
  local l, s, c, x, n, t = string.match(text, '^(%d+) (%d) (%d+) (%d+) (%d+) (%d+)$')
  return {l = tonumber(l), s = tonumber(s), c = tonumber(c), x = tonumber(x), n = tonumber(n), t = tonumber(t)}
end

-- The device, unless it is unknown or was away for too long.
local function read_device(key, id, now)
  local text = redis.call('HGET', key, id)
  local d = text and parse_device(text)
  if d and d.l + DEVICE_LIFETIME > now then return d end
end

local function write_device(key, id, d)
  redis.call('HSET', key, id, string.format('%.0f %d %d %.0f %d %.0f', d.l, d.s, d.c, d.x, d.n, d.t))
end

-- Forgets those that were away for too long, and one more if the rest are as many as are kept. Whoever never came
-- back goes first: a program that logs in again and again without showing its cookie pushes out no browser.
local function make_room(key, now)
  local all = redis.call('HGETALL', key)
  local kept, last, worst = 0, nil, nil
  for n = 1, #all, 2 do
    local d = parse_device(all[n + 1])
    if d.l + DEVICE_LIFETIME <= now then
      redis.call('HDEL', key, all[n])
    else
      kept = kept + 1
      if not worst or d.s < worst.s or (d.s == worst.s and d.l < worst.l) then last, worst = all[n], d end
    end
  end
  if kept >= DEVICES_KEPT then redis.call('HDEL', key, last) end
end

-- After a login from it.
local function remember_device(key, id, now)
  local d = read_device(key, id, now)
  if d then
    d.l, d.s, d.n, d.t = now, 1, 0, 0
  else
    make_room(key, now)
    d = {l = now, s = 0, c = 0, x = 0, n = 0, t = 0}
  end
  write_device(key, id, d)
  redis.call('PEXPIRE', key, DEVICE_LIFETIME)
end
`;

/** When each of them last logged in. */
export const listDevices = `${devices}
local reply = {}
for n, text in ipairs(redis.call('HGETALL', KEYS[1])) do
  local d = n % 2 == 0 and parse_device(text)
  if d and d.l + DEVICE_LIFETIME > tonumber(ARGV[1]) then reply[#reply + 1] = string.format('%.0f', d.l) end
end
return reply
`;
