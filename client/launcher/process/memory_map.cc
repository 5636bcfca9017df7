#include "client/launcher/process/memory_map.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/launcher/process/private_bytes.h"
#include "client/launcher/process/threads.h"

namespace farswap::launcher {
namespace {

constexpr std::string_view kHeap = "[heap]";
constexpr std::string_view kNamed = "[anon:";  // By prctl(PR_SET_VMA).

pager::OwnFd OpenProc(pid_t pid, const char* name) {
  const std::string path = absl::StrCat("/proc/", pid, "/", name);
  return pager::OwnFd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

// The next word of the line, which is left without it.
std::string_view Word(std::string_view* line) {
  const size_t first = line->find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  line->remove_prefix(first);
  const size_t end = std::min(line->find(' '), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(end);
  return word;
}

uint64_t Hex(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

// A line: "start-end perms offset device inode   name".
bool ReadLine(std::string_view line, MapRange* range) {
  const std::string_view addresses = Word(&line);
  const std::string_view perms = Word(&line);
  (void)Word(&line);
  (void)Word(&line);
  const std::string_view inode = Word(&line);
  const std::string_view name = Word(&line);
  const size_t dash = addresses.find('-');
  if (dash == std::string_view::npos || perms.size() < 4) return false;
  *range = {Hex(addresses.substr(0, dash)), Hex(addresses.substr(dash + 1)),
            perms.substr(0, 3) == "---"};
  if (perms[3] != 'p' || inode != "0") return false;
  return name.empty() || name == kHeap ||
         name.substr(0, kNamed.size()) == kNamed;
}

bool Overlap(const MapRange& a, const MapRange& b) {
  return a.start < b.end && b.start < a.end;
}

// A thread's stack is mapped without access, and made accessible but for its
// first pages. `before`: the range that is next to it below.
bool MayBeStack(const MapRange& before, const MapRange& range) {
  if (range.end - range.start > MemoryMap::kMostStackBytes) return false;
  return range.guard || (before.guard && before.end == range.start);
}

// Those that touch, as one, if they are large enough together: to the program
// they may be one mapping, of which it has locked or protected a part for a
// while, and if a part were not far, it could not move it (mremap).
std::vector<MapRange> Joined(const std::vector<MapRange>& ranges) {
  std::vector<MapRange> joined;
  for (const MapRange& range : ranges) {
    if (!joined.empty() && joined.back().end == range.start) {
      joined.back().end = range.end;
    } else {
      joined.push_back(range);
    }
  }
  std::erase_if(joined, [](const MapRange& range) {
    return range.end - range.start < MemoryMap::kLeastBytes;
  });
  return joined;
}

}  // namespace

std::vector<MapRange> AnonymousRanges(std::string_view maps) {
  std::vector<MapRange> ranges;
  while (!maps.empty()) {
    const size_t end = std::min(maps.find('\n'), maps.size());
    MapRange range;
    if (ReadLine(maps.substr(0, end), &range)) ranges.push_back(range);
    maps.remove_prefix(std::min(end + 1, maps.size()));
  }
  return ranges;
}

MemoryMap::MemoryMap(pid_t thread, MapRange own)
    : thread_(thread),
      own_(own),
      maps_(OpenProc(thread, "maps")),
      statm_(OpenProc(thread, "statm")) {}

uint64_t MemoryMap::ResidentBytes() const { return PrivateBytes(statm_.get()); }

bool MemoryMap::ReadAll(std::string* text) {
  text->clear();
  text->resize(64 << 10);
  size_t used = 0;
  for (;;) {
    const ssize_t n = pread(maps_.get(), text->data() + used,
                            text->size() - used, static_cast<off_t>(used));
    if (n < 0 || (n == 0 && used == 0)) return false;
    if (n == 0) break;
    used += static_cast<size_t>(n);
    if (text->size() - used < 8192) text->resize(2 * text->size());
  }
  text->resize(used);
  return true;
}

void MemoryMap::FindThreads() {
  for (const pid_t tid : ThreadsOf(thread_)) {
    void* head = nullptr;
    size_t bytes = 0;
    if (syscall(SYS_get_robust_list, tid, &head, &bytes) != 0 ||
        head == nullptr) {
      continue;
    }
    const auto at = reinterpret_cast<uint64_t>(head);
    if (std::find(blocks_.begin(), blocks_.end(), at) == blocks_.end()) {
      blocks_.push_back(at);
    }
  }
}

void MemoryMap::SpareNew(const std::vector<MapRange>& stacks) {
  const Time now = std::chrono::steady_clock::now();
  std::vector<std::pair<uint64_t, Time>> seen;
  for (const MapRange& range : stacks) {
    const auto it = std::lower_bound(stacks_.begin(), stacks_.end(),
                                     std::pair(range.end, Time::min()));
    const bool known = it != stacks_.end() && it->first == range.end;
    seen.emplace_back(range.end, known ? it->second : now);
    if (now - seen.back().second < kNewFor) spared_.push_back(range);
  }
  stacks_ = std::move(seen);
}

bool MemoryMap::Refresh() {
  // The map first: a thread that is found is of a mapping that was there, or
  // of one that is found the next time.
  if (!ReadAll(&text_)) return false;
  FindThreads();
  far_.clear();
  threads_.clear();
  std::vector<MapRange> ranges;
  std::vector<MapRange> stacks;
  std::vector<uint64_t> kept;
  MapRange before;
  for (const MapRange& range : AnonymousRanges(text_)) {
    if (Overlap(range, own_)) continue;
    bool thread = false;
    for (const uint64_t block : blocks_) {
      if (!range.Holds(block)) continue;
      thread = true;
      kept.push_back(block);
    }
    (thread ? threads_ : ranges).push_back(range);
    if (!thread && MayBeStack(before, range)) stacks.push_back(range);
    before = range;
  }
  far_ = Joined(ranges);
  spared_ = threads_;
  SpareNew(stacks);
  blocks_ = std::move(kept);
  return true;
}

}  // namespace farswap::launcher
