-- Ends a request's claim: frees its key for another try, or leaves it as one whose request has run (also when an emptied
-- Redis knows of no claim any more).
--
-- ARGV 1 digest   2 fingerprint   3 request id   4 life, milliseconds   5 whether it is freed (1/0)
local name = 'idempotency:' .. ARGV[1]
local request = redis.call('HGET', name, 'request')
if request and request ~= ARGV[3] then return 0 end
if ARGV[5] == '1' then return redis.call('DEL', name) end
redis.call('HSET', name, 'fingerprint', ARGV[2], 'request', ARGV[3], 'until', 0)
if not request then redis.call('PEXPIRE', name, ARGV[4]) end
return 1
