// What the files that implement SwapSpace share.
#ifndef FARSWAP_CLIENT_CORE_SWAP_SPACE_IMPL_H_
#define FARSWAP_CLIENT_CORE_SWAP_SPACE_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "client/core/cluster_info.h"
#include "client/core/cluster_lists.h"
#include "client/core/folio.h"
#include "client/core/memory_group.h"
#include "client/core/slot_allocator.h"
#include "client/core/swap_entry.h"
#include "client/core/swap_space.h"
#include "client/core/table_keeper.h"
#include "client/core/table_view.h"
#include "common/check.h"
#include "common/units.h"

namespace farswap::core {

class SwapSpace::Impl {
 public:
  explicit Impl(FolioArena* arena) : folios(arena) {}

  ClusterInfo& At(SwapEntry entry) const { return lists.At(entry.cluster()); }

  // Makes a cluster free, with that grant, unless its state is not `from`.
  bool Grant(ClusterIndex index, ClusterState from, const ClusterGrant& grant);

  // FolioAllocSwap, without the charge.
  bool Allocate(Folio* folio);

  // One order of SwapCacheAllocFolio: false if a smaller one is to be tried.
  bool TryAttach(SwapEntry entry, int order,
                 absl::FunctionRef<Folio*(int order)> alloc,
                 CacheAlloc* result);
  // Folios without an owner that are being collected.
  struct Collection {
    size_t max;
    size_t budget;  // Clusters yet to be looked at.
    const MemoryGroup* within;
    std::vector<Folio*> found;
  };
  // Those of a list's clusters, and of one.
  void Collect(ClusterState state, int order, Collection* collection);
  void CollectFrom(const ClusterInfo& cluster, Collection* collection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu);

  // Dies if the cluster contradicts itself or its folios; its used slots.
  size_t CheckCluster(ClusterIndex index) const;

  FolioArena* const folios;
  ClusterLists lists;
  TableKeeper tables{&lists};
  SlotAllocator slots{&lists, &tables};
};

// Slots are free that were charged to that group, if it is one.
inline void Uncharge(MemoryGroup* group, uint32_t slots) {
  if (group != nullptr && slots > 0) group->UnchargeSwap(slots);
}

// The slots of a folio are in one cluster.
inline void CheckRange(SwapEntry entry, uint32_t pages) {
  FARSWAP_CHECK(entry.slot() + pages <= kSlotsPerCluster);
}

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_SWAP_SPACE_IMPL_H_
