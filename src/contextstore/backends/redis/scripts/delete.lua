-- Delete a session, if it is the one that the caller saw.
--
-- KEYS: head, messages, ids
-- ARGV: 1 "1" to write something even where nothing is left to delete
--       2 the version that the session began at, "" where none was seen
-- Gives "ok <count of its messages>", "missing", or "other" where it was made anew.
-- What it has in common with other scripts is explained in __init__.py.
-- A head of another type must not keep what is damaged from being deleted.
local head = redis.pcall('HMGET', KEYS[1], 'o', 'n')
-- Keys without a head are what a server lost the rest of, and nobody's new session.
if head[1] and head[1] ~= ARGV[2] then
  if ARGV[1] == '1' then
    redis.call('HSET', KEYS[1], 'o', head[1])
  end
  return 'other'
end
if redis.call('UNLINK', unpack(KEYS)) == 0 then
  if ARGV[1] == '1' then
    redis.call('SET', KEYS[1], '')
    redis.call('DEL', KEYS[1])
  end
  return 'missing'
end
return 'ok ' .. (head[2] or 0)
