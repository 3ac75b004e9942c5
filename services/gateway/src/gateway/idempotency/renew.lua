-- Renews the claims of requests that still run, and writes again those that an emptied Redis has lost.
--
-- ARGV 1 lease, milliseconds   2 life, milliseconds; then for each: digest, fingerprint, request id
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i = 3, #ARGV, 3 do
  local name = 'idempotency:' .. ARGV[i]
  local request = redis.call('HGET', name, 'request')
  if not request then
    redis.call('HSET', name, 'fingerprint', ARGV[i + 1], 'request', ARGV[i + 2], 'until', until_ms)
    redis.call('PEXPIRE', name, ARGV[2])
  elseif request == ARGV[i + 2] then
    redis.call('HSET', name, 'until', until_ms)
  end
end
return 1
