-- ARGV: instant, lease, lease's length
local key, now = KEYS[1], instant(ARGV[1])
local row = read(key, now)
if not holds(row, ARGV[2]) then return 0 end
keep(key, now, row, now + ARGV[3])
return 1
