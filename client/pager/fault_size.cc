#include "client/pager/fault_size.h"

#include <algorithm>
#include <cstdlib>

#include "client/core/readahead.h"
#include "common/units.h"

namespace farswap::pager {
namespace {

// From the block of one part to that of another.
int64_t Blocks(uint64_t from, uint64_t to) {
  return static_cast<int64_t>(to / kPartsPerPmd) -
         static_cast<int64_t>(from / kPartsPerPmd);
}

}  // namespace

// The part next to where it was, or anywhere in the next block or the one
// before: strides up to 2 MiB count as streams.
bool FaultSize::Continues(const Stream& stream, uint64_t part) {
  const auto distance = static_cast<int64_t>(part - stream.part);
  if (distance == 1 || distance == -1) return true;
  const int64_t blocks = Blocks(stream.part, part);
  if (blocks == 1 || blocks == -1) return true;
  if (blocks == 0 && distance * stream.along > 0) {
    // What lies in between came with the part before.
    return distance * stream.along <= int64_t{kPartsAlong};
  }
  const int64_t on = blocks * stream.direction;
  return stream.steps >= kSteady && on > 0 && on <= kAheadBlocks;
}

bool FaultSize::LiesAhead(const Stream& stream, uint64_t part) {
  const auto distance = static_cast<int64_t>(part - stream.part);
  const int64_t on = Blocks(stream.part, part) * stream.direction;
  return (distance * stream.along > 0 &&
          distance * stream.along < int64_t{stream.window}) ||
         (on > 0 && on < kAheadBlocks);
}

void FaultSize::CameAhead(uint64_t part) {
  MutexLock lock(&mu_);
  const auto stream =
      std::find_if(streams_.begin(), streams_.end(),
                   [&](const Stream& s) { return LiesAhead(s, part); });
  if (stream != streams_.end()) ++stream->ahead;
}

uint32_t FaultSize::Advance(Stream* stream, uint64_t part) {
  const auto distance = static_cast<int64_t>(part - stream->part);
  const auto away = static_cast<uint64_t>(std::abs(distance));
  const int64_t blocks = Blocks(stream->part, part);
  // On through the window, or past blocks.
  const bool on = distance * stream->along > 0 && away <= stream->window;
  const auto steps = static_cast<uint32_t>(
      on ? away : static_cast<uint64_t>(std::abs(blocks)));
  const uint32_t hits = steps == 0 ? 0 : std::min(stream->ahead, steps - 1);
  stream->ahead -= std::min(stream->ahead, steps);
  stream->window = core::ReadaheadWindow(on ? hits : 0, away == 1,
                                         stream->window, kPartsAlong);
  if (blocks != 0) {
    const int direction = blocks > 0 ? 1 : -1;
    stream->steps = direction == stream->direction ? stream->steps + 1 : 1;
    stream->direction = direction;
  }
  stream->along = distance > 0 ? 1 : -1;
  stream->part = part;
  return hits;
}

FaultSize::Advice FaultSize::Advise(uint64_t part) {
  MutexLock lock(&mu_);
  ++clock_;
  // Tried again, or another thread at the same part: says nothing.
  const bool same =
      std::any_of(streams_.begin(), streams_.end(),
                  [&](const Stream& s) { return s.part == part; });
  if (same) return {.whole = credit_ >= kWhole};
  auto stream =
      std::find_if(streams_.begin(), streams_.end(),
                   [&](const Stream& s) { return Continues(s, part); });
  const bool known = stream != streams_.end();
  if (!known) {
    stream = std::min_element(
        streams_.begin(), streams_.end(),
        [](const Stream& a, const Stream& b) { return a.used < b.used; });
  }
  uint32_t hits = 0;
  if (known) {
    hits = Advance(&*stream, part);
  } else {
    *stream = {.part = part};
  }
  stream->used = clock_;
  credit_ = std::clamp(credit_ + (known ? kEarn : -kSpend), 0, kMaxCredit);
  const bool whole = credit_ >= kWhole;
  const bool steady = stream->steps >= kSteady;
  return {whole, whole && steady ? stream->direction : 0,
          whole ? stream->along : 0, std::max(stream->window, 1u), hits};
}

}  // namespace farswap::pager
