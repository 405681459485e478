-- Keep summaries beside a session that exists.
--
-- KEYS: head, messages, ids, summaries
-- ARGV: 1 the summaries as a JSON object, or "" for none
-- Gives "ok" or "missing".
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
if ARGV[1] == '' then
  redis.call('DEL', KEYS[4])
else
  redis.call('SET', KEYS[4], ARGV[1])
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then
    redis.call('PEXPIRE', KEYS[4], left)
  end
end
return 'ok'
