-- Renews the leases of running attempts and notes what each has delivered so far.
--
-- ARGV 1 lease, milliseconds   2 this server's run id; then for each attempt: request id, attempt, output tokens delivered
-- Answers { now ms, the epoch ('': admission is closed), then those that are not held, by their place from 0 }.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms = now + tonumber(ARGV[1])
local epoch = redis.call('GET', 'epoch') or ''
local server = string.find(epoch, '@', 1, true)
if server and string.sub(epoch, server + 1) ~= ARGV[2] then epoch = '' end

local answer = { now, epoch }
for i = 3, #ARGV, 3 do
  local name = ARGV[i] .. '/' .. ARGV[i + 1]
  local windows = redis.call('HGET', 'hold:' .. name, 'windows')
  if windows then
    redis.call('HSET', 'hold:' .. name, 'delivered', ARGV[i + 2])
    redis.call('ZADD', 'holds', until_ms, name)
    for whose in string.gmatch(windows, '[^\n]+') do
      redis.call('ZADD', 'concurrency:' .. whose, 'XX', until_ms, ARGV[i])
    end
  else
    answer[#answer + 1] = (i - 3) / 3
  end
end
return answer
