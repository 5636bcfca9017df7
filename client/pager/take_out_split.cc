// TakeOut: folios that go in parts.
#include <utility>

#include "client/pager/take_out.h"

namespace farswap::pager {

TakeOut::Step TakeOut::RunParts(core::Folio* folio, SteadyTime until,
                                uint64_t* taken) {
  const uint64_t before = *taken;
  bool room = true;
  for (core::Folio* part : Split(folio)) {
    if (room) {
      room = Run(part, until, taken) != Step::kNoRoom;
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

std::vector<core::Folio*> TakeOut::Split(core::Folio* folio) {
  Region* const region = RegionOf(folio);
  core::MemoryGroup* const group = folio->group;
  const int order = folio->order > kPartOrder ? kPartOrder : 0;
  std::vector<core::Folio*> parts = AllocateParts(folio, order);
  MutexLock lock(shared_.LockOf(region, folio->index));
  // Mapped, so that nobody owns its slots, and the copy in them can go: it is
  // one folio's.
  const bool whole = folio->mapped && !folio->writeback;
  if (!whole || (folio->has_swap && !shared_.swap.FolioFreeSwap(folio))) {
    for (core::Folio* part : parts) shared_.folios.Put(part);
    return {};
  }
  if (parts.empty()) return {};
  for (core::Folio* part : parts) {
    part->mapped = true;
    region->map().Set(part->index, order, PageWord::Folio(part->id));
    group->LruAdd(part, /*active=*/false);
  }
  folio->mapped = false;
  group->LruDel(folio);
  shared_.folios.Put(folio);  // The page map's reference.
  // Not those that someone else isolated just now.
  std::erase_if(
      parts, [&](core::Folio* part) { return !group->LruIsolateFolio(part); });
  return parts;
}

std::vector<core::Folio*> TakeOut::AllocateParts(core::Folio* folio,
                                                 int order) {
  const uint32_t pages = PagesOf(order);
  std::vector<core::Folio*> parts;
  for (uint32_t at = 0; at < PagesOf(folio->order); at += pages) {
    core::Folio* const part = shared_.folios.Allocate(
        order, folio->group, folio->owner, folio->index + at);
    if (part == nullptr) {
      for (core::Folio* other : parts) shared_.folios.Put(other);
      return {};
    }
    parts.push_back(part);
  }
  return parts;
}

}  // namespace farswap::pager
