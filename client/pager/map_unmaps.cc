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
    for (const auto& piece : pieces) {
      if (MayBeLate(change, {piece.start, piece.end})) {
        UnmapToldOf(piece);
      } else {
        Unmap(piece);
      }
    }
    for (const auto& rest : Without(range, pieces)) {
      RemoveNobodys(rest.first, rest.second);
      // Of what has yet to be moved there.
      if (IsToHeld(rest)) later.rest.push_back(rest);
    }
  }
  if (later.rest.empty()) return Applied(change);
  Hold(std::move(later));
}

// What mremap has grown is unmapped with what it was: that begins before what
// was moved to where it has grown.
bool MapChanges::MayBeLate(const MapEvent& unmap, const AddressRange& piece) {
  const auto is_grown = [&](const AddressRange& arrival) {
    return Overlap(arrival, piece) && unmap.start < arrival.first;
  };
  if (std::any_of(arrivals_.begin(), arrivals_.end(), is_grown)) return true;
  if (!HasArrived(piece)) return false;
  MutexLock lock(&vacated_mu_);
  const std::vector<AddressRange> all = {piece};
  return nobodys_.Settled(piece.first, piece.second) != all;
}

void MapChanges::UnmapToldOf(const RegionTable::Piece& piece) {
  std::vector<AddressRange> unmapped;
  if (FindUnmapped({piece.start, piece.end}, &unmapped)) {
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
  for (int turn = 0; turn < kAskTurns; ++turn) {
    std::vector<AddressRange> gone;
    const bool known = mm_.space->FindUnmapped(
        range.first, static_cast<size_t>(range.second - range.first), &gone);
    // It has answered of now, which is after all moves that were read.
    size_t here = held_.size() + 1;
    {
      MutexLock lock(&mu_);
      here += queue_.size();
    }
    unmapped->clear();
    std::vector<AddressRange> rest;
    if (!AskMoves(range, unmapped, &rest)) return false;
    // Else one was read that is not queued yet.
    const bool all = mm_.space->CountUntold() == here;
    if (all && (known || rest.empty())) {
      for (const AddressRange& part : rest) {
        for (const AddressRange& hole : gone) {
          if (Overlap(part, hole)) unmapped->push_back(Both(part, hole));
        }
      }
      return true;
    }
    if (mm_.space->IsGone()) {
      *unmapped = {range};
      return true;
    }
    std::this_thread::sleep_for(kAskPause);
  }
  return false;
}

// What moves on from there was there until then. What was where something moves
// to was unmapped before that. Of moves of both kinds it is not known which
// was first.
bool MapChanges::AskMoves(const AddressRange& range,
                          std::vector<AddressRange>* unmapped,
                          std::vector<AddressRange>* rest) {
  std::vector<AddressRange> left;
  const auto add = [&](const MapEvent& change) {
    if (!IsMove(change)) return;
    if (Overlap(From(change), range)) left.push_back(From(change));
    const AddressRange to = Both(To(change), range);
    if (to.first < to.second) unmapped->push_back(to);
  };
  for (const Held& held : held_) add(held.change);
  {
    MutexLock lock(&mu_);
    for (const MapEvent& change : queue_) add(change);
  }
  *rest = {range};
  for (const AddressRange& to : *unmapped) *rest = Without(*rest, to);
  for (const AddressRange& from : left) {
    *rest = Without(*rest, from);
    for (const AddressRange& to : *unmapped) {
      if (Overlap(from, to)) return false;
    }
  }
  return true;
}

void MapChanges::AddNobodys(char* start, char* end) {
  MutexLock lock(&vacated_mu_);
  nobodys_.AddLeft(start, end);
}

void MapChanges::RemoveNobodys(char* start, char* end) {
  MutexLock lock(&vacated_mu_);
  (void)nobodys_.Take(start, end);
}

void MapChanges::InheritNobodys(const MapChanges& parent) {
  Vacated inherited;
  {
    MutexLock lock(&parent.vacated_mu_);
    inherited = parent.nobodys_;
  }
  MutexLock lock(&vacated_mu_);
  nobodys_ = std::move(inherited);
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
