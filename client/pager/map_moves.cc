// MapChanges: moves (mremap), and what must wait for one.
#include <algorithm>
#include <utility>

#include "client/pager/map_changes.h"
#include "client/pager/map_ranges.h"
#include "common/log_raw.h"

namespace farswap::pager {
namespace {

bool Touch(const MapEvent& a, const MapEvent& b) {
  return Overlap(From(a), From(b)) || Overlap(From(a), To(b)) ||
         Overlap(To(a), From(b)) || Overlap(To(a), To(b));
}

}  // namespace

bool MapChanges::IsOnHeld(const AddressRange& range) const {
  return std::any_of(held_.begin(), held_.end(), [&](const Held& held) {
    return Overlap(range, From(held.change)) || Overlap(range, To(held.change));
  });
}

bool MapChanges::IsToHeld(const AddressRange& range) const {
  return std::any_of(held_.begin(), held_.end(), [&](const Held& held) {
    return Overlap(range, To(held.change));
  });
}

void MapChanges::Hold(Held held) {
  held_.push_back(std::move(held));
  held_count_.store(held_.size(), std::memory_order_release);
}

void MapChanges::TakeIn(const MapEvent& change) {
  switch (change.kind) {
    case MapEvent::Kind::kRemove:
      if (IsOnHeld(From(change))) return Hold({change, {}});
      return Perform({change, {}});
    case MapEvent::Kind::kUnmap:
      return TakeInUnmap(change);
    case MapEvent::Kind::kRemap:
      Vacate(From(change));
      if (held_.empty() && IsFree(change) && IsOurs(change)) {
        return Perform({change, {}});
      }
      return Hold({change, {}});
    case MapEvent::Kind::kFork:
      return TakeInFork(change);
  }
}

void MapChanges::TakeInFork(const MapEvent& change) {
  // Of this one the page maps are told below.
  PerformAll(/*untold=*/1);
  std::vector<AddressRange> held;
  for (const Held& h : held_) {
    held.push_back(From(h.change));
    if (IsMove(h.change)) held.push_back(To(h.change));
  }
  forks_.Apply(change.child, held, [&] { mm_.space->Applied(change); });
}

void MapChanges::Vacate(const AddressRange& from) {
  const auto pieces = mm_.regions.PiecesIn(from.first, from.second);
  MutexLock lock(&vacated_mu_);
  for (const auto& piece : pieces) vacated_.Add(piece.start, piece.end);
  for (const auto& rest : Without(from, pieces)) {
    if (IsToHeld(rest)) {
      vacated_.Add(rest.first, rest.second);
    } else {
      vacated_.AddLeft(rest.first, rest.second);
    }
  }
}

bool MapChanges::IsFree(const MapEvent& move) const {
  const AddressRange to = To(move);
  return mm_.regions.PiecesIn(to.first, to.second).empty();
}

bool MapChanges::IsOurs(const MapEvent& move) const {
  const AddressRange from = From(move);
  return Without(from, mm_.regions.PiecesIn(from.first, from.second)).empty();
}

void MapChanges::Perform(const Held& held) {
  const MapEvent& change = held.change;
  switch (change.kind) {
    case MapEvent::Kind::kRemove:
      for (const auto& piece : mm_.regions.PiecesIn(change.start, change.end)) {
        Remove(piece);
      }
      break;
    case MapEvent::Kind::kUnmap:
      for (const auto& [start, end] : held.rest) {
        for (const auto& piece : mm_.regions.PiecesIn(start, end)) {
          Unmap(piece);
        }
      }
      break;
    case MapEvent::Kind::kRemap:
      for (const auto& piece : mm_.regions.PiecesIn(change.start, change.end)) {
        Move(piece, change.to + (piece.start - change.start), held.unclear);
      }
      AddArrival(To(change));
      break;
    case MapEvent::Kind::kFork:  // Is not held.
      break;
  }
  Applied(change);
}

void MapChanges::Move(const RegionTable::Piece& piece, char* to, bool lose) {
  Region* const region = piece.region.get();
  region->SetCarved();
  mm_.regions.Carve(piece.start, piece.end);
  bool discarded = false;
  ForEachBlockIn(piece.page, piece.pages(), [&](uint64_t page, uint64_t pages) {
    MutexLock lock(shared_.LockOf(region, page));
    if (lose) LoseLocked(region, page, pages);
    region->Move(page, pages, to + (page - piece.page) * kPageBytes);
    // There may be a table where it went.
    const uint64_t block = page / kPagesPerPmd;
    region->map().SetTable(block, true);
    discarded |= region->map().GetBlock(block).discarded();
  });
  mm_.regions.Place(
      {to, to + (piece.end - piece.start), piece.region, piece.page});
  if (discarded) AddLeftovers(to, to + (piece.end - piece.start));
}

void MapChanges::LoseLocked(Region* region, uint64_t page, uint64_t pages) {
  shared_.counters.pages_lost.Add(pages);
  forget_.RangeLocked(region, page, pages,
                      PageWord(PageWord::Kind::kPoisoned, 0));
}

void MapChanges::PerformHeld(size_t i) {
  Held held = std::move(held_[i]);
  held_.erase(held_.begin() + static_cast<ptrdiff_t>(i));
  if (IsMove(held.change)) {
    // Of two moves of, or to, the same addresses nobody knows which was first.
    for (Held& other : held_) {
      if (!IsMove(other.change)) continue;
      const bool rival = Overlap(From(held.change), From(other.change)) ||
                         Overlap(To(held.change), To(other.change));
      if (rival) held.unclear = other.unclear = true;
    }
  }
  if (held.unclear) {
    LogRaw(LogLevel::kError,
           "threads moved (mremap) what was at %p, and something there, in one "
           "moment; it is not known which was first, and what is remote of it "
           "is lost",
           static_cast<void*>(held.change.start));
  }
  Perform(held);
  held_count_.store(held_.size(), std::memory_order_release);
}

bool MapChanges::IsReady(size_t i) const {
  const MapEvent& change = held_[i].change;
  const bool first =
      std::none_of(held_.begin(), held_.begin() + static_cast<ptrdiff_t>(i),
                   [&](const Held& h) { return Touch(h.change, change); });
  return first && (!IsMove(change) || (IsFree(change) && IsOurs(change)));
}

void MapChanges::PerformReady() {
  for (size_t i = 0; i < held_.size();) {
    if (IsReady(i)) {
      PerformHeld(i);
      i = 0;
    } else {
      ++i;
    }
  }
}

size_t MapChanges::PickHeld() const {
  size_t pick = held_.size();
  for (size_t i = 0; i < held_.size(); ++i) {
    const MapEvent& change = held_[i].change;
    if (!IsMove(change) || !IsFree(change)) continue;
    if (IsOurs(change)) return i;
    if (pick == held_.size() && !IsToHeld(From(change))) pick = i;
  }
  return pick;
}

void MapChanges::PerformAll(size_t untold) {
  if (held_.empty()) return;
  if (!mm_.space->IsAllRead(held_.size() + untold)) return;
  PerformReady();
  while (!held_.empty()) {
    size_t pick = PickHeld();
    if (pick == held_.size()) {
      // What is in its way went without a word.
      pick = 0;
      const AddressRange to = To(held_[pick].change);
      for (const auto& piece : mm_.regions.PiecesIn(to.first, to.second)) {
        Unmap(piece);
      }
      held_[pick].unclear |= IsMove(held_[pick].change);
    }
    PerformHeld(pick);
    PerformReady();
  }
}

}  // namespace farswap::pager
