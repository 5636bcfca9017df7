// Gives folios their slots, and clusters their place on the lists.
//
// The order in which clusters are tried for a folio is the kernel's: the one
// this thread last used for the order; those of the order in which something
// was freed; one free cluster; one that was scanned and left partly full, for
// "one is good enough" as failing a large folio is not critical; and for
// order 0, which must not fail while there is room, every other that has any.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_CORE_SLOT_ALLOCATOR_H_
#define FARSWAP_CLIENT_CORE_SLOT_ALLOCATOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "client/core/cluster_info.h"
#include "client/core/cluster_lists.h"
#include "client/core/folio.h"
#include "client/core/swap_entry.h"
#include "client/core/table_keeper.h"
#include "common/units.h"

namespace farswap::core {

class SlotAllocator {
 public:
  SlotAllocator(ClusterLists* lists, TableKeeper* tables)
      : lists_(lists), tables_(tables) {}
  SlotAllocator(const SlotAllocator&) = delete;
  SlotAllocator& operator=(const SlotAllocator&) = delete;

  // Attaches the folio to 2^order slots that were Null. Nothing if there is
  // no room for it.
  std::optional<SwapEntry> Allocate(int order, FolioId folio);

  // Whoever changes words of a cluster takes a Tally before and settles
  // after: counts what became Null, moves the cluster, frees the table of an
  // empty one.
  struct Tally {
    uint32_t used = 0;
    size_t overflow_bytes = 0;
  };
  static Tally Before(const ClusterInfo& cluster)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu) {
    return {cluster.used(), cluster.overflow_bytes()};
  }
  // Returns how many became Null.
  uint32_t Settle(ClusterInfo& cluster, ClusterIndex index, const Tally& before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu);

  size_t used_slots() const {
    return used_slots_.load(std::memory_order_relaxed);
  }

 private:
  // Threads share hints by their number: a shared one costs a lock, no more.
  static constexpr uint32_t kHintShards = 16;
  struct alignas(64) Hints {
    // Entry to go on from, plus one; 0 is none.
    std::atomic<uint64_t> next[kOrders] = {};
  };

  std::atomic<uint64_t>& HintOf(int order);
  std::optional<SwapEntry> TryHint(int order, FolioId folio);
  // At most `max` clusters of a list.
  std::optional<SwapEntry> TryList(ClusterState state, int list_order,
                                   size_t max, int order, FolioId folio);
  std::optional<SwapEntry> TryCluster(ClusterIndex index, uint32_t start,
                                      int order, FolioId folio);
  // Order 0 only: from clusters that serve larger folios.
  std::optional<SwapEntry> Steal(FolioId folio);

  ClusterLists* const lists_;
  TableKeeper* const tables_;
  std::atomic<size_t> used_slots_{0};
  Hints hints_[kHintShards];
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_SLOT_ALLOCATOR_H_
