-- Reserves the next place in the stream of requests of one interface (GCRA), by the clock of the server.
--
-- KEYS[1]  what is limited; holds "TAT SEEN", both microseconds since 1970: when the place after the last
--          one begins if requests are evenly spread (theoretical arrival time), and the clock when that was written
-- ARGV[1]  microseconds between two requests
-- ARGV[2]  by how many microseconds a request may come before its time
-- ARGV[3]  how many microseconds the caller can wait
--
-- Answers {1, wait}: a place is reserved, and begins after so many microseconds; or {0, wait}: that would
-- be too long, nothing is reserved.
local interval, early, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local tat = now
local stored = redis.call('GET', KEYS[1])
if stored then
  local written, seen = string.match(stored, '^(%d+) (%d+)$')
  if written then
    tat = tonumber(written)
    -- The clock was set back, or another server has taken over: the places move with it. Nobody is
    -- to wait until the old time comes round again.
    tat = tat - math.max(tonumber(seen) - now, 0)
  end
end
tat = math.max(tat, now)

local wait = math.max(tat - early - now, 0)
if wait > 0 and wait >= longest then
  return {0, wait}
end
-- Who comes a minute later than the last place finds the same as without a key.
local expiry = math.ceil((tat + interval - now) / 1000) + 60000
redis.call('SET', KEYS[1], string.format('%.0f %.0f', tat + interval, now), 'PX', expiry)
return {1, wait}
