#include "client/pager/stages.h"

#include <numeric>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace farswap::pager {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

TEST(StageHistogramTest, ABoundBelongsToItsBucket) {
  StageHistogram stage;
  stage.Record(nanoseconds(0));
  stage.Record(microseconds(5));
  stage.Record(microseconds(5) + nanoseconds(1));
  stage.Record(std::chrono::seconds(60));
  stage.Record(std::chrono::seconds(61));
  stage.Record(nanoseconds(-1));  // A clock that was read in two places.
  const StageSnapshot seen = stage.Snapshot();
  EXPECT_EQ(seen.count, 6u);
  EXPECT_EQ(seen.buckets[0], 3u);
  EXPECT_EQ(seen.buckets[1], 1u);
  EXPECT_EQ(seen.buckets[kStageBoundsUs.size() - 1], 1u);
  EXPECT_EQ(seen.buckets[kStageBoundsUs.size()], 1u);
  EXPECT_EQ(seen.sum_ns, 121'000'010'001u);
}

TEST(StageHistogramTest, NothingIsLostBetweenThreads) {
  StageHistogram stage;
  constexpr int kThreads = 20;  // More than there are shards.
  constexpr int kEach = 1000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) stage.Record(microseconds(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const StageSnapshot seen = stage.Snapshot();
  EXPECT_EQ(seen.count, uint64_t{kThreads} * kEach);
  EXPECT_EQ(seen.sum_ns, uint64_t{kThreads} * kEach * (kEach - 1) / 2 * 1000);
  // 801 .. 999 us, of each thread.
  EXPECT_EQ(seen.buckets[8], uint64_t{kThreads} * 199);
}

TEST(StageTimerTest, RecordsItsScope) {
  Stages stages;
  { const StageTimer timer(&stages.rpc[9]); }
  const StageStats stats = SnapshotOf(stages);
  EXPECT_EQ(stats.rpc[9].count, 1u);
  EXPECT_EQ(stats.rpc[0].count + stats.install[9].count, 0u);
}

}  // namespace
}  // namespace farswap::pager
