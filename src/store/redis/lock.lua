-- ARGV: instant, owner, length
local DAY = 86400 * 1000000
local key, now, owner = KEYS[1], instant(ARGV[1]), ARGV[2]
local found = redis.call('HMGET', key, 'owner', 'token', 'expires_at')
local ends, lasts_until = tonumber(found[3] or 0), now + ARGV[3]
local live = found[1] and ends > now
if live and found[1] ~= owner then return { 'held', whole(ends), whole(ends - now) } end

local token = tonumber(found[2] or 0)
if not live then
    -- At least the time, so that tokens grow even over a hash that was forgotten; at least one more, so that they
    -- grow under a clock that was set back.
    token = math.max(token + 1, now)
    redis.call('HSET', key, 'owner', owner, 'token', whole(token), 'locked_at', whole(now))
end
redis.call('HSET', key, 'expires_at', whole(lasts_until))
forget_after(key, now, lasts_until + DAY)
return { 'taken', whole(token), whole(lasts_until) }
