import { shared } from './shared.js';

/**
 * A token that an old system signed becomes a session of its own, in the epoch that is in force at this moment, so that
 * everything that ends sessions ends it too. One that is known, live or ended, stays what it is: a token that was spent
 * or revoked does not come back, however late this runs.
 *
 * What SQL said counts only under the generation that was in force when it was asked. A store that was emptied since has
 * another one, and whoever asked has to ask again: the token may have been revoked in between.
 *
 * It joins the list of sessions when it is refreshed.
 */
export const adoptToken = `${shared}
local session, user = KEYS[1], KEYS[2]
local now, generation, ttl = tonumber(ARGV[1]), ARGV[2], math.max(1000, tonumber(ARGV[3]))
if redis.call('EXISTS', session) == 1 then return '' end

local u = redis.call('HMGET', user, 'e', 'g', 'f', 'v', 'd')
if not u[1] then
  u[1], u[2] = ARGV[1], ARGV[1]
  redis.call('HSET', user, 'e', ARGV[1], 'g', ARGV[1])
end
keep(user, ttl)
if u[2] ~= generation then return u[2] end

redis.call('HSET', session, 'e', u[1], 'a', ARGV[8], 'j', ARGV[4], 'l', now, 'i', ARGV[5], 'm', ARGV[7],
  'ip', ARGV[9], 'x', ARGV[6], 'c', now)
for n = 0, 2 do
  if ARGV[10 + n] ~= '' then redis.call('HSET', session, 'ua' .. n, ARGV[10 + n]) end
end
redis.call('PEXPIRE', session, ttl)
if not u[5] and not fenced(u[3], now) then write_user(user, ARGV, 13, u[4]) end
return ''
`;
