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
    ForgetArrivals();
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
      (void)AdoptIn(piece, std::nullopt);
    }
  }
}

uint64_t MapChanges::AdoptIn(const RegionTable::Piece& piece,
                             const MaybeUncounted& is_uncounted) {
  Region* const region = piece.region.get();
  uint64_t left = 0;
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
    // Or it moved.
    if (region->dead() || !there) return left + piece.pages();
    left += AdoptBlockLocked({start, end, piece.region, page}, is_uncounted);
  }
  return left;
}

uint64_t MapChanges::AdoptBlockLocked(const RegionTable::Piece& piece,
                                      const MaybeUncounted& is_uncounted) {
  const PageMap& map = piece.region->map();
  const uint64_t end = piece.page + piece.pages();
  uint64_t left = 0;
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
    left += AdoptRunLocked(run, is_uncounted);
  }
  return left;
}

uint64_t MapChanges::AdoptRunLocked(const RegionTable::Piece& run,
                                    const MaybeUncounted& is_uncounted) {
  const size_t bytes = run.pages() * kPageBytes;
  PageSet found = FindLocked(run, is_uncounted);
  if (found.none()) return 0;
  // A discard that is under way, here or elsewhere: later.
  if (!mm_.space->Settled(run.start, bytes)) {
    AddLeftovers(run.start, run.end);
    return found.count();
  }
  // What is taken out where it does not fault reads as zeros. Asked again then,
  // as a mapping that came in between may be another one.
  if (run.region->found() && (!mm_.space->MakeFault(run.start, bytes) ||
                              !mm_.space->Settled(run.start, bytes))) {
    return found.count();
  }
  found = FindLocked(run, is_uncounted);
  const size_t all = found.count();
  const std::vector<AddressRange> later = LeftoversIn(run.start, run.end);
  for (const auto& [from, to] : later) {
    for (char* at = std::max(from, run.start); at < std::min(to, run.end);
         at += kPageBytes) {
      found.reset(static_cast<size_t>(at - run.start) / kPageBytes);
    }
  }
  const size_t left = all - found.count();
  for (size_t i = found._Find_first(); i < found.size();) {
    // What is near a discard is taken page by page.
    const int order = later.empty() ? OrderAt(run, i, found) : 0;
    AdoptLocked(run.region.get(), run.page + i, order);
    i = found._Find_next(i + PagesOf(order) - 1);
  }
  return left;
}

PageSet MapChanges::FindLocked(const RegionTable::Piece& run,
                               const MaybeUncounted& is_uncounted) {
  const Residents residents = mm_.space->LookAt(run.start, run.pages());
  PageSet found = residents.present & ~residents.shared;
  const PageSet& shared = residents.shared;
  if (!is_uncounted) {
    if (shared.any()) shares_.store(true, std::memory_order_relaxed);
    return found;
  }
  for (size_t i = shared._Find_first(); i < shared.size();
       i = shared._Find_next(i)) {
    found[i] = (*is_uncounted)(residents.names[i]);
  }
  return found;
}

int MapChanges::OrderAt(const RegionTable::Piece& run, size_t i,
                        const PageSet& found) {
  const uint64_t page = run.page + i;
  for (const int order : {kPmdOrder, kPartOrder}) {
    const uint64_t pages = PagesOf(order);
    if (page % pages != 0 || i + pages > run.pages()) continue;
    const PageSet all = ~PageSet() >> (kPagesPerPmd - pages) << i;
    if ((found & all) == all && run.region->IsWhole(page, order)) return order;
  }
  return 0;
}

uint64_t MapChanges::Adopt(char* start, char* end,
                           MaybeUncounted is_uncounted) {
  uint64_t left = 0;
  for (const auto& piece : mm_.regions.PiecesIn(start, end)) {
    left += AdoptIn(piece, is_uncounted);
  }
  return left;
}

std::vector<AddressRange> MapChanges::LeftoversIn(const char* start,
                                                  const char* end) {
  MutexLock lock(&mu_);
  return leftovers_.In(start, end);
}

}  // namespace farswap::pager
