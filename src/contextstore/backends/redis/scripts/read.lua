-- Read a stretch of a session, and what is needed to check it.
--
-- KEYS: head, messages, ids
-- ARGV: "last", count or ""
--       "from", "before" or "after", digest of an id, count or ""
--       "pinned"
-- Gives "missing", or "headless" where the server lost a key of the session; else
-- "<version> <base> <count> <first> <wanted>|<pinned>|<lengths>" and the elements in one
-- text, which a client reads in a fraction of the time of many. First is the position
-- of the first message, -1 where the id is not there; wanted is how many there should be.
local head = redis.call('HMGET', KEYS[1], 'v', 'b', 'n', 'p')
if not head[1] then
  return redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 and 'headless' or 'missing'
end
local base, count = tonumber(head[2]), tonumber(head[3])
local pinned = head[4] or ''
local what = ARGV[1]
local elements = {}

local function packed(first, wanted)
  local lengths = {}
  for index, element in ipairs(elements) do
    lengths[index] = #element
  end
  local numbers = table.concat({head[1], base, count, first, wanted}, ' ')
  local line = numbers .. '|' .. pinned .. '|' .. table.concat(lengths, ' ')
  return {line, table.concat(elements)}
end

if what == 'pinned' then
  for position in pinned:gmatch('%d+') do
    elements[#elements + 1] = redis.call('LINDEX', KEYS[2], position - base - 1) or ''
  end
  return packed(0, #elements)
end

local first, last = 1, count
local limit = what == 'last' and ARGV[2] or ARGV[3]
if what == 'last' then
  if limit ~= '' then
    first = math.max(1, count - limit + 1)
  end
else
  local position = redis.call('HGET', KEYS[3], ARGV[2])
  if not position then
    if redis.call('HLEN', KEYS[3]) ~= count then
      return 'headless'
    end
    return packed(-1, 0)
  end
  if what == 'before' then
    last = position - base - 1
    first = math.max(1, last - limit + 1)
  else
    first = position - base + (what == 'after' and 1 or 0)
    if limit ~= '' then
      last = math.min(count, first + limit - 1)
    end
  end
end
if first <= last then
  elements = redis.call('LRANGE', KEYS[2], first - 1, last - 1)
end
return packed(base + first, math.max(0, last - first + 1))
