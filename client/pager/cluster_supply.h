// The supply of clusters: granted ahead of need, given back when far too many
// are free, and when no server grants more, freed of clean copies.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_CLUSTER_SUPPLY_H_
#define FARSWAP_CLIENT_PAGER_CLUSTER_SUPPLY_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "client/pager/shared.h"
#include "common/mutex.h"

namespace farswap::pager {

class ClusterSupply {
 public:
  explicit ClusterSupply(Shared* shared) : shared_(*shared) {}
  ClusterSupply(const ClusterSupply&) = delete;
  ClusterSupply& operator=(const ClusterSupply&) = delete;

  // A folio found no slots: makes some free. False: there are none to be had,
  // or the servers do not answer until `until` or within a moment (1 s).
  // REQUIRES: the caller is in Shared::grace.
  bool Refill(SteadyTime until);

  // Keeps a few clusters free, and gives back what is far too many. For the
  // background.
  void Balance();

  // Makes some mapped folios, of that group and those below it if it is not
  // null, give up the copies they have in slots.
  bool DropCleanCopies(const core::MemoryGroup* within);

  // No slot is free and no server grants more: folios that come in give up
  // their slots. Until a few clusters are free again.
  bool full() const { return full_.load(std::memory_order_acquire); }

 private:
  bool Grant(SteadyTime until) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Gives clusters back that are more than are needed.
  void ReturnSurplus();
  Shared& shared_;
  std::atomic<bool> full_{false};
  std::atomic<uint64_t> attempts_{0};

  // Taken out of the swap space, and not taken back by the server yet. The
  // background thread's.
  std::vector<core::ClusterGrant> returning_;

  Mutex mu_;  // One refill at a time, across its RPC. No lock is held before.
  bool refused_ ABSL_GUARDED_BY(mu_) = false;  // When last asked.
  SteadyTime next_ask_ ABSL_GUARDED_BY(mu_);
};

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_CLUSTER_SUPPLY_H_
