-- index.lua: a full-text index over the text that a machine has, held in
-- tables and strings, queried and updated.
--
--   farlua index.lua [--heap-mib=N] [--queries=N] [--max-bytes=N] [DIR...]
--
-- Reads files under the DIRs (default: /usr/share/doc /usr/include) until the
-- heap will be about N MiB (default 256), and begins again, as further
-- documents, where a machine has less text. Then answers queries, replacing
-- documents in between. Everything on standard output depends on the text and
-- the options only: two runs, wherever their memory is, print the same lines.
-- The last line is a digest of every answer. Progress goes to standard error.

-- Bytes of heap per byte of text, measured: the text itself, the words, the
-- lists of documents.
local HEAP_PER_TEXT = 2.9
local MAX_FILE = 256 * 1024
local SEGMENT_BYTES = 4 * 1024 * 1024
local PHRASE_CANDIDATES = 20
local MIB = 1024 * 1024

-- Most of what lives, lives to the end. An incremental collector would walk
-- the whole heap, most of it far, each time it has doubled; the generational
-- one looks at what is young, which is local, and at old tables that were
-- written to; it is told to walk the whole heap only when that has grown
-- tenfold.
collectgarbage("generational", 20, 1000)

local function usage(message)
  io.stderr:write("index.lua: ", message, "\nusage: index.lua ",
    "[--heap-mib=N] [--queries=N] [--max-bytes=N] [DIR...]\n")
  os.exit(2)
end

local function parse_arguments(arguments)
  local options = {["heap-mib"] = 256, queries = 4000, dirs = {}}
  for _, a in ipairs(arguments) do
    local name, value = a:match("^%-%-([%a-]+)=(%d+)$")
    if name == "heap-mib" or name == "queries" or name == "max-bytes" then
      options[name] = tonumber(value)
      if options[name] == 0 then usage(a .. ": must be at least 1") end
    elseif a:sub(1, 1) == "-" then
      usage("unknown option " .. a)
    elseif a:find("'", 1, true) then
      usage("a directory with a quote in its name: " .. a)
    else
      table.insert(options.dirs, a)
    end
  end
  if #options.dirs == 0 then
    options.dirs = {"/usr/share/doc", "/usr/include"}
  end
  local by_heap = math.floor(options["heap-mib"] * MIB / HEAP_PER_TEXT)
  options.max_bytes = math.min(options["max-bytes"] or by_heap, by_heap)
  return options
end

local function progress(...)
  io.stderr:write("index.lua: ", string.format(...), "\n")
end

local function wrong(...)
  progress("WRONG: " .. string.format(...))
  os.exit(1)
end

-- Calls of the returned function print at most one line every two seconds.
local function ticker()
  local next_at = os.time() + 2
  return function(...)
    if os.time() >= next_at then
      progress(...)
      next_at = os.time() + 2
    end
  end
end

-- Numbers that are the same in every run.
local random_state = 20240517
local function random(n)
  random_state = (random_state * 6364136223846793005 + 1442695040888963407)
  return (random_state >> 33) % n + 1
end

------------------------------------------------------------------------------
-- The index. A document: {path, text}, by number; a number is never used
-- again. A segment: {first, bytes, postings}, of the documents from number
-- `first` up to the next segment's; postings[word] is the numbers of the
-- segment's documents with the word, ascending.
--
-- Documents are added to the last segment, which is small enough to be local.
-- One list a word for all documents would be read faster, but each document
-- that is added would touch lists all over the heap, and in far memory a touch
-- may be a page fault. Segments that are full change only by removals.

local documents, segments = {}, {}
local alive = {}          -- Numbers of the documents there are.
local next_id = 1
local posting_count, list_count = 0, 0

local function words_of(text) return text:gmatch("%f[%w_][%a_][%w_]+") end

local function set_of_words(text)
  local set = {}
  for word in words_of(text) do set[word] = true end
  return set
end

