// How long the stages of a fault take: histograms that cost two atomic adds
// and, to time a scope, two readings of the clock. In shards by thread, so
// that workers do not share cache lines; summed up when somebody asks.
//
// The stages, in the order of a fault's life:
//   queue    from the message read to the worker that serves it
//   rpc      a get, its retries included; hashing what arrives, while it is in
//            the processor's cache, is within it
//   verify   the hashes folded to checksums, and compared
//   install  COPY or MOVE under the block's lock, and the wake in it
//   total    from the message read to the threads woken
// Before them comes the trap, from the touch to the message read: the kernel
// says of no fault when it was, so it is measured from the program's side
// (tests/bench), not here.
//
// Thread-safe.
#ifndef FARSWAP_CLIENT_PAGER_STAGES_H_
#define FARSWAP_CLIENT_PAGER_STAGES_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "common/units.h"

namespace farswap::pager {

// Upper bounds in microseconds: from what memory costs to a lost server.
inline constexpr std::array<uint32_t, 18> kStageBoundsUs = {
    5,      10,     20,      50,        100,        200,
    400,    800,    1'500,   3'000,     6'000,      12'000,
    25'000, 50'000, 100'000, 1'000'000, 10'000'000, 60'000'000};

struct StageSnapshot {
  // Of the bucket alone; the last one has no bound.
  std::array<uint64_t, kStageBoundsUs.size() + 1> buckets{};
  uint64_t count = 0;
  uint64_t sum_ns = 0;
};

class StageHistogram {
 public:
  void Record(std::chrono::nanoseconds took) {
    const auto ns = static_cast<uint64_t>(std::max<int64_t>(took.count(), 0));
    Shard& shard = shards_[ShardOfThread()];
    shard.buckets[BucketOf(ns)].fetch_add(1, std::memory_order_relaxed);
    shard.sum_ns.fetch_add(ns, std::memory_order_relaxed);
  }

  // The sum may be ahead of, or behind, the counts by what is being recorded.
  StageSnapshot Snapshot() const {
    StageSnapshot sum;
    for (const Shard& shard : shards_) {
      for (size_t i = 0; i < sum.buckets.size(); ++i) {
        const uint64_t n = shard.buckets[i].load(std::memory_order_relaxed);
        sum.buckets[i] += n;
        sum.count += n;
      }
      sum.sum_ns += shard.sum_ns.load(std::memory_order_relaxed);
    }
    return sum;
  }

 private:
  // More than processors that serve faults at a time would gain nothing.
  static constexpr size_t kShards = 8;

  struct alignas(64) Shard {
    std::array<std::atomic<uint64_t>, kStageBoundsUs.size() + 1> buckets{};
    std::atomic<uint64_t> sum_ns{0};
  };

  static size_t ShardOfThread() {
    static std::atomic<size_t> threads{0};
    static thread_local const size_t shard =
        threads.fetch_add(1, std::memory_order_relaxed) % kShards;
    return shard;
  }
  static size_t BucketOf(uint64_t ns) {
    const auto bound =
        std::lower_bound(kStageBoundsUs.begin(), kStageBoundsUs.end(), ns,
                         [](uint32_t bound_us, uint64_t value_ns) {
                           return uint64_t{bound_us} * 1000 < value_ns;
                         });
    return static_cast<size_t>(bound - kStageBoundsUs.begin());
  }

  std::array<Shard, kShards> shards_;
};

// Records how long the scope took.
class StageTimer {
 public:
  explicit StageTimer(StageHistogram* stage) : stage_(*stage) {}
  ~StageTimer() { stage_.Record(std::chrono::steady_clock::now() - start_); }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  StageHistogram& stage_;
  const std::chrono::steady_clock::time_point start_ =
      std::chrono::steady_clock::now();
};

using StagesByOrder = std::array<StageHistogram, kOrders>;

struct Stages {
  StageHistogram queue;
  StagesByOrder rpc;
  StagesByOrder verify;
  StagesByOrder install;
  StageHistogram total;
};

struct StageStats {
  using ByOrder = std::array<StageSnapshot, kOrders>;

  StageSnapshot queue;
  ByOrder rpc;
  ByOrder verify;
  ByOrder install;
  StageSnapshot total;
};

StageStats SnapshotOf(const Stages& stages);

}  // namespace farswap::pager

#endif  // FARSWAP_CLIENT_PAGER_STAGES_H_
