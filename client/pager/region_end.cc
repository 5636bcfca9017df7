#include "client/pager/region_end.h"

#include <memory>
#include <vector>

#include "client/pager/forget.h"

namespace farswap::pager {

bool EndRegion(
    Shared* shared, Reclaim* reclaim, const Region* region,
    const std::function<void(const RegionTable::Piece& piece)>& unmap) {
  std::vector<RegionTable::Piece> pieces;
  const std::shared_ptr<Region> dead =
      region->mm()->regions.Remove(region, &pieces);
  if (dead == nullptr) return false;
  // Nobody finds it any more, and who found it before sees that it is dead.
  dead->Kill();
  shared->locks.Barrier();
  reclaim->DropKeptOf(dead.get());
  // The memory first, then its charge.
  for (const RegionTable::Piece& piece : pieces) unmap(piece);
  Forget forget(shared);
  dead->map().ForEachBlock([&](uint64_t block) {
    if (block >= dead->blocks()) return;
    forget.Range(dead.get(), block * kPagesPerPmd, kPagesPerPmd, PageWord());
  });
  return true;
}

}  // namespace farswap::pager
