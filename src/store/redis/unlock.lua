-- ARGV: instant, owner
local key, now = KEYS[1], instant(ARGV[1])
local found = redis.call('HMGET', key, 'owner', 'expires_at')
if found[1] ~= ARGV[2] or tonumber(found[2]) <= now then return 0 end
redis.call('HDEL', key, 'owner') -- the token stays, to grow
redis.call('HSET', key, 'expires_at', whole(now))
return 1
