-- The instant in microseconds since 1970: the one that a test bound, else Redis's own clock.
local function instant(bound)
    if bound ~= '' then return tonumber(bound) end
    local time = redis.call('TIME')
    return time[1] * 1000000 + time[2]
end

-- Lua by itself would write a large number with an exponent.
local function whole(number) return string.format('%.0f', number) end

-- Redis forgets `key` once the last of these instants is over. It counts in milliseconds and by its own clock, hence
-- rounded up and counted from now.
local function forget_after(key, now, ...)
    redis.call('PEXPIRE', key, whole(math.ceil((math.max(...) - now) / 1000)))
end