local function open_segment(bytes)
  local last = segments[#segments]
  if not last or last.bytes + bytes > SEGMENT_BYTES then
    last = {first = next_id, bytes = 0, postings = {}}
    segments[#segments + 1] = last
  end
  last.bytes = last.bytes + bytes
  return last
end

local function add_document(path, text)
  local postings = open_segment(#text).postings
  local id = next_id
  next_id = id + 1
  documents[id] = {path = path, text = text}
  alive[#alive + 1] = id
  for word in pairs(set_of_words(text)) do
    local list = postings[word]
    if list then
      list[#list + 1] = id
    else
      postings[word] = {id}
      list_count = list_count + 1
    end
    posting_count = posting_count + 1
  end
  return id
end

-- Where `id` is in the ascending list, or nil.
local function find_id(list, id)
  local low, high = 1, #list
  while low <= high do
    local middle = (low + high) // 2
    local there = list[middle]
    if there == id then return middle end
    if there < id then low = middle + 1 else high = middle - 1 end
  end
  return nil
end

local function segment_of(id)
  local n = #segments
  while segments[n].first > id do n = n - 1 end
  return segments[n]
end

local function remove_document(nth)
  local id = alive[nth]
  alive[nth] = alive[#alive]
  alive[#alive] = nil
  local document, postings = documents[id], segment_of(id).postings
  for word in pairs(set_of_words(document.text)) do
    local list = postings[word]
    table.remove(list, assert(find_id(list, id), "the index lost a document"))
    posting_count = posting_count - 1
    if #list == 0 then
      postings[word] = nil
      list_count = list_count - 1
    end
  end
  documents[id] = nil
  return document
end

-- Appends the numbers that are in all of the lists.
local function intersect(lists, found)
  table.sort(lists, function(a, b) return #a < #b end)
  for _, id in ipairs(lists[1]) do
    local all = true
    for i = 2, #lists do
      if not find_id(lists[i], id) then
        all = false
        break
      end
    end
    if all then found[#found + 1] = id end
  end
end

-- Documents that have all of the words, ascending.
local function query_and(words)
  local found = {}
  for _, segment in ipairs(segments) do
    local lists = {}
    for i, word in ipairs(words) do lists[i] = segment.postings[word] end
    if #lists == #words then intersect(lists, found) end
  end
  return found
end

-- Of the newest documents with the phrase's words, those with the phrase. Reads
-- their text, as whoever shows the place that was found does.
local function query_phrase(phrase, words)
  local candidates, found = query_and(words), {}
  for i = math.max(1, #candidates - PHRASE_CANDIDATES + 1), #candidates do
    local id = candidates[i]
    if documents[id].text:find(phrase, 1, true) then found[#found + 1] = id end
  end
  return found, candidates
end

------------------------------------------------------------------------------
-- Reading.

local function file_list(dirs)
  local command = "find"
  for _, dir in ipairs(dirs) do command = command .. " '" .. dir .. "'" end
  -- Sorted by bytes: `find` gives the order of the directory.
  command = command .. " -type f 2>/dev/null | LC_ALL=C sort"
  local pipe = assert(io.popen(command))
  local paths = {}
  for path in pipe:lines() do paths[#paths + 1] = path end
  pipe:close()
  return paths
end

-- The file's text in lower case, or nil if it is none.
local function read_text(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read(MAX_FILE)
  file:close()
  if not text or #text < 64 or text:find("\0", 1, true) then return nil end
  -- Compressed and other binary data without a zero.
  local _, odd = text:sub(1, 512):gsub("[\1-\8\14-\31\128-\255]", "")
  if odd > 50 then return nil end
  return text:lower()
end

local function read_all(dirs, max_bytes)
  local paths, tick = file_list(dirs), ticker()
  local bytes, round = 0, 0
  repeat
    round = round + 1
    local before = bytes
    for _, path in ipairs(paths) do
      if bytes >= max_bytes then break end
      local text = read_text(path)
      if text then
        bytes = bytes + #text
        add_document(round == 1 and path or path .. "#" .. round, text)
        tick("indexed %d of %d MiB of text, heap %d MiB", bytes // MIB,
          max_bytes // MIB, collectgarbage("count") // 1024)
      end
    end
    if bytes == before then usage("no text in " .. table.concat(dirs, " ")) end
  until bytes >= max_bytes
  return bytes
end

------------------------------------------------------------------------------
-- The work.

-- Two words that follow each other, as the text has them, from a random place
-- of a random document; its number. Nil where the text ends.
local function sample()
  local id = alive[random(#alive)]
  local phrase = documents[id].text:match(
    "%f[%w_][%a_][%w_]+[^%w_]+[%a_][%w_]+%f[^%w_]", random(512))
  return phrase, id
end

local digest = 1469598103934665603
local function add_to_digest(value)
  digest = (digest ~ value) * 1099511628211
end

-- One query for the words of a sample, one for it as a phrase.
local function ask()
  local phrase, from = sample()
  if not phrase then return 0 end
  local words = {}
  for word in words_of(phrase) do words[#words + 1] = word end
  local found, candidates = query_phrase(phrase, words)
  if not find_id(candidates, from) then
    wrong("document %d is not found by: %s", from, phrase)
  end
  for _, id in ipairs(candidates) do add_to_digest(id) end
  for _, id in ipairs(found) do add_to_digest(id) end
  add_to_digest(#found)
  return #candidates
end

-- Replaces a document by itself without its first half, the next time by the
-- whole again.
local function update()
  local old = remove_document(random(#alive))
  local text = old.text
  if old.whole then
    text = old.whole
  else
    text = text:sub(#text // 2)
  end
  local id = add_document(old.path, text)
  if not old.whole then documents[id].whole = old.text end
  add_to_digest(id)
end

-- The index against the text: every document, read from end to end.
local function check_by_scan()
  local phrase
  repeat phrase = sample() until phrase
  local words = {}
  for word in words_of(phrase) do words[#words + 1] = word end
  local found, expected = query_and(words), {}
  table.sort(alive)
  for _, id in ipairs(alive) do
    local text, all = documents[id].text, true
    for _, word in ipairs(words) do
      if not text:find("%f[%w_]" .. word .. "%f[^%w_]") then
        all = false
        break
      end
    end
    if all then expected[#expected + 1] = id end
  end
  if table.concat(found, " ") ~= table.concat(expected, " ") then
    wrong("index and text differ on: %s", phrase)
  end
  print(string.format("scan: %d documents, as the index says", #found))
end

local function main()
  -- Whoever reads along sees each line when it is printed.
  io.stdout:setvbuf("line")
  local options = parse_arguments(arg)
  local bytes = read_all(options.dirs, options.max_bytes)
  print(string.format("text: %d bytes, %d documents, %d lists, %d postings",
    bytes, #alive, list_count, posting_count))
  local tick, found = ticker(), 0
  for i = 1, options.queries do
    found = found + ask()
    if i % 20 == 0 then update() end
    if i % math.max(1, options.queries // 20) == 0 then
      print(string.format("queries: %d, found %d, digest %016x", i, found,
        digest))
    end
    tick("%d of %d queries", i, options.queries)
  end
  check_by_scan()
  print(string.format("end: %d documents, %d lists, %d postings", #alive,
    list_count, posting_count))
  print(string.format("digest %016x", digest))
  progress("heap %d MiB", collectgarbage("count") // 1024)
end

main()
-- Without closing the state, which os.exit(true, true) would: there is nothing
-- to finalize, and it would fetch the whole heap to free it object by object.
os.exit(true)
