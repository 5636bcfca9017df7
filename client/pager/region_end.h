// The end of a region: nothing is held of it any more.
#ifndef FARSWAP_CLIENT_PAGER_REGION_END_H_
#define FARSWAP_CLIENT_PAGER_REGION_END_H_

#include <functional>

#include "client/pager/reclaim.h"
#include "client/pager/shared.h"

namespace farswap::pager {

// Takes the region out of its address space's table and frees its slots and
// its charge. `unmap` is called for each piece that it had, when nobody acts on
// it any more, before the charge is given back. False: it was not there.
bool EndRegion(
    Shared* shared, Reclaim* reclaim, const Region* region,
    const std::function<void(const RegionTable::Piece& piece)>& unmap);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_REGION_END_H_
