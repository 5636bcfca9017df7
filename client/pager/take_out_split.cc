// TakeOut: folios that go in parts.
#include <utility>

#include "client/pager/take_out.h"

namespace farswap::pager {

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
