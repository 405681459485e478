-- Change a session in any way but by appending, if it is as the caller read it.
--
-- KEYS: head, messages, ids
-- ARGV: 1 the version that was read, "" where there was no session
--       2 a token of this change         3 the new version
--       4 the position before the first message    5 positions of pinned messages
--       6 metadata, or ""                7 milliseconds to live, "" to leave what is set
--       8 summaries, or ""               9, 10 how many messages go left and right
--      11, 12, 13 how many digests to forget, elements to put before the first, and
--                 messages to put in the place of others
--      14 "1" to mend a session of which a key does not fit the head
--      15... the digests; digest and element each; position, seal, flags, body each;
--            then what is added: digest, seal, flags, body each
-- Gives "ok <version> <time>", "stale" where the session changed meanwhile, or
-- "headless" where the server lost a key of it.
-- What it has in common with other scripts is explained in __init__.py.
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('HMGET', KEYS[1], 'v', 't', 'n', 'u')
local now = math.max(clock, tonumber(head[4] or 0))
if head[1] and head[2] == ARGV[2] then
  -- A repeat of what was done.
  redis.call('HSET', KEYS[1], 't', ARGV[2])
  return string.format('ok %s %.0f', head[1], now)
end
if (head[1] or '') ~= ARGV[1] then
  return 'stale'
end
if not head[1] and redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then
  return 'headless'
end
local stored = tonumber(head[3] or 0)
if ARGV[14] == '' and (redis.call('LLEN', KEYS[2]) ~= stored
    or redis.call('HLEN', KEYS[3]) ~= stored) then
  return 'headless'
end

local stamp = struct.pack('>I2I4', math.floor(now / 4294967296), now % 4294967296)
local base = tonumber(ARGV[4])
local next_argument = 15
local function take()
  next_argument = next_argument + 1
  return ARGV[next_argument - 1]
end

if ARGV[9] ~= '0' or ARGV[10] ~= '0' then
  redis.call('LTRIM', KEYS[2], ARGV[9], -1 - ARGV[10])
end
for _ = 1, ARGV[11] do
  redis.call('HDEL', KEYS[3], take())
end
for _ = 1, ARGV[12] do
  local given = take()
  local element = given:sub(17)
  redis.call('LPUSH', KEYS[2], element)
  redis.call('HSET', KEYS[3], given:sub(1, 16), (struct.unpack('>I4', element)))
end
for _ = 1, ARGV[13] do
  local given = take()
  local position = struct.unpack('>I4', given)
  redis.call('LSET', KEYS[2], position - base - 1, given:sub(1, 4) .. stamp .. given:sub(5))
end
local count = redis.call('LLEN', KEYS[2])
while next_argument <= #ARGV do
  local given = take()
  count = count + 1
  local element = struct.pack('>I4', base + count) .. stamp .. given:sub(17)
  redis.call('RPUSH', KEYS[2], element)
  redis.call('HSET', KEYS[3], given:sub(1, 16), base + count)
end

redis.call('HSET', KEYS[1], 'v', ARGV[3], 'b', base, 'n', count, 'u', now,
  'p', ARGV[5], 't', ARGV[2])
if not head[1] then
  redis.call('HSET', KEYS[1], 'c', now, 'm', '{}', 'o', ARGV[3])
end
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'm', ARGV[6])
end
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[1], 's', ARGV[8])
end
if ARGV[7] ~= '' then
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIREAT', key, string.format('%.0f', clock + ARGV[7]))
  end
else
  local left = redis.call('PTTL', KEYS[1])
  for _, key in ipairs(left > 0 and KEYS or {}) do
    redis.call('PEXPIREAT', key, string.format('%.0f', clock + left))
  end
end
return string.format('ok %s %.0f', ARGV[3], now)
