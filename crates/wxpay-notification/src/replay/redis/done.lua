-- Records that a notification was handed over, whoever holds its id.
--
-- KEYS[1]  the id
-- ARGV[1]  the token of this claim
-- ARGV[2]  for how many milliseconds it is kept
--
-- Returns 1 if this claim held it, or has recorded it before; else 0.
local held = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], 'done:' .. ARGV[1], 'PX', ARGV[2])
if held == ARGV[1] or held == 'done:' .. ARGV[1] then
  return 1
end
return 0
