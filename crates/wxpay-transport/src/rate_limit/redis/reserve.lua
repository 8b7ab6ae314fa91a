-- Reserves the next place in the stream of requests of one interface (GCRA), by the clock of the server.
--
-- KEYS[1]  what is limited; holds "TAT SEEN", both microseconds since 1970: when the place after the last
--          one begins if requests are evenly spread (theoretical arrival time), and the clock when that was written
-- ARGV[1]  microseconds between two requests
-- ARGV[2]  by how many microseconds a request may come before its time
-- ARGV[3]  how many microseconds the caller can wait
-- ARGV[4]  how many microseconds ahead places can be reserved: more was written by nobody
-- ARGV[5], ARGV[6]  TAT and the clock as the caller was last told, or 0 and 0
--
-- Answers {1, wait, TAT, clock}: a place is reserved, and begins after so many microseconds; {0, wait, TAT, clock}:
-- that would be too long, nothing is reserved; or {2, 0, TAT, clock}: the key was gone before its time, or holds
-- less than the caller was told, or what cannot be. What the caller knows is written again, nothing is reserved.
local interval, early, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local farthest, known, known_at = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
-- Who comes a minute later than the last place finds the same as without a key.
local lasting = 60000000

-- When the clock was set back, or another server has taken over, the places move with it. Nobody is to
-- wait until the old time comes round again.
local function moved(tat, seen)
  return tat - math.max(seen - now, 0)
end

local tat, is_lost = nil, false
local written, seen = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
if written then
  tat = moved(tonumber(written), tonumber(seen))
  -- Put so that what is no number (infinite less infinite) is none that can be.
  if not (tat <= now + farthest) then
    tat, is_lost = nil, true
  end
end
if known > 0 then
  if tat then
    -- By a clock that was set back since, there is nothing to compare.
    is_lost = known_at <= now and tat < known
  else
    -- The server may let a key expire a little early.
    is_lost = is_lost or moved(known, known_at) + lasting - 1000000 > now
  end
end
tat = math.max(tat or 0, math.min(moved(known, known_at), now + farthest), now)

local function write(to)
  local expiry = math.ceil((to - now + lasting) / 1000)
  redis.call('SET', KEYS[1], string.format('%.0f %.0f', to, now), 'PX', expiry)
end

if is_lost then
  write(tat)
  return {2, 0, tat, now}
end
local wait = math.max(tat - early - now, 0)
if wait > 0 and wait >= longest then
  return {0, wait, tat, now}
end
write(tat + interval)
return {1, wait, tat + interval, now}
