-- What quickstart's runs add up to: prints the table, and ends with status 1
-- if anything in it is not as it should be.
--
--   farlua --plain quickstart_report.lua DIR
--
-- DIR holds far.out, plain.out (the Lua program's lines), far.json, plain.json
-- (farlua --stats), sequential.json (farseq --json), redis-far.json,
-- redis-plain.json (fill.py) and redis-run.json (farswap-run --stats).

local directory = arg[1]
local MIB = 1024 * 1024

local function read(name)
  local file = assert(io.open(directory .. "/" .. name, "rb"))
  local text = file:read("a")
  file:close()
  return text
end

-- The flat objects that farlua and farseq write: numbers, and arrays of them.
local function read_json(name)
  local object = {}
  local text = read(name)
  for key, value in text:gmatch('"([%w_]+)":%s*(-?[%d.eE+-]+)') do
    object[key] = tonumber(value)
  end
  for key, list in text:gmatch('"([%w_]+)":%s*%[([^%]]*)%]') do
    object[key] = {}
    for n in list:gmatch("%d+") do table.insert(object[key], tonumber(n)) end
  end
  return object
end

-- Lines of the far run that differ from the plain run's.
local function different_lines()
  local plain, far, wrong = {}, {}, 0
  for l in read("plain.out"):gmatch("[^\n]+") do table.insert(plain, l) end
  for l in read("far.out"):gmatch("[^\n]+") do table.insert(far, l) end
  for i = 1, math.max(#plain, #far) do
    if plain[i] ~= far[i] then wrong = wrong + 1 end
  end
  -- A run that printed nothing compared nothing.
  return #plain == 0 and 1 or wrong
end

local function mib(bytes) return string.format("%d MiB", bytes // MIB) end

-- "4 KiB: 12, 64 KiB: 3" for the orders that there were.
local function by_order(counts)
  local parts = {}
  for i, n in ipairs(counts) do
    local kib = 4 << (i - 1)
    local size = kib < 1024 and kib .. " KiB" or kib // 1024 .. " MiB"
    if n > 0 then table.insert(parts, size .. ": " .. n) end
  end
  return #parts > 0 and table.concat(parts, ", ") or "none"
end

local function percent(share) return string.format("%.1f %%", 100 * share) end

local function seconds(s, against)
  return string.format("%.1f s, all local %.1f s: %.1fx", s, against,
    s / against)
end

local function rate(bytes, s)
  return string.format("%d MiB/s", bytes // MIB / s // 1)
end

local function write_and_read(bytes, o)
  return string.format("write %s, read %s", rate(bytes, o.write_seconds),
    rate(bytes, o.read_seconds))
end

local PMD = 2 * MIB
local function huge_share(stats)
  local bytes = stats.swpin_bytes
  return bytes > 0 and stats.swpin[10] * PMD / bytes or 0
end

local far, plain = read_json("far.json"), read_json("plain.json")
local pass = read_json("sequential.json")
local redis = read_json("redis-far.json")
local redis_plain = read_json("redis-plain.json")
local run = read_json("redis-run.json")
local redis_bytes = redis.values * redis.value_bytes
local wrong_values = redis.wrong_values + redis_plain.wrong_values
local wrong_lines = different_lines()
local text = read("far.out"):match("text: ([^\n]*)") or "nothing"

local function against(figure)
  return string.format("%d/s, all local %d/s", redis[figure] // 1,
    redis_plain[figure] // 1)
end

local rows = {
  {"", "Lua: index over text", "sequential pass", "redis-server, unmodified"},
  {"data set", mib(far.heap_peak_bytes) .. " of heap", mib(pass.region_bytes),
    mib(redis_bytes) .. " in " .. redis.values .. " values"},
  {"local limit", mib(far.local_limit_bytes), mib(pass.local_limit_bytes),
    mib(run.local_limit_bytes)},
  {"peak resident", mib(far.resident_peak_bytes),
    mib(pass.resident_peak_bytes), mib(run.resident_peak_bytes)},
  {"bytes remote, peak", mib(far.remote_peak_bytes),
    mib(pass.remote_peak_bytes), mib(run.remote_peak_bytes)},
  {"time", seconds(far.elapsed_seconds, plain.elapsed_seconds),
    write_and_read(pass.region_bytes, pass),
    write_and_read(redis_bytes, redis)},
  {"the same, all local", "", "", write_and_read(redis_bytes, redis_plain)},
  {"redis-benchmark GET", "", "", against("gets_per_second")},
  {"redis-benchmark SET", "", "", against("sets_per_second")},
  {"faults", far.faults, pass.faults, run.faults},
  {"folios in", by_order(far.swpin), by_order(pass.swpin),
    by_order(run.swpin)},
  {"in as 2 MiB folios", percent(huge_share(far)), percent(huge_share(pass)),
    percent(huge_share(run))},
  {"wrong results", wrong_lines .. " lines", pass.wrong_bytes .. " bytes",
    wrong_values .. " values"},
}

-- As wide as they must be.
local function print_table()
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, #tostring(cell))
    end
  end
  for n, row in ipairs(rows) do
    local cells, rule = {}, {}
    for i, cell in ipairs(row) do
      local text = tostring(cell)
      cells[i] = text .. (" "):rep(widths[i] - #text)
      rule[i] = ("-"):rep(widths[i])
    end
    print((table.concat(cells, " | "):gsub("%s+$", "")))
    if n == 1 then print(table.concat(rule, "-+-")) end
  end
end
print()
print_table()
print("\ntext: " .. text)

local failed = false
local function check(good, complaint)
  if good then return end
  failed = true
  io.stderr:write("quickstart: WRONG: ", complaint, "\n")
end

-- The limit is hard; staging and the pages that are on their way come on top.
local function within_limit(stats)
  return stats.resident_peak_bytes <=
    stats.local_limit_bytes * 1.05 + 32 * MIB
end

check(wrong_lines == 0, "far and plain memory gave different results")
check(pass.wrong_bytes == 0, "the sequential pass read wrong bytes")
check(far.heap_peak_bytes >= 2 * far.local_limit_bytes,
  "the heap is less than twice its local memory")
check(far.remote_peak_bytes * 2 >= far.heap_peak_bytes,
  "less than half of the heap was remote")
check(wrong_values == 0, "Redis gave values that are not what was written")
check(redis_bytes >= 2 * run.local_limit_bytes,
  "Redis's values are less than twice its local memory")
check(run.remote_peak_bytes * 2 >= redis_bytes,
  "less than half of Redis's values was remote")
check(within_limit(far) and within_limit(pass) and within_limit(run),
  "the local limit was passed")
check(huge_share(pass) >= 0.9,
  "less than 90 % of the pass came in as 2 MiB folios")
check(far.pages_lost + pass.pages_lost + run.pages_lost == 0,
  "pages were lost")
os.exit(not failed)
