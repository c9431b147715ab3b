-- What a key's hash says of where it stands; nil where there is none, or where its retention is over and no lease is
-- live: Redis will have forgotten it in a moment, or would have if the time were not bound.
local PHASES = { started = true, completed = true, failed = true, freed = true, failed_storage = true }

local function read(key, now)
    local found = redis.call('HMGET', key, 'status', 'phase', 'lease_id', 'lease_until', 'expires_at', 'request_hash',
        'begun_as', 'response_code')
    if not found[1] and not found[6] then return nil end
    local row = {
        status = found[1], phase = PHASES[found[2]] and found[2], lease_id = found[3], lease_until = tonumber(found[4]),
        expires_at = tonumber(found[5]), request_hash = found[6], begun_as = found[7], answered = found[8],
    }
    -- From here on the table of domain::key::KeyLife, which a law compares with this text cell by cell.
    local settled = row.status == 'COMPLETED' or row.status == 'FAILED'
    if not settled and row.lease_until and row.lease_until > now then
        row.life = 'in_flight'
    elseif row.expires_at and row.expires_at <= now then
        return nil
    elseif not settled then
        row.life = row.lease_until and 'lease_over' or 'elsewhere'
    elseif row.status == 'COMPLETED' then
        row.life = 'completed'
    elseif row.phase == 'failed_storage' then
        row.life = 'failed_storage'
    elseif row.answered and (row.phase == 'failed' or not row.phase) then
        row.life = 'failed'
    else
        row.life = 'freed'
    end
    return row
end

-- Whether this lease holds the key: its own time may be over, as long as nobody took over.
local function holds(row, lease) return row and row.status == 'STARTED' and row.lease_id == lease end

-- Lets the lease last until `lease_until`; a live lease outlasts the retention.
local function keep(key, now, row, lease_until)
    redis.call('HSET', key, 'lease_until', whole(lease_until))
    forget_after(key, now, lease_until, row.expires_at or 0)
end
