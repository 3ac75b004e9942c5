-- Claims an Idempotency-Key for one request, or says who has it. Asked again for the same request (a reply was lost) it
-- answers as before.
--
-- A claim's lease says only whether its request still runs; the claim itself stays for its whole life, so that a gateway
-- that died in the middle of a call leaves a key that nobody uses again.
--
-- ARGV 1 digest of owner and key   3 request id            5 life, milliseconds
--      2 fingerprint               4 lease, milliseconds   6 api key id that must not be revoked ('': none)
--
-- Answers 'mine', 'running', 'over' (it ran, and runs no more), 'other' (another request), 'revoked' or 'closed'.
if redis.call('EXISTS', 'epoch') == 0 then return 'closed' end
if ARGV[6] ~= '' and redis.call('EXISTS', 'revoked:' .. ARGV[6]) == 1 then return 'revoked' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local name = 'idempotency:' .. ARGV[1]
local there = redis.call('HMGET', name, 'fingerprint', 'request', 'until')
if not there[1] then
  redis.call('HSET', name, 'fingerprint', ARGV[2], 'request', ARGV[3], 'until', now + tonumber(ARGV[4]))
  redis.call('PEXPIRE', name, ARGV[5])
  return 'mine'
end
if there[1] ~= ARGV[2] then return 'other' end
if there[2] == ARGV[3] then return 'mine' end
return tonumber(there[3]) > now and 'running' or 'over'
