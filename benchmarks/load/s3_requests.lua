-- Requests of one load run for wrk: METHOD URLS BODY same|unique (see s3_driver.py).
-- `unique` stamps a counter into every 64 KiB of the body, so that no chunk is stored twice.

local STAMP_EVERY = 65536
local method, urls, body, pieces = nil, {}, nil, {}
local unique, at, stamp = false, 0, 0

function init(args)
  method = args[1]
  for line in io.lines(args[2]) do urls[#urls + 1] = line end
  if method == "PUT" then
    local file = io.open(args[3], "rb")
    body = file:read("*a")
    file:close()
    unique = args[4] == "unique"
    -- a run starts at its own number, so that two runs do not repeat each other's bodies
    stamp = os.time() * 1000000
    for start = 1, #body, STAMP_EVERY do
      pieces[#pieces + 1] = ""
      pieces[#pieces + 1] = body:sub(start + 16, start + STAMP_EVERY - 1)
    end
  end
end

local function next_body()
  if not unique then return body end
  stamp = stamp + 1
  local mark = string.format("%016d", stamp)
  for place = 1, #pieces, 2 do pieces[place] = mark end
  return table.concat(pieces)
end

function request()
  at = at % #urls + 1
  if method == "PUT" then return wrk.format("PUT", urls[at], nil, next_body()) end
  return wrk.format(method, urls[at])
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %.3f %.3f %.3f %.3f\n",
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(90) / 1000,
    latency:percentile(99) / 1000, latency.max / 1000))
end
