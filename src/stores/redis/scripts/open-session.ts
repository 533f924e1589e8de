import { devices } from './devices.js';
import { shared } from './shared.js';

/**
 * A new session, in the epoch that is in force at this moment. A user the store does not know gets the time as
 * first epoch: higher than any that an emptied store may have held, so old sessions cannot come back to life.
 *
 * The snapshot comes along unless SQL was read before a change: a fence or a higher version says so. So does the
 * device, unless the account has changed in a way that ends sessions. Whoever logs in has proved to be the owner, so
 * the row of wrong passwords ends.
 */
export const openSession = `${shared}${devices}
local session, user, index, row, known = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('EXISTS', session) == 1 then return redis.call('HGET', user, 'g') end
local now, sid, ends_at = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[5])
local ttl = ends_at * 1000 - now
if ttl < 1000 then ttl = 1000 end

local u = redis.call('HMGET', user, 'e', 'v', 'f', 'd', 'g', 'a')
local epoch, generation = u[1], u[5]
if not epoch then
  epoch, generation = ARGV[1], ARGV[1]
  redis.call('HSET', user, 'e', epoch, 'g', epoch)
end
keep(user, ttl)

redis.call('HSET', session, 'e', epoch, 'a', ARGV[7], 'j', ARGV[3], 'l', now, 'i', ARGV[4], 'm', ARGV[6],
  'ip', ARGV[8], 'x', ARGV[5], 'c', now)
for n = 0, 2 do
  if ARGV[9 + n] ~= '' then redis.call('HSET', session, 'ua' .. n, ARGV[9 + n]) end
end
redis.call('PEXPIRE', session, ttl)

redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
redis.call('ZADD', index, ends_at * 1000, sid)
keep(index, ttl)

if ARGV[12] ~= '' and is_live(epoch, ARGV[7], {epoch, u[6], u[4]}) then
  redis.call('DEL', row)
  remember_device(known, ARGV[12], now)
end
if ARGV[13] ~= '' and not u[4] and not fenced(u[3], now) then write_user(user, ARGV, 13, u[2]) end
return generation
`;
