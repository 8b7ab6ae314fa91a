-- Gives a lease back, unless another machine has it.
--
-- KEYS[1]  the lease
-- ARGV[1]  the token of its holder
--
-- Returns 1, or 0 if it is not the holder's.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
