-- The mix of POST /marketplace: of every 20 requests one grants a fresh entitlement and 19 verify the tenant's first
-- one. Tenants come from a file of numbers, one a line, in that order, from line START (counted from 0) on, over and
-- over. Each request has its own idempotency key. A tenant that has GRANTS_MAX fresh entitlements of this run is
-- verified instead.
--
-- wrk … -s order.lua URL -- TOKEN_FILE TENANTS_FILE START RUN

local GRANT_EVERY, GRANTS_MAX = 20, 16
local tenants, count, sent, granted = {}, 0, 0, {}
local head, run, start

function init(args)
   local token = io.open(args[1]):read("*l")
   for line in io.lines(args[2]) do
      count = count + 1
      tenants[count] = "tenant-" .. line
   end
   start, run = tonumber(args[3]), args[4]
   head = "POST /marketplace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      .. "Authorization: Bearer " .. token .. "\r\nIdempotency-Key: " .. run .. "-"
end

local function post(body)
   return head .. sent .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function request()
   local tenant = tenants[(start + sent) % count + 1]
   sent = sent + 1
   local grants = granted[tenant] or 0
   if sent % GRANT_EVERY == 0 and grants < GRANTS_MAX then
      granted[tenant] = grants + 1
      return post('{"tenant_id":"' .. tenant .. '","entitlement_id":"ent_' .. run .. "_" .. sent
         .. '","action":"grant","plan":"professional"}')
   end
   return post('{"tenant_id":"' .. tenant .. '","entitlement_id":"ent_1","action":"verify"}')
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\n{"requests":%d,"microseconds":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}\n',
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
