// TakeOut: folios that are kept for a while after they were taken out.
//
// A kept folio is unmapped, charged, in the swap cache and on its group's kept
// list; its slots hold the same bytes as staging does. So a fault is answered
// from staging, and dropping it takes no I/O.
#include <vector>

#include "client/pager/take_out.h"

namespace farswap::pager {

void TakeOut::MakeRoomToKeep(core::Folio* folio) {
  const uint64_t pages = PagesOf(folio->order);
  core::MemoryGroup* at = folio->group;
  core::MemoryGroup* top;
  do {
    if (at->kept() + pages > at->keep_limit()) DropKept(at, pages);
    top = at;
    at = at->parent();
  } while (at != nullptr);
  const uint64_t kept = kept_pages_.load(std::memory_order_relaxed);
  if (kept + pages > max_kept_pages_) DropKept(top, pages);
}

bool TakeOut::KeepLocked(const Region* region, core::Folio* folio) {
  // Random accesses are to small folios; one of 2 MiB would push out 512.
  if (region->dead() || folio->order == kPmdOrder) return false;
  core::MemoryGroup* const group = folio->group;
  const uint64_t pages = PagesOf(folio->order);
  const uint64_t kept = kept_pages_.fetch_add(pages, std::memory_order_relaxed);
  if (kept + pages <= max_kept_pages_ && group->TryCharge(pages)) {
    if (group->LruKeep(folio)) return true;
    group->Uncharge(pages);
  }
  kept_pages_.fetch_sub(pages, std::memory_order_relaxed);
  return false;
}

char* TakeOut::UnkeepLocked(core::Folio* folio) {
  if (!IsKept(folio)) return nullptr;
  folio->group->LruDel(folio);
  kept_pages_.fetch_sub(PagesOf(folio->order), std::memory_order_relaxed);
  char* const staging = folio->staging;
  folio->staging = nullptr;
  return staging;
}

char* TakeOut::DropLocked(core::Folio* folio) {
  char* const staging = UnkeepLocked(folio);
  if (staging == nullptr) return nullptr;
  const uint64_t pages = PagesOf(folio->order);
  shared_.swap.SwapCacheDelFolio(folio, folio->group->Evict(pages));
  folio->group->Uncharge(pages);
  return staging;
}

uint64_t TakeOut::Drop(core::Folio* folio) {
  const uint64_t pages = PagesOf(folio->order);
  char* staging = nullptr;
  bool again = false;
  {
    MutexLock lock(shared_.LockOf(RegionOf(folio), folio->index));
    again = IsKept(folio) && IsCopyLost(folio) && PutAgainLocked(folio);
    if (!again) staging = DropLocked(folio);
  }
  if (staging != nullptr) shared_.staging->Put(staging, folio->order, false);
  shared_.folios.Put(folio);
  return staging != nullptr ? pages : 0;
}

uint64_t TakeOut::DropKept(core::MemoryGroup* group, uint64_t pages) {
  const Grace::Hold hold(&shared_.grace);
  std::vector<core::Folio*> victims;
  group->LruIsolateKept(pages, &victims);
  uint64_t dropped = 0;
  for (core::Folio* folio : victims) dropped += Drop(folio);
  return dropped;
}

void TakeOut::DropKeptOf(Region* region) {
  const Grace::Hold hold(&shared_.grace);
  std::vector<core::Folio*> victims;
  region->group()->LruIsolateKeptOf(region, &victims);
  for (core::Folio* folio : victims) Drop(folio);
}

}  // namespace farswap::pager
