-- Delete a session.
--
-- KEYS: head, messages, ids
-- ARGV: 1 "1" to write something even where nothing is left to delete
-- Gives "ok <count of its messages>" or "missing".
-- A head of another type must not keep what is damaged from being deleted.
local count = redis.pcall('HGET', KEYS[1], 'n')
if type(count) == 'table' then
  count = nil
end
if redis.call('UNLINK', unpack(KEYS)) == 0 then
  if ARGV[1] == '1' then
    -- WAIT needs a write to count from, for the repeat of what was not confirmed.
    redis.call('SET', KEYS[1], '')
    redis.call('DEL', KEYS[1])
  end
  return 'missing'
end
return 'ok ' .. (count or 0)
