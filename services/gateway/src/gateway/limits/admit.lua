-- Admits one attempt of one call, or says why not: all or nothing over every limit and budget, by Redis's own clock.
--
-- A hold of the attempt's worst case is written before the provider is called. It is a lease: renewed while the call runs,
-- counted until it is settled, freed by evidence only, never by time. Asked again for the same attempt (a reply was lost)
-- it answers as before and holds nothing more. The gateway names the counters of the periods that it thinks are now; when
-- its clock is off it is told the time, and asks again. A call counts in the periods in which its first attempt was admitted.
--
-- ARGV 1 request id                          6 may the output be cut to fit (1/0)   11 lease, milliseconds
--      2 attempt number                      7 input tokens, at most                12 api key id
--      3 nano-USD of the input, at most      8 choices that may be produced         13 calls a month (-1: unlimited)
--      4 nano-USD per million output tokens  9 what the reaper needs to tell (JSON) 14 how many windows
--      5 output tokens, at most             10 this server's run id
--      then for each window: whose, requests a minute, tokens a minute, calls at once (0: none)
--      then: periods begin, ms; and end before, ms; whose quota and month ('': none)
--      then for each counter: suffix of its keys, name, most nano-USD (-1: only counted)
--
-- Answers { 'ok', epoch, output tokens, nano-USD held, requests a minute, left, tokens a minute, left, now ms,
--           then for each counter: spent, held before }
--      or { 'closed' } { 'revoked' } { 'quota' } { 'clock', now ms } { 'concurrency' }
--      or { 'rate', retry ms, limit } { 'tokens', retry ms, limit } { 'budget', which counter, do others only hold it (1/0), room }
local request, attempt, lease, key = ARGV[1], ARGV[2], tonumber(ARGV[11]), ARGV[12]
local name, is_first = request .. '/' .. attempt, attempt == '1'
local windows_end = 14 + 4 * tonumber(ARGV[14])
local begins, ends, whose_quota = tonumber(ARGV[windows_end + 1]), tonumber(ARGV[windows_end + 2]), ARGV[windows_end + 3]
local counters = windows_end + 4

