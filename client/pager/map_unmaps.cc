// MapChanges: unmappings, and what they are not of.
#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "client/pager/map_changes.h"
#include "client/pager/map_ranges.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

// For what has happened to be read, and for threads to wake that told of it.
constexpr std::chrono::milliseconds kAskWait{100};
constexpr std::chrono::microseconds kAskPause{50};
// The latest are kept: what is told later than that many moves is not doubted.
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
    for (const auto& piece : pieces) UnmapToldOf(change, piece);
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
bool MapChanges::IsDoubted(const MapEvent& unmap, const AddressRange& piece) {
  bool arrived = false;
  bool grown = false;
  for (const AddressRange& arrival : arrivals_) {
    if (!Overlap(arrival, piece)) continue;
    arrived = true;
    grown |= unmap.start < arrival.first;
  }
  if (!arrived || grown) return grown;
  MutexLock lock(&vacated_mu_);
  const std::vector<AddressRange> all = {piece};
  return nobodys_.Settled(piece.first, piece.second) != all;
}

void MapChanges::UnmapToldOf(const MapEvent& unmap,
                             const RegionTable::Piece& piece) {
  const AddressRange range{piece.start, piece.end};
  std::vector<AddressRange> unmapped = {range};
  if (!IsDoubted(unmap, range) || FindUnmapped(range, &unmapped)) {
    for (const auto& [start, end] : unmapped) Unmap(piece.In(start, end));
    return RemoveNobodys(piece.start, piece.end);
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
  const auto until = std::chrono::steady_clock::now() + kAskWait;
  while (!mm_.space->IsGone() && std::chrono::steady_clock::now() < until) {
    std::vector<AddressRange> found;
    if (TryFindUnmapped(range, &found)) {
      *unmapped = std::move(found);
      return true;
    }
    std::this_thread::sleep_for(kAskPause);
  }
  return mm_.space->IsGone();
}

bool MapChanges::TryFindUnmapped(const AddressRange& range,
                                 std::vector<AddressRange>* unmapped) {
  std::vector<MapEvent> untold;  // But for the one that is being applied.
  for (const Held& held : held_) untold.push_back(held.change);
  {
    MutexLock lock(&mu_);
    untold.insert(untold.end(), queue_.begin(), queue_.end());
  }
  std::vector<AddressRange> rest;
  if (!AskMoves(untold, range, unmapped, &rest)) return false;
  for (const auto& [start, end] : rest) {
    const std::optional<bool> mapped =
        mm_.space->IsMapped(start, static_cast<size_t>(end - start));
    if (!mapped.has_value()) return false;
    if (!*mapped) unmapped->emplace_back(start, end);
  }
  // So nothing has happened meanwhile, and those were all.
  return mm_.space->IsAllRead(untold.size() + applying_);
}

// What moves on from there was there until then. What was where something moves
// to was unmapped before that. Of moves of both kinds it is not known which
// was first.
bool MapChanges::AskMoves(const std::vector<MapEvent>& moves,
                          const AddressRange& range,
                          std::vector<AddressRange>* unmapped,
                          std::vector<AddressRange>* rest) {
  std::vector<AddressRange> left;
  for (const MapEvent& change : moves) {
    if (!IsMove(change)) continue;
    if (Overlap(From(change), range)) left.push_back(From(change));
    const AddressRange to = Both(To(change), range);
    if (to.first < to.second) unmapped->push_back(to);
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
  if (!mm_.space->TellsMapped()) return;
  if (arrivals_.size() == kMostArrivals) arrivals_.pop_front();
  arrivals_.push_back(to);
}

void MapChanges::ForgetArrivals() {
  if (arrivals_.empty() || !held_.empty()) return;
  if (mm_.space->IsAllRead(/*untold=*/0)) arrivals_.clear();
}

}  // namespace farswap::pager
