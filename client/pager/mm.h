// An address space that is paged, after the kernel's mm_struct: the seam to
// it, what of it are regions, and the changes of its map that are to be told
// to them.
//
// Regions hold it, so that it is there as long as a folio names one of them.
// Its pointers to others are set before the first region and fault, and
// constant.
#ifndef FARSWAP_CLIENT_PAGER_MM_H_
#define FARSWAP_CLIENT_PAGER_MM_H_

#include <atomic>

#include "client/pager/address_space.h"
#include "client/pager/region.h"

namespace farswap::pager {

class MapChanges;

struct Mm {
  explicit Mm(RegionGraves* graves) : regions(graves) {}
  virtual ~Mm() = default;
  Mm(const Mm&) = delete;
  Mm& operator=(const Mm&) = delete;

  // The process, for people; 0: this one.
  std::atomic<int> pid{0};
  AddressSpace* space = nullptr;
  MapChanges* changes = nullptr;
  RegionTable regions;
};

// The address space of a region.
inline AddressSpace& SpaceOf(const Region& region) {
  return *region.mm()->space;
}

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_MM_H_
