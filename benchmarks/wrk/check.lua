-- POST /v1/tenants/{tenant}/check: may this entitlement use this feature, and is this quota available? Tenants come
-- from a file of numbers, one a line, in that order, from line START (counted from 0) on, over and over.
--
-- wrk … -s check.lua URL -- TOKEN_FILE TENANTS_FILE START

local BODY = '{"entitlement_id":"ent_1","feature":"health","quota":"api_calls"}'
local requests, count, sent, start = {}, 0, 0, 0

function init(args)
   local token = io.open(args[1]):read("*l")
   local rest = "/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      .. "Authorization: Bearer " .. token .. "\r\nContent-Length: " .. #BODY .. "\r\n\r\n" .. BODY
   start = tonumber(args[3])
   for line in io.lines(args[2]) do
      count = count + 1
      requests[count] = "POST /v1/tenants/tenant-" .. line .. rest
   end
end

function request()
   sent = sent + 1
   return requests[(start + sent - 1) % count + 1]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"microseconds":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}\n',
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