local asked = { 'epoch', 'revoked:' .. key, 'quota:' .. whose_quota }
for i = counters, #ARGV, 3 do
  asked[#asked + 1] = 'cost:' .. ARGV[i]
  asked[#asked + 1] = 'held:' .. ARGV[i]
end
local found = redis.call('MGET', unpack(asked))
local epoch = found[1]
if not epoch then return { 'closed' } end
local server = string.find(epoch, '@', 1, true)
if server and string.sub(epoch, server + 1) ~= ARGV[10] then return { 'closed' } end
if found[2] then return { 'revoked' } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now < begins or now >= ends then return { 'clock', now } end

-- What each counter has, and which budget has the least room.
local counted, room, tightest, unspent, poorest = {}, nil, 0, nil, 0
for i = counters, #ARGV, 3 do
  local spent, held = tonumber(found[#counted + 4] or 0), tonumber(found[#counted + 5] or 0)
  local limit = tonumber(ARGV[i + 2])
  if limit >= 0 then
    spent = spent + tonumber(redis.call('HGET', 'other:' .. ARGV[i + 1], 'total') or 0)
    if not room or limit - spent - held < room then room, tightest = limit - spent - held, #counted / 2 end
    if not unspent or limit - spent < unspent then unspent, poorest = limit - spent, #counted / 2 end
  end
  counted[#counted + 1] = spent
  counted[#counted + 1] = held
end

local hold_key = 'hold:' .. name
local again = redis.call('HMGET', hold_key, 'amount', 'output', 'epoch')
if again[1] then
  redis.call('ZADD', 'holds', now + lease, name)
  return { 'ok', again[3], tonumber(again[2]), tonumber(again[1]), 0, -1, 0, -1, now, unpack(counted) }
end

-- Requests of the last minute, and calls that run now.
local rate_limit, rate_left, retry, refusing = 0, -1, 0, 0
if is_first then
  for i = 15, windows_end, 4 do
    local rate, window = tonumber(ARGV[i + 1]), 'rate_limit:' .. ARGV[i]
    if rate > 0 then
      redis.call('ZREMRANGEBYSCORE', window, '-inf', now - 60000)
      local used = redis.call('ZCARD', window)
      if used >= rate then
        local oldest = redis.call('ZRANGE', window, used - rate, used - rate, 'WITHSCORES')
        local wait = math.max(1, tonumber(oldest[2]) + 60000 - now)
        if wait > retry then retry, refusing = wait, rate end
      elseif rate_left < 0 or rate - used - 1 < rate_left then
        rate_limit, rate_left = rate, rate - used - 1
      end
    end
  end
  if retry > 0 then return { 'rate', retry, refusing } end
  for i = 15, windows_end, 4 do
    local most, running = tonumber(ARGV[i + 3]), 'concurrency:' .. ARGV[i]
    if most > 0 then
      redis.call('ZREMRANGEBYSCORE', running, '-inf', now)
      if redis.call('ZCARD', running) >= most then return { 'concurrency' } end
    end
  end
  local quota = tonumber(ARGV[13])
  if quota >= 0 and tonumber(found[3] or 0) >= quota then return { 'quota' } end
end

-- The worst case, cut to what the budgets still buy where the client left the output open.
local input_nano, per_million, output = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local wanted = input_nano + math.ceil(output * per_million / 1000000)
if room and wanted > room then
  local buys = per_million > 0 and math.floor((room - input_nano) * 1000000 / per_million) or 0
  if ARGV[6] ~= '1' or buys < 1 then
    local least = ARGV[6] == '1' and input_nano + math.ceil(per_million / 1000000) or wanted
    if unspent < least then return { 'budget', poorest, 0, room } end
    return { 'budget', tightest, 1, room }
  end
  output = math.min(output, buys)
  wanted = input_nano + math.ceil(output * per_million / 1000000)
end

-- Tokens of the last minute, reserved now and corrected by settlement; counted by the second in which they began.
local tokens, second, whose = tonumber(ARGV[7]) + output * tonumber(ARGV[8]), time[1] + 0, {}
local token_limit, token_left = 0, -1
for i = 15, windows_end, 4 do
  local limit = tonumber(ARGV[i + 2])
  if limit > 0 then
    local window, used, oldest = 'token_limit:' .. ARGV[i], 0, nil
    local seconds = redis.call('HGETALL', window)
    for j = 1, #seconds, 2 do
      local at = tonumber(seconds[j])
      if at <= second - 60 then
        redis.call('HDEL', window, seconds[j])
      else
        used = used + tonumber(seconds[j + 1])
        if oldest == nil or at < oldest then oldest = at end
      end
    end
    if used + tokens > limit then
      local wait = oldest and math.max(1, (oldest + 60) * 1000 - now) or 60000
      if wait > retry then retry, refusing = wait, limit end
    elseif token_left < 0 or limit - used - tokens < token_left then
      token_limit, token_left = limit, limit - used - tokens
    end
  end
end
if retry > 0 then return { 'tokens', retry, refusing } end

-- Nothing stands in the way: write it all.
for i = 15, windows_end, 4 do
  if is_first and tonumber(ARGV[i + 1]) > 0 then
    redis.call('ZADD', 'rate_limit:' .. ARGV[i], now, request)
    redis.call('PEXPIRE', 'rate_limit:' .. ARGV[i], 60000)
  end
  if tonumber(ARGV[i + 2]) > 0 then
    redis.call('HINCRBY', 'token_limit:' .. ARGV[i], second, tokens)
    redis.call('EXPIRE', 'token_limit:' .. ARGV[i], 61)
  end
  if tonumber(ARGV[i + 3]) > 0 then
    redis.call('ZADD', 'concurrency:' .. ARGV[i], now + lease, request)
    redis.call('EXPIRE', 'concurrency:' .. ARGV[i], 86400)
  end
  if tonumber(ARGV[i + 2]) + tonumber(ARGV[i + 3]) > 0 then whose[#whose + 1] = ARGV[i] end
end
if is_first and whose_quota ~= '' and redis.call('INCR', 'quota:' .. whose_quota) == 1 then
  redis.call('EXPIRE', 'quota:' .. whose_quota, 8640000)
end
local amount, suffixes, names = string.format('%.0f', wanted), {}, {}
for i = counters, #ARGV, 3 do
  redis.call('INCRBY', 'held:' .. ARGV[i], amount)
  suffixes[#suffixes + 1] = ARGV[i]
  names[#names + 1] = ARGV[i + 1]
end
redis.call('HSET', hold_key, 'counters', table.concat(suffixes, '\n'), 'names', table.concat(names, '\n'),
  'windows', table.concat(whose, '\n'), 'amount', amount, 'output', output, 'tokens', tokens, 'second', time[1],
  'delivered', -1, 'epoch', epoch, 'call', ARGV[9])
redis.call('ZADD', 'holds', now + lease, name)
return { 'ok', epoch, output, wanted, rate_limit, rate_left, token_limit, token_left, now, unpack(counted) }
