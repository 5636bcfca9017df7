#include "client/pager/fault_size.h"

#include <algorithm>

#include "common/units.h"

namespace farswap::pager {
namespace {

// On a stream: the part next to where it was, or anywhere in the next block
// or the one before: strides up to 2 MiB count as streams.
bool Continues(uint64_t stream, uint64_t part) {
  const auto distance = static_cast<int64_t>(part - stream);
  if (distance == 1 || distance == -1) return true;
  const auto blocks = static_cast<int64_t>(part / kPartsPerPmd) -
                      static_cast<int64_t>(stream / kPartsPerPmd);
  return blocks == 1 || blocks == -1;
}

}  // namespace

bool FaultSize::WantsWholeBlock(uint64_t part) {
  MutexLock lock(&mu_);
  ++clock_;
  auto stream =
      std::find_if(streams_.begin(), streams_.end(),
                   [&](const Stream& s) { return Continues(s.part, part); });
  const bool known = stream != streams_.end();
  // Tried again, or another thread at the same part: says nothing.
  const bool same =
      std::any_of(streams_.begin(), streams_.end(),
                  [&](const Stream& s) { return s.part == part; });
  if (same) return credit_ >= kWhole;
  if (!known) {
    stream = std::min_element(
        streams_.begin(), streams_.end(),
        [](const Stream& a, const Stream& b) { return a.used < b.used; });
  }
  *stream = {part, clock_};
  credit_ = std::clamp(credit_ + (known ? kEarn : -kSpend), 0, kMaxCredit);
  return credit_ >= kWhole;
}

}  // namespace farswap::pager
