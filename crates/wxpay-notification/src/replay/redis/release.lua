-- Gives the id of a notification back.
--
-- KEYS[1]  the id
-- ARGV[1]  the token of this claim
--
-- Returns 1 if this claim held it, else 0.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
