-- Takes the id of a notification.
--
-- KEYS[1]  the id; holds the token of the claim, or "done:" and the token of the claim that handed it over
-- ARGV[1]  the token of this claim
-- ARGV[2]  for how many milliseconds it is taken
--
-- Returns 0: this claim holds it; 1: another one does; 2: it was handed over; 3: the value is not of these scripts.
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 0
end
-- The response to the first try was lost.
if held == ARGV[1] then
  return 0
end
if string.sub(held, 1, 5) == 'done:' then
  return 2
end
if string.len(held) == string.len(ARGV[1]) and not string.find(held, '%W') then
  return 1
end
-- Nothing is handed over until a person has looked.
return 3
