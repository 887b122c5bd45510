-- wrk's script: args[1] requests are written at once (pipelining), with a browser's headers if args[2] says so, and the
-- result is printed as one line of JSON behind `RESULT `. The request stays static: wrk calls no Lua while it measures.

-- What Chromium sends along when a page asks for something.
local browser = {
  ["Accept"] = "*/*",
  ["Accept-Encoding"] = "gzip, deflate, br, zstd",
  ["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8",
  ["Cache-Control"] = "no-cache",
  ["Connection"] = "keep-alive",
  ["Cookie"] = "session=0f8fad5b-d9cb-469f-a165-70867728950e; theme=dark",
  ["Pragma"] = "no-cache",
  ["Referer"] = "http://127.0.0.1/index.html",
  ["Sec-Fetch-Dest"] = "empty",
  ["Sec-Fetch-Mode"] = "cors",
  ["Sec-Fetch-Site"] = "same-origin",
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
  ["sec-ch-ua"] = '"Chromium";v="142", "Not_A Brand";v="99"',
  ["sec-ch-ua-mobile"] = "?0",
  ["sec-ch-ua-platform"] = '"Linux"',
}

function init(args)
  local depth = tonumber(args[1] or "1")
  local one = wrk.format(nil, nil, args[2] == "browser" and browser or nil)
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
