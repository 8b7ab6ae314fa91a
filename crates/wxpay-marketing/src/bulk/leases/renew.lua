-- Lets a lease last for longer, unless another machine has it.
--
-- KEYS[1]  the lease
-- ARGV[1]  the token of its holder
-- ARGV[2]  how many milliseconds it lasts from now
--
-- Returns 1, or 0 if it is not the holder's.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
