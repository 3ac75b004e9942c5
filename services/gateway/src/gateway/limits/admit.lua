-- Admits one attempt of one call, or says why not: all or nothing, in one step, by Redis's own clock.
--
-- A hold of the attempt's worst case is written before the provider is called. It is a lease: renewed while the call runs,
-- counted until it is settled, freed by evidence only, never by time. Asked again for the same attempt (a reply was lost)
-- it answers as before and holds nothing more.
--
-- ARGV 1 api key id            5 rate limit, requests a minute (0: none)    9  nano-USD per million output tokens
--      2 request id            6 token limit, tokens a minute (0: none)     10 output tokens, at most
--      3 attempt number        7 monthly budget, nano-USD (-1: none)        11 may the output be cut to fit (1/0)
--      4 lease, milliseconds   8 nano-USD of the input, at most             12 input tokens, at most
--      13 concurrency (0: none)     14 what the reaper needs to tell of this call (JSON)     15 choices that may be produced
--
-- Answers { 'ok', period, spent, held before, rate remaining, output tokens, nano-USD held, token remaining }
--      or { 'closed' } { 'revoked' } { 'rate', retry ms } { 'tokens', retry ms } { 'concurrency' }
--      or { 'budget', spent, held before, nano-USD wanted }
local key, request, attempt = ARGV[1], ARGV[2], ARGV[3]
local budget = tonumber(ARGV[7])

if redis.call('EXISTS', 'epoch') == 0 then return { 'closed' } end
if redis.call('EXISTS', 'revoked:' .. key) == 1 then return { 'revoked' } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The UTC month (civil date from days since 1970, after Howard Hinnant's chrono algorithms).
local days = math.floor(time[1] / 86400) + 719468
local era = math.floor(days / 146097)
local doe = days - era * 146097
local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
local mp = math.floor((5 * doy + 2) / 153)
local month = mp < 10 and mp + 3 or mp - 9
local year = yoe + era * 400 + (month <= 2 and 1 or 0)
local period = string.format('%04d-%02d', year, month)
local suffix = string.format('%s:%04d:%02d', key, year, month)

local cost_key, held_key, hold_key = 'cost:' .. suffix, 'held:' .. suffix, 'hold:' .. request .. '/' .. attempt
local spent = tonumber(redis.call('GET', cost_key) or 0)
if budget >= 0 then
  spent = spent + tonumber(redis.call('HGET', 'other:key:' .. key .. ':' .. period, 'total') or 0)
end
local held = tonumber(redis.call('GET', held_key) or 0)

local again = redis.call('HMGET', hold_key, 'amount', 'output')
if again[1] then
  redis.call('ZADD', 'holds', now + tonumber(ARGV[4]), request .. '/' .. attempt)
  return { 'ok', period, spent, held - tonumber(again[1]), -1, tonumber(again[2]), tonumber(again[1]), -1 }
end

-- Requests of the last minute.
local rate_limit, window, remaining = tonumber(ARGV[5]), 'rate_limit:' .. key, -1
local counts_request = rate_limit > 0 and attempt == '1'
if counts_request then
  redis.call('ZREMRANGEBYSCORE', window, '-inf', now - 60000)
  local used = redis.call('ZCARD', window)
  if used >= rate_limit then
    local oldest = redis.call('ZRANGE', window, used - rate_limit, used - rate_limit, 'WITHSCORES')
    return { 'rate', math.max(1, tonumber(oldest[2]) + 60000 - now) }
  end
  remaining = rate_limit - used - 1
end

-- Calls of this key that are running now.
local concurrency, running = tonumber(ARGV[13]), 'concurrency:' .. key
if concurrency > 0 and attempt == '1' then
  redis.call('ZREMRANGEBYSCORE', running, '-inf', now)
  if redis.call('ZCARD', running) >= concurrency then return { 'concurrency' } end
end

-- The worst case, cut to what the budget still buys where the client left the output open.
local input_nano, per_million, output = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local wanted = input_nano + math.ceil(output * per_million / 1000000)
if budget >= 0 and spent + held + wanted > budget then
  local buys = per_million > 0 and math.floor((budget - spent - held - input_nano) * 1000000 / per_million) or 0
  if ARGV[11] ~= '1' or buys < 1 then return { 'budget', spent, held, wanted } end
  output = math.min(output, buys)
  wanted = input_nano + math.ceil(output * per_million / 1000000)
end

-- Tokens of the last minute, reserved now and corrected by settlement; counted by the second in which they began.
local token_limit, token_window, token_remaining = tonumber(ARGV[6]), 'token_limit:' .. key, -1
if token_limit > 0 then
  local tokens, second, oldest = tonumber(ARGV[12]) + output * tonumber(ARGV[15]), time[1] + 0, nil
  local used, counted = 0, redis.call('HGETALL', token_window)
  for i = 1, #counted, 2 do
    local at = tonumber(counted[i])
    if at <= second - 60 then
      redis.call('HDEL', token_window, counted[i])
    else
      used = used + tonumber(counted[i + 1])
      if oldest == nil or at < oldest then oldest = at end
    end
  end
  if used + tokens > token_limit then
    return { 'tokens', oldest and math.max(1, (oldest + 60) * 1000 - now) or 60000 }
  end
  redis.call('HINCRBY', token_window, second, tokens)
  redis.call('EXPIRE', token_window, 61)
  token_remaining = token_limit - used - tokens
end

if counts_request then
  redis.call('ZADD', window, now, request)
  redis.call('PEXPIRE', window, 60000)
end
if concurrency > 0 then
  redis.call('ZADD', running, now + tonumber(ARGV[4]), request)
  redis.call('EXPIRE', running, 86400)
end
redis.call('HSET', hold_key, 'key', key, 'suffix', suffix, 'period', period, 'amount', string.format('%.0f', wanted),
  'output', output, 'tokens', token_limit > 0 and tonumber(ARGV[12]) + output * tonumber(ARGV[15]) or 0, 'second', time[1], 'delivered', -1,
  'call', ARGV[14])
redis.call('ZADD', 'holds', now + tonumber(ARGV[4]), request .. '/' .. attempt)
redis.call('INCRBY', held_key, string.format('%.0f', wanted))
return { 'ok', period, spent, held, remaining, output, wanted, token_remaining }
