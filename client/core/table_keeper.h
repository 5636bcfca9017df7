// Keeps swap tables while they are read without their cluster's lock.
//
// A table goes with its cluster's last slot, unless somebody reads it just
// then (TableReaders). Then it stays where it is, all Null, and its cluster is
// put on a list of late ones: the reader looks at that list when he has done,
// and so does whoever frees slots. Each look frees all but what is being read
// at that moment, so late tables are never more than readers. (A reader who
// leaves just as his table is put on the list may miss it, for want of a fence
// that would cost as much as the read: then the next look frees it.) A cluster
// that is used again meanwhile has its table already.
//
// Thread-safe. Its own lock is a leaf.
#ifndef FARSWAP_CLIENT_CORE_TABLE_KEEPER_H_
#define FARSWAP_CLIENT_CORE_TABLE_KEEPER_H_

#include <atomic>
#include <cstddef>
#include <vector>

#include "client/core/cluster_info.h"
#include "client/core/cluster_lists.h"
#include "client/core/swap_entry.h"
#include "client/core/table_readers.h"
#include "client/core/table_view.h"
#include "common/mutex.h"

namespace farswap::core {

class TableKeeper {
 public:
  explicit TableKeeper(ClusterLists* lists) : lists_(lists) {}
  TableKeeper(const TableKeeper&) = delete;
  TableKeeper& operator=(const TableKeeper&) = delete;

  // What `look` says of the table of the entry's cluster, without its lock:
  // TableView says what that is worth. `look` neither waits nor takes a lock
  // but a leaf. REQUIRES: the caller has no cluster's lock.
  template <typename Look>
  auto Read(SwapEntry entry, Look look) {
    const auto result = ReadHeld(entry, look);
    FreeLate();
    return result;
  }

  // REQUIRES: no slot of it is used.
  void FreeTable(ClusterInfo& cluster, ClusterIndex index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(cluster.mu) ABSL_LOCKS_EXCLUDED(mu_);
  // Frees late tables that nobody reads any more. REQUIRES: the caller has no
  // cluster's lock.
  void FreeLate() ABSL_LOCKS_EXCLUDED(mu_) {
    if (late_count_.load(std::memory_order_relaxed) != 0) FreeLateTables();
  }
  bool IsLate(ClusterIndex index) const ABSL_LOCKS_EXCLUDED(mu_);
  size_t late() const { return late_count_.load(std::memory_order_relaxed); }

  // Of tables and overflow tables: what others allocate (or free, below zero)
  // is told.
  void AddBytes(ptrdiff_t bytes) {
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

  // For tests: to be in the middle of a read.
  TableReaders& readers() { return readers_; }

 private:
  template <typename Look>
  auto ReadHeld(SwapEntry entry, Look look) {
    const ClusterInfo& cluster = lists_->At(entry.cluster());
    const TableReaders::Hold hold(&readers_, entry.cluster());
    if (hold.ok()) return look(cluster.View());
    MutexLock lock(&cluster.mu);  // Other readers have all places.
    return look(cluster.View());
  }
  void FreeLateTables() ABSL_LOCKS_EXCLUDED(mu_);

  ClusterLists* const lists_;
  TableReaders readers_;
  std::atomic<size_t> bytes_{0};
  mutable Mutex mu_;
  std::vector<ClusterIndex> late_ ABSL_GUARDED_BY(mu_);
  std::atomic<size_t> late_count_{0};  // late_.size(), written under mu_.
};

}  // namespace farswap::core

#endif  // FARSWAP_CLIENT_CORE_TABLE_KEEPER_H_
