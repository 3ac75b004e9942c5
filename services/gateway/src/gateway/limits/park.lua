-- Parks an event in Redis while NATS is away; refuses when so many wait already.
--
-- ARGV 1 most that may wait   2 the event.   Answers 1 or 0.
if redis.call('LLEN', 'gateway:logs') >= tonumber(ARGV[1]) then return 0 end
redis.call('RPUSH', 'gateway:logs', ARGV[2])
return 1
