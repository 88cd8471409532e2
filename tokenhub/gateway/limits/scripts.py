"""What runs inside Redis: each script is one atomic step, whoever else is calling.

Every key of an organization has its id in braces, so that a cluster keeps them on one node. Time is Redis's own.
"""

from tokenhub.gateway.redis import Script

# Whether one more request fits, and if so counts it: against the organization's requests per minute, the
# key's, and the requests under way of all processes. All of them or none.
#
# The generic cell rate algorithm in whole numbers, so that nothing drifts: ``at:n:rpm`` says that n requests, a
# 60/rpm s each, follow one another from ``at`` (microseconds). The next may come while the end of that
# queue is at most a minute less one interval ahead. Multiplied by rpm every comparison is exact.
#
# Requests under way: a process states how many it has, and until when to believe it.
#
# KEYS: organization's rate, its requests under way, key's rate (where it has one)
# ARGV: rpm, ahead_us, key's rpm or 0, key's ahead_us, process, how many it has with this one, limit, life_ms
# ahead_us is what this process last knew; believed only where Redis has lost its memory.
# Answers, in one line: refused by (0 none, 1 organization, 2 key, 3 under way), then remaining, reset_us,
# retry_us of organization and key
TAKE = Script("""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local MINUTE = 60000000

local function look(key, rpm, ahead)
  local at, n = now, 0
  local kept = redis.call('GET', key)
  if kept then
    local kept_at, kept_n, kept_rpm = string.match(kept, '^(%d+):(%d+):(%d+)$')
    at, n, kept_rpm = tonumber(kept_at), tonumber(kept_n), tonumber(kept_rpm)
    if kept_rpm ~= rpm then
      at, n = at + math.ceil(n * MINUTE / kept_rpm), 0
    end
  elseif ahead > 0 then
    at = now + ahead
  end
  if (at - now) * rpm + n * MINUTE <= 0 then
    at, n = now, 0
  end
  if n >= rpm then
    at, n = at + MINUTE, n - rpm
  end
  local queue = (at - now) * rpm + n * MINUTE
  local over = queue + MINUTE - MINUTE * rpm
  if over > 0 then
    return {over = over, remaining = 0, reset = math.ceil(queue / rpm), retry = math.ceil(over / rpm)}
  end
  return {
    over = 0, remaining = math.floor((MINUTE * rpm - queue - MINUTE) / MINUTE),
    reset = math.ceil((queue + MINUTE) / rpm), retry = 0,
    key = key, value = string.format('%.0f:%.0f:%.0f', at, n + 1, rpm),
  }
end

local function keep(found)
  redis.call('SET', found.key, found.value, 'PX', math.ceil(found.reset / 1000) + 60000)
end

local rpm, key_rpm = tonumber(ARGV[1]), tonumber(ARGV[3])
local whole = look(KEYS[1], rpm, tonumber(ARGV[2]))
local own = nil
if key_rpm > 0 then
  own = look(KEYS[3], key_rpm, tonumber(ARGV[4]))
end
local refused = 0
if whole.over > 0 then
  refused = 1
elseif own and own.over > 0 then
  refused = 2
else
  local now_ms, under_way = math.floor(now / 1000), tonumber(ARGV[6])
  local stated = redis.call('HGETALL', KEYS[2])
  for i = 1, #stated, 2 do
    local count, believed = string.match(stated[i + 1], '^(%d+):(%d+)$')
    if tonumber(believed) < now_ms then
      redis.call('HDEL', KEYS[2], stated[i])
    elseif stated[i] ~= ARGV[5] then
      under_way = under_way + tonumber(count)
    end
  end
  if under_way > tonumber(ARGV[7]) then
    refused = 3
  else
    keep(whole)
    if own then
      keep(own)
    end
    redis.call('HSET', KEYS[2], ARGV[5], ARGV[6] .. ':' .. string.format('%.0f', now_ms + tonumber(ARGV[8])))
    redis.call('PEXPIRE', KEYS[2], ARGV[8])
  end
end
own = own or {remaining = 0, reset = 0, retry = 0}
return string.format(
  '%.0f %.0f %.0f %.0f %.0f %.0f %.0f',
  refused, whole.remaining, whole.reset, whole.retry, own.remaining, own.reset, own.retry
)
""")

# A process states how many requests of an organization it has under way.
# KEYS: requests under way; ARGV: process, how many, life_ms
STATE = Script("""
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  local clock = redis.call('TIME')
  local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. string.format('%.0f', now_ms + tonumber(ARGV[3])))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
""")

# A process says that it lives; answers how many do.
# KEYS: the gateways; ARGV: process, life_ms (0: it ends)
ALIVE = Script("""
local clock = redis.call('TIME')
local now_ms = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now_ms + tonumber(ARGV[2]), ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now_ms))
return redis.call('ZCARD', KEYS[1])
""")

ALL = (TAKE, STATE, ALIVE)
