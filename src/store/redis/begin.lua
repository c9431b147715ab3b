-- ARGV: instant, lease, owner, lease's length, retention, operation, client key, request hash
local key, now, lease = KEYS[1], instant(ARGV[1]), ARGV[2]
local lease_until, expires_at = now + ARGV[4], now + ARGV[5]

local row = read(key, now)
if holds(row, lease) then -- it asks again because the answer was lost
    keep(key, now, row, lease_until)
    return { 'run', row.begun_as }
end
if row and row.request_hash ~= ARGV[8] then
    redis.call('HINCRBY', key, 'conflicts', 1)
    return { 'mismatch' }
end
local life = row and row.life or 'fresh'
if life == 'completed' or life == 'failed' then
    local answer = redis.call('HMGET', key, 'response_code', 'response_headers', 'response_body')
    return { 'replay', answer[1] or '200', answer[2] or '[]', answer[3] or '' }
end
if life == 'in_flight' or life == 'elsewhere' then
    return { 'wait', row.lease_until and whole(row.lease_until - now) or '' }
end

local run = ({ fresh = 'new', freed = 'again', lease_over = 'taken_over', failed_storage = 'after_failed_storage' })[life]
if not row then
    redis.call('DEL', key)
    redis.call('HSET', key, 'created_at', whole(now), 'conflicts', 0)
end
redis.call('HDEL', key, 'response_code', 'response_headers', 'response_body')
redis.call('HSET', key, 'status', 'STARTED', 'phase', 'started', 'begun_as', run, 'lease_id', lease,
    'lease_until', whole(lease_until), 'locked_at', whole(now), 'locked_by', ARGV[3], 'expires_at', whole(expires_at),
    'operation', ARGV[6], 'client_key', ARGV[7], 'request_hash', ARGV[8])
redis.call('HINCRBY', key, 'attempts', 1)
forget_after(key, now, lease_until, expires_at)
return { 'run', run }
