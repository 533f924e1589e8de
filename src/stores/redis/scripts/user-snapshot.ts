import { shared } from './shared.js';

/**
 * Before an account changes in SQL. The snapshot goes at once and nobody may put one back while the fence
 * stands; it has a deadline in case the change dies, by when its SQL transaction is over for certain. Replies the text
 * of the snapshot, or of what is left of it.
 */
export const fenceUser = `${shared}
local user, now, id, deadline = KEYS[1], tonumber(ARGV[1]), ARGV[2], ARGV[3]
local u = redis.call('HMGET', user, 'e', 'f')
if not u[1] then redis.call('HSET', user, 'e', ARGV[1], 'g', ARGV[1]) end
local open = ''
for fence, ends in string.gmatch(u[2] or '', '([^=;]+)=(%d+);') do
  if fence ~= id and tonumber(ends) > now then open = open .. fence .. '=' .. ends .. ';' end
end
local text = redis.call('HMGET', user, 'p0', 'p1', 'p2', 'p3')
drop_user(user)
redis.call('HSET', user, 'f', open .. id .. '=' .. deadline .. ';')
redis.call('HINCRBY', user, 'g', 1)
keep(user, tonumber(deadline) - now)
return text[1] and table.concat(text) or ''
`;

/**
 * After the change. Lifts that fence only, and writes the snapshot unless a later change already did. While other
 * fences stand only the version is noted: whoever lifts the last of them may hold what an earlier change made.
 * Repeating it changes nothing: the epoch rises only together with the fence's removal. A fence that outlived its
 * deadline may have gone before; the version is told all the same, or an older snapshot would be believed.
 */
export const publishUser = `${shared}
local user, devices, id, reason, deleted = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local u = redis.call('HMGET', user, 'e', 'f', 'v', 'd')
if not u[1] then return 0 end
local open, found = '', false
for fence, ends in string.gmatch(u[2] or '', '([^=;]+)=(%d+);') do
  if fence == id then found = true else open = open .. fence .. '=' .. ends .. ';' end
end
if found then
  if open == '' then redis.call('HDEL', user, 'f') else redis.call('HSET', user, 'f', open) end
  redis.call('HINCRBY', user, 'g', 1)
  if reason ~= '' then
    raise_epoch(user, reason)
    redis.call('DEL', devices)
  end
end
if deleted == '1' then
  redis.call('DEL', devices)
  drop_user(user)
  redis.call('HDEL', user, 'v')
  redis.call('HSET', user, 'd', 1)
elseif open ~= '' then
  if tonumber(ARGV[4]) > (tonumber(u[3]) or 0) then
    drop_user(user)
    redis.call('HSET', user, 'v', ARGV[4])
  end
elseif not u[4] then
  write_user(user, ARGV, 4, u[3])
end
return 1
`;

/** What SQL said after a stale answer, unless the account was fenced or published since. */
export const cacheUser = `${shared}
local user, now, generation = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local u = redis.call('HMGET', user, 'g', 'f', 'd', 'v')
if u[1] ~= generation or u[3] or fenced(u[2], now) then return 0 end
write_user(user, ARGV, 3, u[4])
return 1
`;
