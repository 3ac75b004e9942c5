-- Settles one attempt: its hold becomes what it really cost. Twice or late is as good as once.
--
-- ARGV 1 request id   2 attempt   3 nano-USD it cost   4 tokens it used   5 'final' or 'estimated'
--      6 the epoch that its event names   7 this server's run id   8 milliseconds that a late one stays held
--
-- Cost is added only in the epoch that the event names, because billing counts the events of every other epoch itself.
-- What ends after such a change stays held for a while, at what it cost, so that it is counted until billing has it; what
-- ends while admission is closed for ten seconds only, since billing opens it with everything booked that was told before.
--
-- A reaper that settles an abandoned hold leaves a mark of what it counted; when the call's own gateway comes after all,
-- it adds the difference only. When Redis lost the marks, billing writes them again before it opens admission.
--
-- Answers { 'settled' }, { 'corrected' }, { 'late' } or { 'known' }.
local name = ARGV[1] .. '/' .. ARGV[2]
local hold_key, mark_key = 'hold:' .. name, 'reaped:' .. name
local cost, is_final = tonumber(ARGV[3]), ARGV[5] == 'final'

local epoch = redis.call('GET', 'epoch')
local server = epoch and string.find(epoch, '@', 1, true)
local is_same = epoch == ARGV[6] and (not server or string.sub(epoch, server + 1) == ARGV[7])

local function each(list, act)
  for one in string.gmatch(list, '[^\n]+') do act(one) end
end

local hold = redis.call('HMGET', hold_key, 'counters', 'amount', 'windows', 'tokens', 'second', 'counted')
local mark = redis.call('HMGET', mark_key, 'cost', 'counters')
if not hold[1] then
  if not mark[1] or not is_final then return { 'known' } end
  redis.call('DEL', mark_key)
  if not is_same then return { 'late' } end
  local difference = string.format('%.0f', cost - tonumber(mark[1]))
  each(mark[2], function(suffix) redis.call('INCRBY', 'cost:' .. suffix, difference) end)
  return { 'corrected' }
end
if mark[1] then -- held again while Redis had forgotten that it was reaped
  hold[6] = hold[6] or mark[1]
  redis.call('HSET', hold_key, 'counted', hold[6])
  redis.call('DEL', mark_key)
end

each(hold[3], function(whose)
  if tonumber(hold[4]) > 0 and redis.call('HEXISTS', 'token_limit:' .. whose, hold[5]) == 1 then
    redis.call('HINCRBY', 'token_limit:' .. whose, hold[5], tonumber(ARGV[4]) - tonumber(hold[4]))
  end
  redis.call('ZREM', 'concurrency:' .. whose, ARGV[1])
end)

-- What an earlier estimate of the same attempt has added already.
local counted = tonumber(hold[6] or 0)
if hold[6] and not is_final then cost = counted end

local keep = 0
if not is_same then keep = math.min(math.max(cost - counted, 0), tonumber(hold[2])) end
local freed, added = string.format('%.0f', tonumber(hold[2]) - keep), string.format('%.0f', cost - counted)
each(hold[1], function(suffix)
  redis.call('DECRBY', 'held:' .. suffix, freed)
  if is_same and added ~= '0' then redis.call('INCRBY', 'cost:' .. suffix, added) end
end)
if keep > 0 then
  local time = redis.call('TIME')
  redis.call('HSET', hold_key, 'amount', string.format('%.0f', keep), 'tokens', 0, 'late', 1)
  local kept_ms = epoch and tonumber(ARGV[8]) or 10000
  redis.call('ZADD', 'holds', time[1] * 1000 + math.floor(time[2] / 1000) + kept_ms, name)
  return { 'late' }
end
redis.call('DEL', hold_key)
redis.call('ZREM', 'holds', name)
if not is_same then return { 'late' } end
if not is_final then
  redis.call('HSET', mark_key, 'cost', string.format('%.0f', cost), 'counters', hold[1])
  redis.call('EXPIRE', mark_key, 86400) -- as long as REAPED_SECONDS says
end
return { 'settled' }
