-- Take a session out of the index, unless it was touched meanwhile.
--
-- KEYS: a bucket of the index
-- ARGV: 1 the session id  2 the score that was seen
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
