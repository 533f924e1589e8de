import { LAST_USED_GRAIN_MS, RACE_WINDOW_MS } from '../../../tokens/state-store.js';
import { USER_FIELDS } from '../../user-fields.js';

const listed = USER_FIELDS.map((field) => `'${field}'`).join(', ');

/** Between the values of a packed reply: ASCII's unit separator. */
export const REPLY_SEPARATOR = '\x1f';

/**
 * Lua that several scripts share; each script is the parts it names plus its own lines. Redis runs all of it each
 * time, definitions included, so the two scripts of every request take no part that they do not need.
 *
 * A session hash: `j` the refresh jti in force, `p` the one before, `k` when it was rotated away (ms), `n` set
 * once the successor has been used, `i`/`x` iat and exp of `j` (s), `c` created (ms), `m` the absolute end (s),
 * `e` the user's epoch and `a` the auth version at login, `l` last used (ms), `ip`, `ua0`..`ua2`, `rc`/`rt` the
 * refresh counter and the end of its window. An ended session holds only `end`, the reason.
 *
 * A user hash: `e` the epoch, `w` the reasons of its last rises (newest last), `g` the generation (rises with
 * every fence and publication), `f` open fences as `id=deadline;`, `d` set once deleted, `rc`/`rt` the request
 * counter, and the snapshot's fields. Of these `v`, the version, outlives the snapshot: it is the highest seen.
 */
export const lua = {
  raceWindow: /* lua */ `
local RACE_WINDOW = ${RACE_WINDOW_MS}
`,

  lastUsedGrain: /* lua */ `
local LAST_USED_GRAIN = ${LAST_USED_GRAIN_MS}
`,

  userFields: /* lua */ `
local USER_FIELDS = {${listed}}
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
local function epoch_reason(session_epoch, user_epoch, reasons)
  local behind = tonumber(user_epoch) - tonumber(session_epoch)
  local list = {}
  for reason in string.gmatch(reasons or '', '[^,]+') do list[#list + 1] = reason end
  return list[#list - behind + 1] or 'unknown'
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
-- A write that changes nothing (XX adds no member). A replica, and a primary cut off from its replicas
-- (min-replicas-to-write), refuse it: who may not have heard of a revocation passes no verdict.
local function require_writable(index) redis.call('ZADD', index, 'XX', 0, '') end
`,

  isLive: /* lua */ `
-- Does a session stand? e and a are its own; u is the user's epoch, auth version and deletion mark.
local function is_live(e, a, u)
  return e and e == u[1] and tonumber(a) >= (tonumber(u[2]) or 0) and not u[3]
end
`,

  unknownSession: /* lua */ `
-- The verdict on a session the store knows nothing of: a deleted account took its sessions along.
local function unknown_session(user)
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
-- Counts in a window kept in two fields of a hash, unless it is spent. Returns allowed, count, end of window.
local function count(key, current, ends, max, window, now)
  if not ends or tonumber(ends) <= now then
    ends = string.format('%.0f', now + window)
    redis.call('HSET', key, 'rc', 1, 'rt', ends)
    return true, 1, ends
  end
  if tonumber(current) >= max then return false, current, ends end
  return true, redis.call('HINCRBY', key, 'rc', 1), ends
end
`,

  writeUser: /* lua */ `
-- Writes the snapshot unless a newer one has been seen.
local function write_user(key, argv, from, seen)
  if tonumber(argv[from]) < (tonumber(seen) or 0) then return end
  local pairs_ = {}
  for n = 1, #USER_FIELDS do
    pairs_[2 * n - 1] = USER_FIELDS[n]
    pairs_[2 * n] = argv[from + n - 1]
  end
  redis.call('HSET', key, unpack(pairs_))
end
`,

  pack: /* lua */ `
-- A reply of seventeen values costs its reader twice what one text does. No field can hold the separator: names
-- with control characters are refused. With u, the snapshot follows: it is the last of what was read of the user.
local SEPARATOR = '${REPLY_SEPARATOR}'
local function pack(reply, u, from)
  local text = table.concat(reply, SEPARATOR)
  return u and (text .. SEPARATOR .. table.concat(u, SEPARATOR, from)) or text
end
`,
} as const;

/** The snapshot's fields as arguments of a command. */
export const USER_FIELD_ARGUMENTS = listed;

/** What only some requests need, whole. */
export const shared = [
  lua.userFields,
  lua.keep,
  lua.finish,
  lua.raiseEpoch,
  lua.isLive,
  lua.fenced,
  lua.writeUser,
].join('');
