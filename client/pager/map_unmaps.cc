// MapChanges: unmappings, and what they are not of.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include "client/pager/map_changes.h"
#include "client/pager/map_ranges.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// While the kernel does not say, as changes are unread: 20 ms at least.
constexpr int kAskTurns = 400;
constexpr std::chrono::microseconds kAskPause{50};
// More are taken for everything.
constexpr size_t kMostArrivals = 1024;

}  // namespace

void MapChanges::TakeInUnmap(const MapEvent& change) {
  Held later{change, {}};
  std::vector<AddressRange> ours;
  {
    MutexLock lock(&vacated_mu_);
    ours = vacated_.Take(change.start, change.end);
  }
  for (const auto& range : ours) {
    const auto pieces = mm_.regions.PiecesIn(range.first, range.second);
    for (const auto& piece : pieces) UnmapToldOf(piece);
    for (const auto& rest : Without(range, pieces)) {
      // Of what has yet to be moved there.
      if (IsToHeld(rest)) later.rest.push_back(rest);
    }
  }
  if (later.rest.empty()) return Applied(change);
  Hold(std::move(later));
}

void MapChanges::UnmapToldOf(const RegionTable::Piece& piece) {
  const AddressRange range{piece.start, piece.end};
  if (!HasArrived(range)) return Unmap(piece);
  std::vector<AddressRange> unmapped;
  if (FindUnmapped(range, &unmapped)) {
    for (const auto& [start, end] : unmapped) Unmap(piece.In(start, end));
    return;
  }
  LogRaw(LogLevel::kError,
         "threads unmapped something at %p, and moved (mremap) something to "
         "there, in one moment; it is not known which was first, and what is "
         "remote of it is lost",
         static_cast<void*>(piece.start));
  ForEachBlockIn(piece.page, piece.pages(), [&](uint64_t page, uint64_t pages) {
    MutexLock lock(shared_.LockOf(piece.region.get(), page));
    LoseLocked(piece.region.get(), page, pages);
  });
}

bool MapChanges::FindUnmapped(const AddressRange& range,
                              std::vector<AddressRange>* unmapped) {
  const auto bytes = static_cast<size_t>(range.second - range.first);
  for (int turn = 0; turn < kAskTurns; ++turn) {
    unmapped->clear();
    const bool known = mm_.space->FindUnmapped(range.first, bytes, unmapped);
    // It has answered of now, which is after those.
    switch (FindOnwards(range)) {
      case Onwards::kUnclear:
        return false;
      case Onwards::kLeft:
        unmapped->clear();
        return true;
      case Onwards::kReplaced:
        *unmapped = {range};
        return true;
      case Onwards::kNone:
        // Or one was read, and is not queued.
        if (known && !mm_.space->IsMoving(range.first, bytes)) return true;
    }
    std::this_thread::sleep_for(kAskPause);
  }
  return false;
}

// What moves on from there was there until then. What was where something moves
// to was unmapped before that.
MapChanges::Onwards MapChanges::FindOnwards(const AddressRange& range) {
  Onwards onwards = Onwards::kNone;
  const auto add = [&](const AddressRange& moved, Onwards is) {
    if (!Overlap(moved, range)) return;
    const bool clear =
        Contains(moved, range) && (onwards == Onwards::kNone || onwards == is);
    onwards = clear ? is : Onwards::kUnclear;
  };
  const auto add_move = [&](const MapEvent& change) {
    if (!IsMove(change)) return;
    add(From(change), Onwards::kLeft);
    add(To(change), Onwards::kReplaced);
  };
  for (const Held& held : held_) add_move(held.change);
  MutexLock lock(&mu_);
  for (const MapEvent& change : queue_) add_move(change);
  return onwards;
}

void MapChanges::AddArrival(const AddressRange& to) {
  if (arrivals_.size() == kMostArrivals) {
    arrivals_ = {{nullptr, reinterpret_cast<char*>(UINTPTR_MAX)}};
  }
  arrivals_.push_back(to);
}

bool MapChanges::HasArrived(const AddressRange& range) {
  return std::any_of(
      arrivals_.begin(), arrivals_.end(),
      [&](const AddressRange& arrival) { return Overlap(arrival, range); });
}

void MapChanges::ForgetArrivals() {
  if (arrivals_.empty() || !held_.empty()) return;
  if (mm_.space->IsAllRead(/*untold=*/0)) arrivals_.clear();
}

}  // namespace farswap::pager
