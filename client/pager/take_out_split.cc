// TakeOut: folios that go in parts.
#include <utility>

#include "client/pager/take_out.h"
#include "common/log_raw.h"

namespace farswap::pager {

void TakeOut::StayCaptured(Region* region, core::Folio* folio, char* staging,
                           const std::bitset<kPagesPerPmd>& pages) {
  for (uint32_t i = 0; i < PagesOf(folio->order); ++i) {
    if (pages.test(i)) continue;
    core::Folio* const page =
        shared_.folios.Allocate(0, folio->group, region, folio->index + i);
    if (page == nullptr) DieRaw("no folio is left for a page that is moved");
    page->mapped = true;
    region->map().Set(page->index, 0, PageWord::Folio(page->id));
    folio->group->LruAdd(page, /*active=*/false);
    shared_.swap.PutEntries(folio->entry + i, 1, folio->group);
    // What is hashed and put is the folio, whole.
    shared_.staging->Fill(staging + i * kPageBytes);
  }
  CapturedLocked(folio, staging, pages.count());
}

TakeOut::Step TakeOut::RunParts(core::Folio* folio, SteadyTime until,
                                uint64_t* taken, bool keep) {
  shared_.counters.swpout_fallback[folio->order].Add();
  const uint64_t before = *taken;
  bool room = true;
  for (core::Folio* part : Split(folio)) {
    if (room) {
      room = Run(part, until, taken, keep) != Step::kNoRoom;
    } else {
      part->group->LruReturn(part);
      shared_.folios.Put(part);
    }
  }
  // If it was not split, it is as it was.
  folio->group->LruPutback(folio, /*active=*/true);
  if (*taken > before) return Step::kTaken;
  return room ? Step::kSkipped : Step::kNoRoom;
}

bool TakeOut::Cut(core::Folio* folio) {
  std::vector<core::Folio*> parts;
  if (folio->order > 0) parts = Split(folio);
  for (core::Folio* part : parts) {
    part->group->LruPutback(part, /*active=*/false);
    shared_.folios.Put(part);
  }
  folio->group->LruPutback(folio, /*active=*/true);
  shared_.folios.Put(folio);
  return !parts.empty();
}

std::vector<core::Folio*> TakeOut::Split(core::Folio* folio) {
  core::MemoryGroup* const group = folio->group;
  std::vector<core::Folio*> parts;
  MutexLock lock(shared_.LockOf(RegionOf(folio), folio->index));
  const bool whole = folio->mapped && !folio->writeback;
  if (!whole || !forget_.SplitLocked(folio, &parts)) return {};
  // Not those that someone else isolated just now.
  std::erase_if(
      parts, [&](core::Folio* part) { return !group->LruIsolateFolio(part); });
  return parts;
}

}  // namespace farswap::pager
