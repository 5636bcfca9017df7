#include "client/pager/leftovers.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "common/units.h"

namespace farswap::pager {
namespace {

char* DownToBlock(char* at) {
  return at - reinterpret_cast<uintptr_t>(at) % kPmdBytes;
}

}  // namespace

void Leftovers::Add(char* start, char* end, SteadyTime due) {
  if (recent_.size() == kMaxRecent) {
    AddBlocksOf(recent_.front().range);
    blocks_due_ = recent_.front().due;
    recent_.pop_front();
  }
  recent_.push_back({{start, end}, due});
}

void Leftovers::AddBlocksOf(const AddressRange& range) {
  char* start = DownToBlock(range.first);
  char* end = DownToBlock(range.second + kPmdBytes - 1);
  auto at = blocks_.upper_bound(end);
  // What it touches becomes one with it.
  while (at != blocks_.begin() && std::prev(at)->second >= start) {
    --at;
    start = std::min(start, at->first);
    end = std::max(end, at->second);
    at = blocks_.erase(at);
  }
  blocks_.emplace(start, end);
}

bool Leftovers::PopDue(SteadyTime now, AddressRange* range) {
  if (!blocks_.empty() && blocks_due_ <= now) {
    *range = *blocks_.begin();
    blocks_.erase(blocks_.begin());
    return true;
  }
  if (recent_.empty() || recent_.front().due > now) return false;
  *range = recent_.front().range;
  recent_.pop_front();
  return true;
}

std::vector<AddressRange> Leftovers::In(const char* start,
                                        const char* end) const {
  std::vector<AddressRange> found;
  for (const Recent& recent : recent_) {
    const AddressRange& range = recent.range;
    if (range.first < end && start < range.second) found.push_back(range);
  }
  for (const auto& [from, to] : blocks_) {
    if (from < end && start < to) found.emplace_back(from, to);
  }
  return found;
}

}  // namespace farswap::pager
