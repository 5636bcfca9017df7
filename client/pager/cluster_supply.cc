#include "client/pager/cluster_supply.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace farswap::pager {
namespace {

// 64 MiB a grant: its fsync and fallocates are spread over 32 puts.
constexpr uint32_t kGrantBatch = 32;
constexpr size_t kLowClusters = 8;
// More free clusters than that are given back, down to one batch.
constexpr size_t kManyClusters = 4 * kGrantBatch;
constexpr std::chrono::seconds kGrantWait{1};
// At most this many folios give up their clean copies at a time.
constexpr size_t kDropBatch = 64;

// A server that refused is not asked again before: each refusal is an RPC, and
// what it waits for is other clients.
constexpr std::chrono::milliseconds kAskAgain{100};

SteadyTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

bool ClusterSupply::Grant(SteadyTime until) {
  if (Now() < next_ask_) return false;
  const auto grants = shared_.transport->AllocateClusters(
      kGrantBatch, std::min(until, Now() + kGrantWait));
  refused_ = absl::IsResourceExhausted(grants.status());
  if (refused_) next_ask_ = Now() + kAskAgain;
  if (!grants.ok()) return false;
  for (const core::ClusterGrant& grant : *grants) {
    shared_.swap.AddCluster(grant);
  }
  full_.store(false, std::memory_order_release);
  return true;
}

bool ClusterSupply::Refill(SteadyTime until) {
  const uint64_t seen = attempts_.load(std::memory_order_relaxed);
  MutexLock lock(&mu_);
  if (shared_.swap.free_clusters() > 0) return true;
  // Whoever held the lock meanwhile asked for all who waited for it: each may
  // have waited as long as the servers did not answer.
  if (attempts_.load(std::memory_order_relaxed) == seen) {
    const bool granted = Grant(until);
    attempts_.store(seen + 1, std::memory_order_relaxed);
    if (granted) return true;
  }
  if (refused_) full_.store(true, std::memory_order_release);
  return refused_ && DropCleanCopies(/*within=*/nullptr);
}

bool ClusterSupply::DropCleanCopies(const core::MemoryGroup* within) {
  bool dropped = false;
  for (core::Folio* folio :
       shared_.swap.CollectCachedOnly(kDropBatch, within)) {
    {
      MutexLock lock(shared_.LockOf(RegionOf(folio), folio->index));
      if (folio->mapped && folio->has_swap && !folio->writeback) {
        dropped |= shared_.swap.FolioFreeSwap(folio);
      }
    }
    shared_.folios.Put(folio);
  }
  return dropped;
}

void ClusterSupply::Balance() {
  if (shared_.swap.clusters() == 0) return;  // Nothing was ever taken out.
  const size_t free = shared_.swap.free_clusters();
  if (free < kLowClusters) {
    MutexLock lock(&mu_);
    Grant(Now() + kGrantWait);  // If not, reclaim asks again when it must.
    return;
  }
  full_.store(false, std::memory_order_release);
  if (free > kManyClusters || !returning_.empty()) ReturnSurplus();
}

void ClusterSupply::ReturnSurplus() {
  if (returning_.empty()) {
    returning_ = shared_.swap.RemoveFreeClusters(kGrantBatch, kGrantBatch);
  }
  // A server that does not answer is asked again, and no more are taken out
  // meanwhile: what it holds for nobody is at most this much.
  const absl::Status freed =
      shared_.transport->FreeClusters(returning_, Now() + kGrantWait);
  if (freed.ok() || absl::IsDataLoss(freed)) returning_.clear();
}

}  // namespace farswap::pager
