-- Requests of one DynamoDB load run for wrk: REQUESTS AMZ_DATE RATE (see dynamodb_driver.py).
-- A line of REQUESTS is: Authorization, tab, X-Amz-Target, tab, body. RATE 0: as fast as it goes;
-- otherwise so many requests a second, evenly, over all connections of the one thread.

local ffi = require("ffi")
ffi.cdef[[
typedef struct { long tv_sec; long tv_nsec; } trilith_timespec;
int clock_gettime(int clock, trilith_timespec* now);
]]

local requests, at, amz_date, interval_ms, due = {}, 0, nil, 0, 0
local now = ffi.new("trilith_timespec")

local function monotonic_ms()
  ffi.C.clock_gettime(1, now)
  return tonumber(now.tv_sec) * 1000 + tonumber(now.tv_nsec) / 1000000
end

function init(args)
  for line in io.lines(args[1]) do
    local authorization, target, body = line:match("^(.-)\t(.-)\t(.*)$")
    requests[#requests + 1] = { authorization, target, body }
  end
  amz_date = args[2]
  local rate = tonumber(args[3])
  if rate > 0 then
    interval_ms = 1000 / rate
    due = monotonic_ms()
    delay = function()
      local moment = monotonic_ms()
      -- Late by a lot: what was missed is not made up for in a burst.
      due = math.max(due + interval_ms, moment - 20)
      -- wrk waits whole milliseconds: the rest is left to chance, right on average.
      return math.max(0, math.floor(due - moment + math.random()))
    end
  end
end

function request()
  at = at % #requests + 1
  local one = requests[at]
  return wrk.format("POST", "/", {
    ["Content-Type"] = "application/x-amz-json-1.0", ["X-Amz-Date"] = amz_date,
    ["X-Amz-Target"] = one[2], ["Authorization"] = one[1],
  }, one[3])
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %.3f %.3f %.3f %.3f\n",
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(90) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000))
end
