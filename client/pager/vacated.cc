#include "client/pager/vacated.h"

#include <algorithm>
#include <iterator>

namespace farswap::pager {

void Vacated::Cut(char* at) {
  const auto after = runs_.upper_bound(at);
  if (after == runs_.begin()) return;
  const auto run = std::prev(after);
  if (run->first == at || run->second.end <= at) return;
  runs_[at] = run->second;
  run->second.end = at;
}

template <typename Change>
void Vacated::ForEach(char* start, char* end, Change change) {
  Cut(start);
  Cut(end);
  for (char* at = start; at < end;) {
    const auto next = runs_.lower_bound(at);
    const bool gap = next == runs_.end() || next->first != at;
    const int count = gap ? 0 : next->second.count;
    char* to = gap ? end : next->second.end;
    if (gap && next != runs_.end()) to = std::min(to, next->first);
    const int changed = change(at, to, count);
    if (changed == 0) {
      runs_.erase(at);
    } else {
      runs_[at] = {to, changed};
    }
    at = to;
  }
}

void Vacated::Add(char* start, char* end) {
  ForEach(start, end, [](char*, char*, int count) { return count + 1; });
}

void Vacated::AddLeft(char* start, char* end) {
  ForEach(start, end,
          [](char*, char*, int count) { return std::max(count, 1); });
}

std::vector<AddressRange> Vacated::Take(char* start, char* end) {
  std::vector<AddressRange> none;
  ForEach(start, end, [&](char* from, char* to, int count) {
    if (count == 0) none.emplace_back(from, to);
    return std::max(count - 1, 0);
  });
  return none;
}

std::vector<AddressRange> Vacated::Settled(char* start, char* end) const {
  std::vector<AddressRange> settled;
  auto run = runs_.upper_bound(start);
  if (run != runs_.begin()) --run;
  for (; run != runs_.end() && run->first < end; ++run) {
    if (run->second.end <= start) continue;
    if (start < run->first) settled.emplace_back(start, run->first);
    start = run->second.end;
  }
  if (start < end) settled.emplace_back(start, end);
  return settled;
}

}  // namespace farswap::pager
