-- ARGV: instant, lease, status, phase, retention, and where there is an answer its code, headers and body
local key, now, lease = KEYS[1], instant(ARGV[1]), ARGV[2]
local row = read(key, now)
if not row or row.lease_id ~= lease then return 0 end
if row.status ~= 'STARTED' then return 1 end -- said again: the first end stands

local expires_at = now + ARGV[5]
redis.call('HDEL', key, 'lease_until', 'locked_at', 'locked_by') -- the lease's id stays, to be recognised
redis.call('HSET', key, 'status', ARGV[3], 'phase', ARGV[4], 'expires_at', whole(expires_at))
if ARGV[6] then
    redis.call('HSET', key, 'response_code', ARGV[6], 'response_headers', ARGV[7], 'response_body', ARGV[8])
end
forget_after(key, now, expires_at)
return 1
