-- Renews the leases of running attempts and notes what each has delivered so far.
--
-- ARGV 1 lease, milliseconds; then for each attempt: request id, attempt, output tokens delivered
-- Answers how many were still held.
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local held = 0
for i = 2, #ARGV, 3 do
  local name = ARGV[i] .. '/' .. ARGV[i + 1]
  local key = redis.call('HGET', 'hold:' .. name, 'key')
  if key then
    redis.call('HSET', 'hold:' .. name, 'delivered', ARGV[i + 2])
    redis.call('ZADD', 'holds', until_ms, name)
    if redis.call('ZSCORE', 'concurrency:' .. key, ARGV[i]) then
      redis.call('ZADD', 'concurrency:' .. key, until_ms, ARGV[i])
    end
    held = held + 1
  end
end
return held
