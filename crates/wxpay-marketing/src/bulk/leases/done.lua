-- Says that a plan is settled, unless another machine has its lease: that one will find out by itself.
--
-- KEYS[1]  the lease
-- ARGV[1]  the token of its holder
-- ARGV[2]  what became of the plan
-- ARGV[3]  how many milliseconds this is known
--
-- Returns 1, or 0 if it is not the holder's.
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] or not held then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1
end
return 0
