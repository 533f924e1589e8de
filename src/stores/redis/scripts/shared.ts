import { LAST_USED_GRAIN_MS, RACE_WINDOW_MS } from '../../../tokens/state-store.js';
import { SEPARATOR } from '../../user-fields.js';

/**
 * Lua that several scripts share; each script is the parts it names plus its own lines. Redis runs all of it each
 * time, definitions included, so the two scripts of every request take no part that they do not need.
 *
 * A session hash: `e` the user's epoch and `a` the auth version at login, `j` the refresh jti in force, `i`/`x` its
 * iat and exp (s), `p` the jti before, `k` when it was rotated away (ms), `n` 1 once the successor has been used, `m`
 * the absolute end (s), `c` created (ms), `l` last used (ms), `ip`, `ua0`..`ua2`, `rc`/`rt` the refresh counter and
 * the end of its window. An ended session holds only `end`, the reason.
 *
 * A user hash: `e` the epoch, `w` the reasons of its last rises (newest last), `g` the generation (rises with
 * every fence and publication), `f` open fences as `id=deadline;`, `d` set once deleted, `rc`/`rt` the request
 * counter, and the snapshot: `v` its version, `a` and `ar` the auth version and its reason, `p0`..`p3` its text. The
 * version outlives the rest: it is the highest seen.
 *
 * Values of up to 64 bytes keep a hash a listpack, at a third of a hash table's memory: longer ones are cut. Redis
 * looks a field up by walking the list, so what every request reads stands first, and what few need is read by them.
 */
export const lua = {
  raceWindow: /* lua */ `
local RACE_WINDOW = ${RACE_WINDOW_MS}
`,

  lastUsedGrain: /* lua */ `
local LAST_USED_GRAIN = ${LAST_USED_GRAIN_MS}
`,

  keep: /* lua */ `
-- Raises a key's life to at least ttl ms, with a day to spare so that the next rotations need not.
local function keep(key, ttl)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl + 86400000) end
end
`,

  finish: /* lua */ `
-- Ends a session: what is left is the reason, for as long as its tokens would have lived.
local function finish(key, index, sid, reason)
  local ttl = redis.call('PTTL', key)
  if ttl < 1000 then ttl = 1000 end
  redis.call('DEL', key)
  redis.call('HSET', key, 'end', reason)
  redis.call('PEXPIRE', key, ttl)
  redis.call('ZREM', index, sid)
end
`,

  epochReason: /* lua */ `
-- Why a session of an older epoch ended: one reason a rise, the newest eight are kept.
local function epoch_reason(user, session_epoch, user_epoch)
  local reasons = redis.call('HGET', user, 'w')
  local behind = tonumber(user_epoch) - tonumber(session_epoch)
  local list = {}
  for reason in string.gmatch(reasons or '', '[^,]+') do list[#list + 1] = reason end
  return list[#list - behind + 1] or 'unknown'
end
`,

  authReason: /* lua */ `
local function auth_reason(user)
  local reason = redis.call('HGET', user, 'ar')
  return reason and reason ~= '' and reason or 'unknown'
end
`,

  raiseEpoch: /* lua */ `
local function raise_epoch(key, reason)
  local epoch = redis.call('HGET', key, 'e')
  if not epoch then return end
  local reasons = redis.call('HGET', key, 'w')
  reasons = reasons and (reasons .. ',' .. reason) or reason
  local _, commas = string.gsub(reasons, ',', '')
  if commas >= 8 then reasons = string.gsub(reasons, '^[^,]*,', '') end
  redis.call('HSET', key, 'e', string.format('%.0f', tonumber(epoch) + 1), 'w', reasons)
end
`,

  requireWritable: /* lua */ `
-- A write that changes nothing (XX adds no member), where nothing else was written. A replica, and a primary cut off
-- from its replicas (min-replicas-to-write), refuse it: who may not have heard of a revocation passes no verdict.
local function require_writable(index) redis.call('ZADD', index, 'XX', 0, '') end
`,

  isLive: /* lua */ `
-- Does a session stand? e and a are its own; u is the user's epoch, auth version and deletion mark.
local function is_live(e, a, u)
  return e and e == u[1] and tonumber(a) >= (tonumber(u[2]) or 0) and not u[3]
end
`,

  noSession: /* lua */ `
-- The verdict on a session that is not open: ended, or unknown; a deleted account took its sessions along.
local function no_session(session, user)
  local reason = redis.call('HGET', session, 'end')
  if reason then return {'ended', reason} end
  if redis.call('HEXISTS', user, 'd') == 1 then return {'ended', 'account_deleted'} end
  return {'gone'}
end
`,

  fenced: /* lua */ `
-- Is a change of the account under way? A fence whose deadline passed was left by one that died.
local function fenced(fences, now)
  if not fences then return false end
  for deadline in string.gmatch(fences, '=(%d+);') do
    if tonumber(deadline) > now then return true end
  end
  return false
end
`,

  count: /* lua */ `
-- One more in a window that is kept as a count and its end (ms), unless it is spent: whether, and what to keep.
local function count(current, ends, max, window, now)
  if (tonumber(ends) or 0) <= now then return true, 1, string.format('%.0f', now + window) end
  current = tonumber(current)
  if current >= max then return false, current, ends end
  return true, current + 1, ends
end
`,

  writeUser: /* lua */ `
-- Writes the snapshot, four arguments, unless a newer one has been seen.
local function write_user(key, argv, from, seen)
  if tonumber(argv[from]) < (tonumber(seen) or 0) then return end
  local text = argv[from + 3]
  redis.call('HSET', key, 'v', argv[from], 'a', argv[from + 1], 'ar', argv[from + 2], 'p0', string.sub(text, 1, 64),
    'p1', string.sub(text, 65, 128), 'p2', string.sub(text, 129, 192), 'p3', string.sub(text, 193))
end
`,

  dropUser: /* lua */ `
local function drop_user(key) redis.call('HDEL', key, 'a', 'ar', 'p0', 'p1', 'p2', 'p3') end
`,

  pack: /* lua */ `
-- A reply of many values costs its reader twice what one text does. The snapshot's text in it is more of the same.
local function pack(reply) return table.concat(reply, '${SEPARATOR}') end
`,
} as const;

/** What only some requests need, whole. */
export const shared = [
  lua.keep,
  lua.finish,
  lua.raiseEpoch,
  lua.isLive,
  lua.fenced,
  lua.writeUser,
  lua.dropUser,
].join('');
