-- Writes the hold of a running attempt again, after Redis lost it or a reaper took it; or says that it is there.
--
-- ARGV 1 request id              5 not after, ms             9  what the reaper needs (JSON)
--      2 attempt                 6 nano-USD to hold          10 the epoch in which it was held
--      3 lease, milliseconds     7 output tokens             11 how many windows
--      4 this server's run id    8 output tokens delivered
--      then for each window: whose, requests a minute, tokens a minute, calls at once (0: none)
--      then for each counter: suffix of its keys, name, most nano-USD (-1: only counted)
--
-- What was lost is held in full: it was admitted once. What a reaper has settled is held again as far as there is room,
-- since others may have been admitted meanwhile; that it was reaped may come to light only after it was held in full, when
-- billing has brought back what Redis lost. One that comes late (by the server's clock) changes nothing: the attempt
-- may have been settled since it was sent.
--
-- Answers { epoch ('': admission is closed), nano-USD of this attempt that are held or counted } or { }.
local name = ARGV[1] .. '/' .. ARGV[2]
local hold_key, mark_key = 'hold:' .. name, 'reaped:' .. name
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[5]) then return {} end
local until_ms = now + tonumber(ARGV[3])

local present = redis.call('GET', 'epoch') or ''
local epoch, server = present, string.find(present, '@', 1, true)
if server and string.sub(present, server + 1) ~= ARGV[4] then epoch = '' end

local hold, reaped = redis.call('HMGET', hold_key, 'amount', 'counted', 'counters'), redis.call('HGET', mark_key, 'cost')
if hold[1] and reaped and not hold[2] then
  for suffix in string.gmatch(hold[3], '[^\n]+') do redis.call('DECRBY', 'held:' .. suffix, hold[1]) end
  redis.call('DEL', hold_key)
  redis.call('ZREM', 'holds', name)
elseif hold[1] then
  if epoch ~= '' then redis.call('HSET', hold_key, 'epoch', epoch) end
  redis.call('ZADD', 'holds', until_ms, name)
  return { epoch, tonumber(hold[1]) + tonumber(hold[2] or 0) }
end

local windows_end = 11 + 4 * tonumber(ARGV[11])
local amount = tonumber(ARGV[6])
if reaped then
  amount = amount - tonumber(reaped)
  for i = windows_end + 1, #ARGV, 3 do
    if tonumber(ARGV[i + 2]) >= 0 then
      local used = redis.call('MGET', 'cost:' .. ARGV[i], 'held:' .. ARGV[i])
      local other = redis.call('HGET', 'other:' .. ARGV[i + 1], 'total')
      amount = math.min(amount, tonumber(ARGV[i + 2]) - tonumber(used[1] or 0) - tonumber(used[2] or 0) - tonumber(other or 0))
    end
  end
  if amount <= 0 then return { epoch, tonumber(reaped) } end
  redis.call('DEL', mark_key)
  redis.call('HSET', hold_key, 'counted', reaped)
end

local whose, suffixes, names = {}, {}, {}
for i = 12, windows_end, 4 do
  if tonumber(ARGV[i + 3]) > 0 then redis.call('ZADD', 'concurrency:' .. ARGV[i], until_ms, ARGV[1]) end
  if tonumber(ARGV[i + 2]) + tonumber(ARGV[i + 3]) > 0 then whose[#whose + 1] = ARGV[i] end
end
for i = windows_end + 1, #ARGV, 3 do
  redis.call('INCRBY', 'held:' .. ARGV[i], string.format('%.0f', amount))
  suffixes[#suffixes + 1] = ARGV[i]
  names[#names + 1] = ARGV[i + 1]
end
redis.call('HSET', hold_key, 'counters', table.concat(suffixes, '\n'), 'names', table.concat(names, '\n'),
  'windows', table.concat(whose, '\n'), 'amount', string.format('%.0f', amount), 'output', ARGV[7], 'tokens', 0,
  'second', time[1], 'delivered', ARGV[8], 'epoch', epoch ~= '' and epoch or ARGV[10], 'call', ARGV[9])
redis.call('ZADD', 'holds', until_ms, name)
return { epoch, amount + tonumber(reaped or 0) }
