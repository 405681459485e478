-- Keep summaries beside a session that exists.
--
-- KEYS: head, messages, ids
-- ARGV: 1 the summaries as a JSON object
-- Gives "ok" or "missing".
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
redis.call('HSET', KEYS[1], 's', ARGV[1])
return 'ok'
