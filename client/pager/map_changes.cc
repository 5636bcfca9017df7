#include "client/pager/map_changes.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

namespace farswap::pager {
namespace {

// A discard is over some microseconds after its thread has woken from the
// event, unless that is preempted there or waits for the map's lock. What was
// adopted and taken out before that would come back.
constexpr std::chrono::seconds kLeftoverDelay{1};

}  // namespace

void MapChanges::Queue(const MapEvent& change) {
  MutexLock lock(&mu_);
  queue_.push_back(change);
  queued_.fetch_add(1, std::memory_order_release);
}

bool MapChanges::Pop(MapEvent* change) {
  MutexLock lock(&mu_);
  if (queue_.empty()) return false;
  *change = queue_.front();
  queue_.pop_front();
  return true;
}

void MapChanges::Apply() {
  // Mostly there is nothing, and no lock.
  while (queued_.load(std::memory_order_acquire) != 0 ||
         held_count_.load(std::memory_order_acquire) != 0) {
    MutexLock apply(&apply_mu_);
    MapEvent change;
    if (!Pop(&change)) return PerformAll(/*untold=*/0);
    TakeIn(change);
    PerformReady();
    queued_.fetch_sub(1, std::memory_order_release);
  }
}

void MapChanges::Applied(const MapEvent& change) {
  mm_.space->Applied(change);
  const auto bytes = static_cast<size_t>(change.end - change.start);
  (void)mm_.space->Wake(change.start, bytes);
  if (change.to != nullptr) (void)mm_.space->Wake(change.to, bytes);
}

void MapChanges::Remove(const RegionTable::Piece& piece) {
  Region* const region = piece.region.get();
  // First: who holds a block's lock and finds the words has these, too.
  AddLeftovers(piece.start, piece.end);
  ForEachBlockIn(piece.page, piece.pages(), [&](uint64_t page, uint64_t pages) {
    MutexLock lock(shared_.LockOf(region, page));
    region->map().SetDiscarded(page / kPagesPerPmd);
    forget_.RangeLocked(region, page, pages, PageWord());
  });
}

void MapChanges::AddLeftovers(char* start, char* end) {
  MutexLock lock(&mu_);
  leftovers_.Add(start, end, std::chrono::steady_clock::now() + kLeftoverDelay);
}

void MapChanges::Unmap(const RegionTable::Piece& piece) {
  piece.region->SetCarved();
  mm_.regions.Carve(piece.start, piece.end);
  forget_.Range(piece.region.get(), piece.page, piece.pages(),
                PageWord(PageWord::Kind::kHole, 0));
}

void MapChanges::AdoptLocked(Region* region, uint64_t page) {
  core::MemoryGroup* const group = region->group();
  core::Folio* const folio = shared_.folios.Allocate(0, group, region, page);
  if (folio == nullptr) return;  // It stays, not accounted for.
  group->ForceCharge(1);
  folio->mapped = true;
  region->map().Set(page, 0, PageWord::Folio(folio->id));
  group->LruAdd(folio, /*active=*/false);
  shared_.counters.resident_pages.Add(1);
}

void MapChanges::AdoptLeftovers() {
  const auto now = std::chrono::steady_clock::now();
  for (;;) {
    AddressRange range;
    {
      MutexLock lock(&mu_);
      if (!leftovers_.PopDue(now, &range)) return;
    }
    for (const auto& piece : mm_.regions.PiecesIn(range.first, range.second)) {
      AdoptIn(piece);
    }
  }
}

void MapChanges::AdoptIn(const RegionTable::Piece& piece) {
  Region* const region = piece.region.get();
  ForEachBlockIn(piece.page, piece.pages(), [&](uint64_t page, uint64_t pages) {
    MutexLock lock(shared_.LockOf(region, page));
    char* const start = piece.start + (page - piece.page) * kPageBytes;
    const bool there =
        region->AddressOf(page) == start && region->RunAt(page, pages) == pages;
    if (region->dead() || !there) return;  // Or it moved.
    AdoptBlockLocked({start, start + pages * kPageBytes, piece.region, page});
  });
}

void MapChanges::AdoptBlockLocked(const RegionTable::Piece& piece) {
  Region* const region = piece.region.get();
  // A discard that is under way, here or elsewhere: later.
  if (!mm_.space->Settled(piece.start, piece.pages() * kPageBytes)) {
    AddLeftovers(piece.start, piece.end);
    return;
  }
  const std::vector<AddressRange> later = LeftoversIn(piece.start, piece.end);
  const char* at = piece.start;
  while ((at = mm_.space->FirstPresent(at, piece.end)) != piece.end) {
    const uint64_t page =
        piece.page + static_cast<uint64_t>(at - piece.start) / kPageBytes;
    const bool again = std::any_of(
        later.begin(), later.end(),
        [&](const AddressRange& r) { return r.first <= at && at < r.second; });
    if (!again && region->map().Get(page).is_zeros()) AdoptLocked(region, page);
    at += kPageBytes;
  }
}

std::vector<AddressRange> MapChanges::LeftoversIn(const char* start,
                                                  const char* end) {
  MutexLock lock(&mu_);
  return leftovers_.In(start, end);
}

}  // namespace farswap::pager
