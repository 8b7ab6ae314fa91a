-- Reserves the next slot in the stream of requests of one interface (GCRA), by the clock of the server.
--
-- KEYS[1]  the limit; holds "TAT SEEN", both microseconds since 1970: the start of the slot after the last
--          reserved one if requests are evenly spread (theoretical arrival time), and the clock when it was written
-- ARGV[1]  microseconds between two requests
-- ARGV[2]  by how many microseconds a request may be early
-- ARGV[3]  how many microseconds the caller can wait
-- ARGV[4]  how many microseconds ahead slots can be reserved: a larger value is invalid
-- ARGV[5], ARGV[6]  TAT and the clock last known to the caller, or 0 and 0
--
-- Returns {1, wait, TAT, clock}: a slot is reserved, and begins after `wait` microseconds; {0, wait, TAT, clock}:
-- that would be too long, nothing is reserved; or {2, 0, TAT, clock}: the key was lost before it expired, or holds
-- less than the caller knows, or an impossible value. The caller's state is written again, nothing is reserved.
local interval, early, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local farthest, known, known_at = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
-- A request a minute after the last slot finds the same state as without a key.
local lasting = 60000000

-- If the clock was set back, or another server has taken over, the slots move with it, so that no caller
-- waits until the old time is reached again.
local function moved(tat, seen)
  return tat - math.max(seen - now, 0)
end

local tat, is_lost = nil, false
local written, seen = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
if written then
  tat = moved(tonumber(written), tonumber(seen))
  -- Negated so that NaN (infinity minus infinity) is impossible, too.
  if not (tat <= now + farthest) then
    tat, is_lost = nil, true
  end
end
if known > 0 then
  if tat then
    -- After the clock was set back, there is nothing to compare.
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
