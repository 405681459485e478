-- Give entries of the index in their order, with their scores.
--
-- KEYS: a bucket of the index
-- ARGV: 1 how many  2 the score of the entry to begin behind, none from the first one on
--   3 the session of that entry, which may be gone or stand elsewhere by now
local function is_behind(name, other)
  -- As the set has them, by their bytes: Lua compares by the locale of the server.
  for at = 1, math.min(#name, #other) do
    local one, two = name:byte(at), other:byte(at)
    if one ~= two then
      return one > two
    end
  end
  return #name > #other
end

local first = 0
if ARGV[2] then
  first = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[2])
  local stop = first + redis.call('ZCOUNT', KEYS[1], ARGV[2], ARGV[2])
  while first < stop do
    local middle = math.floor((first + stop) / 2)
    local name = redis.call('ZRANGE', KEYS[1], middle, middle)[1]
    if is_behind(name, ARGV[3]) then
      stop = middle
    else
      first = middle + 1
    end
  end
end
return redis.call('ZRANGE', KEYS[1], first, first + ARGV[1] - 1, 'WITHSCORES')
