// Which clusters are free, whose the others are, and who is using their bytes.
//
// A cluster goes round:
//
//   free --Take--> taken --Grant--> granted --Retire--> retired --Return-->
//   free
//                    `----------------Return----------------------------->
//
// 1. Only a granted cluster has a generation other than 0 and can be pinned.
// 2. A pin keeps the cluster's bytes the owner's: a retired cluster is emptied
//    only when its last pin is gone (AwaitUnpinned), and returned after that.
// 3. A free cluster is empty.
//
// Every step is O(1), whatever the capacity: a free list of those that were
// returned, and a high-water mark below which every cluster was granted once.
//
// Thread-safe. Pin and Unpin take no lock. Pin raises `pins` and then reads
// `generation`; Retire lowers `generation` and then reads `pins`; both in the
// single order of memory_order_seq_cst, so one of them sees the other.
#ifndef FARSWAP_SERVER_CLUSTER_ALLOCATOR_H_
#define FARSWAP_SERVER_CLUSTER_ALLOCATOR_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "server/cluster_directory.h"
#include "server/metadata.h"

namespace farswap::server {

class ClusterAllocator {
 public:
  // `clusters`: the pool's, at most 2^29.
  explicit ClusterAllocator(uint64_t clusters) : clusters_(clusters) {}

  // ---- The data path: no lock.

  // Whether `session` owns the cluster at that generation; if so its bytes
  // stay its own until Unpin.
  bool Pin(uint64_t cluster, uint64_t generation, uint64_t session);
  void Unpin(uint64_t cluster);

  // ---- Changes of ownership.

  // Takes at most `count` free clusters out of the free ones.
  std::vector<uint64_t> Take(uint32_t count);
  // Makes a taken cluster the session's.
  void Grant(const GrantRecord& grant);
  // Ends the ownership, if it is the session's at that generation, and says
  // what it was.
  std::optional<GrantRecord> Retire(uint64_t cluster, uint64_t generation,
                                    uint64_t session);
  // All of the session's.
  std::vector<GrantRecord> RetireAll(uint64_t session);
  // Whether no retired cluster of these is pinned any more at `until`.
  bool AwaitUnpinned(absl::Span<const uint64_t> clusters, Clock::Time until);
  bool IsPinned(uint64_t cluster) const;
  // Makes a cluster free: taken but not granted, or retired and emptied.
  void Return(uint64_t cluster);

  // Whether the session owns it at that generation, at this moment.
  bool Owns(const GrantRecord& grant) const;

  // ---- On start, before all else.

  // Clusters that were granted before; then EndRestore calls `empty` for each
  // run of clusters that were not, and makes them free. Restore is false, and
  // nothing done, if the cluster has an owner, or the grant no generation.
  bool Restore(const GrantRecord& grant);
  template <typename Empty>
  void EndRestore(Empty empty);

  uint64_t granted() const;
  uint64_t GrantedTo(uint64_t session) const;
  size_t allocated_bytes() const;

  // For tests: the lists and counts agree. Dies if they do not.
  void CheckInvariants() const;

 private:
  struct Owned {
    uint32_t head = kNoCluster;
    uint32_t count = 0;
  };

  void Link(uint32_t cluster, ClusterRecord* record, uint64_t session)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unlink(ClusterRecord* record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  GrantRecord RetireLocked(uint32_t cluster, ClusterRecord* record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReturnLocked(uint64_t cluster) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint64_t clusters_;
  // Reading needs no lock; making a record needs mu_.
  ClusterDirectory directory_;

  mutable Mutex mu_;
  CondVar unpinned_;
  uint32_t free_head_ ABSL_GUARDED_BY(mu_) = kNoCluster;
  // No cluster from here on was ever taken.
  uint64_t high_water_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t granted_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<uint64_t, Owned> owned_ ABSL_GUARDED_BY(mu_);
};

template <typename Empty>
void ClusterAllocator::EndRestore(Empty empty) {
  MutexLock lock(&mu_);
  uint64_t run = 0;
  for (uint64_t cluster = 0; cluster < high_water_; ++cluster) {
    const ClusterRecord* const record = directory_.Find(cluster);
    if (record == nullptr || record->generation.load() == 0) continue;
    if (run < cluster) empty(run, cluster - run);
    for (; run < cluster; ++run) ReturnLocked(run);
    run = cluster + 1;
  }
  if (run < clusters_) empty(run, clusters_ - run);
}

}  // namespace farswap::server

#endif  // FARSWAP_SERVER_CLUSTER_ALLOCATOR_H_
