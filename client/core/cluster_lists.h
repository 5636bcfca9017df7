// Every cluster, and the lists they are on: absent, free, nonfull[order],
// frag[order], full, retired. All moves are to the tail, so each list rotates.
//
// Thread-safe. What a list yields is only a hint: nothing is locked when Next
// returns, so the caller locks the cluster and looks again. The lists' lock
// is a leaf, taken with a cluster's lock held or with none.
#ifndef FARSWAP_CLIENT_CORE_CLUSTER_LISTS_H_
#define FARSWAP_CLIENT_CORE_CLUSTER_LISTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "client/core/cluster_info.h"
#include "client/core/segmented_array.h"
#include "client/core/swap_entry.h"
#include "common/mutex.h"
#include "common/units.h"

namespace farswap::core {

class ClusterLists {
 public:
  ClusterLists() = default;
  ClusterLists(const ClusterLists&) = delete;
  ClusterLists& operator=(const ClusterLists&) = delete;

  // REQUIRES: Make has returned that index.
  ClusterInfo& At(ClusterIndex index) const { return clusters_.At(index); }

  // A new cluster, the caller's alone, in state kNone until he moves it to a
  // list.
  ClusterIndex Make() ABSL_LOCKS_EXCLUDED(mu_);

  // To the tail of the list of that state and order.
  void Move(ClusterInfo& cluster, ClusterIndex index, ClusterState state,
            int order) ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu)
      ABSL_LOCKS_EXCLUDED(mu_);
  // From free to absent if more than `keep` are free.
  bool Release(ClusterInfo& cluster, ClusterIndex index, size_t keep)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu) ABSL_LOCKS_EXCLUDED(mu_);

  // The head of a list, which goes to its tail.
  std::optional<ClusterIndex> Next(ClusterState state, int order)
      ABSL_LOCKS_EXCLUDED(mu_);
  size_t Length(ClusterState state, int order) const ABSL_LOCKS_EXCLUDED(mu_);

  // Granted ones: every one that is not absent.
  size_t present() const ABSL_LOCKS_EXCLUDED(mu_);
  size_t bytes() const { return clusters_.bytes(); }

  // Dies unless each list's links, length and members' states agree. For
  // tests, with no other thread inside.
  void CheckInvariants() const ABSL_LOCKS_EXCLUDED(mu_);
  // One more than the highest index ever made.
  ClusterIndex end() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct List {
    ClusterIndex head = 0;  // Meaningful if length is not 0.
    size_t length = 0;
  };
  struct Lists {
    List absent;
    List free;
    List full;
    List retired;
    List nonfull[kOrders];
    List frag[kOrders];
  };

  List* ListOf(ClusterState state, int order)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PushTail(List* list, ClusterIndex index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remove(List* list, ClusterIndex index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MoveLocked(ClusterInfo& cluster, ClusterIndex index, ClusterState state,
                  int order) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_, cluster.mu);
  size_t CheckList(const List& list, ClusterState state, int order) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // 64 clusters a segment: 6 KiB.
  SegmentedArray<ClusterInfo, 6> clusters_;  // Grows under mu_.
  mutable Mutex mu_;
  // Rings: the tail is the head's predecessor.
  Lists lists_ ABSL_GUARDED_BY(mu_);
  ClusterIndex end_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_CLUSTER_LISTS_H_
