/**
 * Several windows of one slot, all or nothing: every rule is looked at first, and only when none is spent are
 * all counted. A window starts with its first hit and is never pushed back.
 */
export const hitLimits = /* lua */ `
local spent, tightest
for n = 1, #KEYS do
  local max, window = tonumber(ARGV[2 * n - 1]), tonumber(ARGV[2 * n])
  local current = tonumber(redis.call('GET', KEYS[n])) or 0
  local left = redis.call('PTTL', KEYS[n])
  if left < 1 then current, left = 0, window end
  local rule = {n, current, left, max}
  if current >= max and (not spent or left > spent[3]) then spent = rule end
  if not tightest or max - current < tightest[4] - tightest[2] then tightest = rule end
end
if spent then return {0, spent[1], spent[2], spent[3]} end
for n = 1, #KEYS do
  if redis.call('INCR', KEYS[n]) == 1 then redis.call('PEXPIRE', KEYS[n], ARGV[2 * n]) end
end
return {1, tightest[1], tightest[2] + 1, tightest[3]}
`;

/** Takes a hit back. A window with none has not begun. */
export const unhitLimits = /* lua */ `
for _, key in ipairs(KEYS) do
  local current = tonumber(redis.call('GET', key)) or 0
  if current > 1 then redis.call('DECR', key) else redis.call('DEL', key) end
end
return 1
`;
