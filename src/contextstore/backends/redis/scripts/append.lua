-- Add messages at the end of a session: all of them or none, in one step.
--
-- KEYS: head, messages, ids
-- ARGV: 1 the version expected, or ""    2 the version of a new session, or ""
--       3 milliseconds to live, "" to leave what is set    4 "1" to write something even for a repeat
--       5... a message each: 16 bytes of digest, seal, flags, body
-- Gives "ok <version before> <version> <time>" or "missing", "stale <version>", or
-- "headless" where the server lost a key of the session; or, where an id is stored with
-- other bytes, {"known", index, position, element, ...}. One text is read in a third of
-- the time of four values.
-- What it has in common with other scripts is explained in __init__.py.
local HEADER = 10 -- position and time, which only this side can know

local head = redis.call('HMGET', KEYS[1], 'v', 'b', 'n', 'p', 'u')
local created = not head[1]
if created and redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then
  return 'headless'
end
if created and ARGV[2] == '' then
  return 'missing'
end
local before = created and ARGV[2] or head[1]
local base, count = tonumber(head[2] or 0), tonumber(head[3] or 0)
-- Without the ids a repeat would be stored twice, without the messages a new one would
-- stand alone.
if not created and (redis.call('LLEN', KEYS[2]) ~= count
    or redis.call('HLEN', KEYS[3]) ~= count) then
  return 'headless'
end

local fresh, known = {}, {}
for index = 5, #ARGV do
  local given = ARGV[index]
  local position = not created and redis.call('HGET', KEYS[3], given:sub(1, 16))
  if not position then
    fresh[#fresh + 1] = given
  else
    local element = redis.call('LINDEX', KEYS[2], position - base - 1) or ''
    -- Equal bytes are a repeat; whether other bytes are one, the caller finds out.
    if element:sub(HEADER + 6) ~= given:sub(22) then
      known[#known + 1] = index - 5
      known[#known + 1] = tonumber(position)
      known[#known + 1] = element
    end
  end
end
if #known > 0 then
  return {'known', unpack(known, 1, math.min(#known, 600))}
end
local current = created and '0' or head[1]
local changes = created or #fresh > 0 or #ARGV < 5
if ARGV[1] ~= '' and changes and ARGV[1] ~= current then
  return 'stale ' .. current
end

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local now = math.max(clock, tonumber(head[5] or 0))
if #fresh == 0 and not created then
  if ARGV[4] == '1' then
    redis.call('HSET', KEYS[1], 'v', before)
  end
  return string.format('ok %s %s %.0f', before, before, now)
end

local stamp = struct.pack('>I2I4', math.floor(now / 4294967296), now % 4294967296)
local pinned = head[4] or ''
local elements, places = {}, {}
for index, given in ipairs(fresh) do
  local position = base + count + index
  elements[index] = struct.pack('>I4', position) .. stamp .. given:sub(17)
  places[2 * index - 1] = given:sub(1, 16)
  places[2 * index] = position
  if given:byte(21) >= 4 then
    pinned = pinned .. ' ' .. position
  end
end
-- In parts: unpack takes no more than some thousand values.
for first = 1, #elements, 500 do
  local last = math.min(first + 499, #elements)
  redis.call('RPUSH', KEYS[2], unpack(elements, first, last))
  redis.call('HSET', KEYS[3], unpack(places, 2 * first - 1, 2 * last))
end

local version = string.format('%.0f', before + #fresh)
redis.call('HSET', KEYS[1], 'v', version, 'n', count + #fresh, 'u', now)
if created then
  redis.call('HSET', KEYS[1], 'b', 0, 'c', now, 'm', '{}', 'o', ARGV[2])
end
if pinned ~= (head[4] or '') then
  redis.call('HSET', KEYS[1], 'p', pinned)
end
if ARGV[3] ~= '' then
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIREAT', key, string.format('%.0f', clock + ARGV[3]))
  end
elseif count == 0 and not created then
  local left = redis.call('PTTL', KEYS[1])
  for _, key in ipairs(left > 0 and KEYS or {}) do
    redis.call('PEXPIREAT', key, string.format('%.0f', clock + left))
  end
end
return string.format('ok %s %s %.0f', before, version, now)
