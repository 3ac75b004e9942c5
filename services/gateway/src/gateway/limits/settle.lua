-- Settles one attempt: its hold becomes what it really cost. Twice or late is as good as once.
--
-- ARGV 1 request id   2 attempt   3 nano-USD it cost   4 tokens it used   5 'final' or 'estimated'   6 suffix <key>:<YYYY>:<MM>
--
-- A reaper that settles an abandoned hold leaves a mark of what it counted; when the call's own gateway comes after all,
-- it adds the difference only.
--
-- Answers { 'settled' }, { 'corrected' } or { 'known' }.
local name = ARGV[1] .. '/' .. ARGV[2]
local hold_key, mark_key = 'hold:' .. name, 'reaped:' .. name
local cost = tonumber(ARGV[3])

local hold = redis.call('HMGET', hold_key, 'suffix', 'amount', 'key', 'tokens', 'second')
if not hold[1] then
  local reaped = ARGV[5] == 'final' and redis.call('GET', mark_key)
  if not reaped then return { 'known' } end
  redis.call('INCRBY', 'cost:' .. ARGV[6], string.format('%.0f', cost - tonumber(reaped)))
  redis.call('DEL', mark_key)
  return { 'corrected' }
end

redis.call('DECRBY', 'held:' .. hold[1], hold[2])
if cost > 0 then redis.call('INCRBY', 'cost:' .. hold[1], string.format('%.0f', cost)) end
local reserved = tonumber(hold[4])
if reserved > 0 and redis.call('HEXISTS', 'token_limit:' .. hold[3], hold[5]) == 1 then
  redis.call('HINCRBY', 'token_limit:' .. hold[3], hold[5], tonumber(ARGV[4]) - reserved)
end
redis.call('ZREM', 'concurrency:' .. hold[3], ARGV[1])
redis.call('DEL', hold_key)
redis.call('ZREM', 'holds', name)
if ARGV[5] == 'estimated' then redis.call('SET', mark_key, string.format('%.0f', cost), 'EX', 86400) end
return { 'settled' }
