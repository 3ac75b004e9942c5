-- Claims holds whose lease has run out, for one reaper at a time: each claimed one is out of others' sight for a while.
-- Those that were only kept until billing had them (`late`, see settle) are let go.
--
-- ARGV 1 how many at most   2 for how long, milliseconds
-- Answers a list of { name, counters' names, amount, delivered, epoch, call }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local claimed = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'holds', '-inf', now, 'LIMIT', 0, tonumber(ARGV[1]))) do
  local hold = redis.call('HMGET', 'hold:' .. name, 'names', 'amount', 'delivered', 'epoch', 'call', 'late', 'counters')
  if hold[1] and not hold[6] then
    redis.call('ZADD', 'holds', now + tonumber(ARGV[2]), name)
    claimed[#claimed + 1] = { name, hold[1], hold[2], hold[3], hold[4], hold[5] }
  else
    for suffix in string.gmatch(hold[7] or '', '[^\n]+') do redis.call('DECRBY', 'held:' .. suffix, hold[2]) end
    redis.call('DEL', 'hold:' .. name)
    redis.call('ZREM', 'holds', name)
  end
end
return claimed
