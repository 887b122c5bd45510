-- wrk's script: args[1] requests are written at once (pipelining), and the result is printed as one line of JSON behind
-- `RESULT `. The request stays static, so wrk calls no Lua while it measures.

function init(args)
  local depth = tonumber(args[1] or "1")
  local one = wrk.format()
  wrk.format = function() return string.rep(one, depth) end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"durationUs":%d,"p50Us":%.0f,"p99Us":%.0f,"errors":' ..
    '{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
