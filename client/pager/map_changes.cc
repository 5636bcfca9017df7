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

bool MapChanges::TryExclude(absl::FunctionRef<void()> act) {
  if (!apply_mu_.TryLock()) return false;
  act();
  apply_mu_.Unlock();
  return true;
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

void MapChanges::AdoptLocked(Region* region, uint64_t page, int order) {
  core::MemoryGroup* const group = region->group();
  core::Folio* const folio =
      shared_.folios.Allocate(order, group, region, page);
  if (folio == nullptr) return;  // It stays, not accounted for.
  shared_.ChargeFound(group, PagesOf(order));
  folio->mapped = true;
  region->map().Set(page, order, PageWord::Folio(folio->id));
  group->LruAdd(folio, /*active=*/false);
  shared_.counters.resident_pages.Add(PagesOf(order));
  // The program may have freed it (MADV_FREE) before it was found, and then the
  // kernel drops it without a word.
  if (region->found()) region->map().SetDiscarded(page / kPagesPerPmd);
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
  const char* at = piece.start;
  // What is empty is passed over in one step, however large it is.
  while ((at = mm_.space->FirstPresent(at, piece.end)) != piece.end) {
    const uint64_t found =
        piece.page + static_cast<uint64_t>(at - piece.start) / kPageBytes;
    const uint64_t page = std::max(piece.page, AlignDown(found, kPagesPerPmd));
    const uint64_t next =
        std::min(piece.page + piece.pages(),
                 AlignDown(found, kPagesPerPmd) + kPagesPerPmd);
    char* const start = piece.start + (page - piece.page) * kPageBytes;
    char* const end = start + (next - page) * kPageBytes;
    at = end;
    MutexLock lock(shared_.LockOf(region, page));
    const bool there = region->AddressOf(page) == start &&
                       region->RunAt(page, next - page) == next - page;
    if (region->dead() || !there) return;  // Or it moved.
    AdoptBlockLocked({start, end, piece.region, page});
  }
}

void MapChanges::AdoptBlockLocked(const RegionTable::Piece& piece) {
  Region* const region = piece.region.get();
  // A discard that is under way, here or elsewhere: later.
  if (!mm_.space->Settled(piece.start, piece.pages() * kPageBytes)) {
    AddLeftovers(piece.start, piece.end);
    return;
  }
  const PageMap& map = region->map();
  const uint64_t end = piece.page + piece.pages();
  for (uint64_t page = piece.page; page < end;) {
    const uint64_t first = page;
    while (page < end && map.Get(page).is_zeros()) ++page;
    if (page == first) {
      ++page;
      continue;
    }
    const auto run = RegionTable::Piece(piece).In(
        piece.start + (first - piece.page) * kPageBytes,
        piece.start + (page - piece.page) * kPageBytes);
    AdoptRunLocked(run);
  }
}

void MapChanges::AdoptRunLocked(const RegionTable::Piece& run) {
  const std::vector<AddressRange> later = LeftoversIn(run.start, run.end);
  const char* at = mm_.space->FirstOwn(run.start, run.end);
  if (at == run.end) return;
  // What is taken out where it does not fault reads as zeros. Asked again then,
  // as a mapping that came in between may be another one.
  const size_t bytes = run.pages() * kPageBytes;
  if (run.region->found() && (!mm_.space->MakeFault(run.start, bytes) ||
                              !mm_.space->Settled(run.start, bytes))) {
    return;
  }
  at = run.start;
  while ((at = mm_.space->FirstOwn(at, run.end)) != run.end) {
    const uint64_t page =
        run.page + static_cast<uint64_t>(at - run.start) / kPageBytes;
    const bool again = std::any_of(
        later.begin(), later.end(),
        [&](const AddressRange& r) { return r.first <= at && at < r.second; });
    int order = 0;
    if (later.empty()) {
      order = OrderAtLocked(run.region.get(), page, at, run.end);
    }
    if (!again) AdoptLocked(run.region.get(), page, order);
    at += BytesOf(order);
  }
}

int MapChanges::OrderAtLocked(Region* region, uint64_t page, const char* at,
                              const char* end) {
  for (const int order : {kPmdOrder, kPartOrder}) {
    const char* const last = at + BytesOf(order);
    if (page % PagesOf(order) == 0 && last <= end &&
        region->map().AllZeros(page, order) && region->IsWhole(page, order) &&
        mm_.space->FirstNotOwn(at, last) == last) {
      return order;
    }
  }
  return 0;
}

void MapChanges::Adopt(char* start, char* end) {
  for (const auto& piece : mm_.regions.PiecesIn(start, end)) AdoptIn(piece);
}

std::vector<AddressRange> MapChanges::LeftoversIn(const char* start,
                                                  const char* end) {
  MutexLock lock(&mu_);
  return leftovers_.In(start, end);
}

}  // namespace farswap::pager
