#include "server/cluster_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>

namespace farswap::server {
namespace {

using std::chrono::milliseconds;

Clock::Time Soon() {
  return std::chrono::steady_clock::now() + milliseconds(20);
}
Clock::Time Later() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(20);
}

TEST(ClusterAllocatorTest, HandsOutFromTheLowestUpToTheCapacity) {
  ClusterAllocator allocator(5);
  EXPECT_EQ(allocator.Take(3), (std::vector<uint64_t>{0, 1, 2}));
  EXPECT_EQ(allocator.Take(3), (std::vector<uint64_t>{3, 4}));
  EXPECT_TRUE(allocator.Take(1).empty());
  allocator.Return(1);
  EXPECT_EQ(allocator.Take(2), (std::vector<uint64_t>{1}));
}

TEST(ClusterAllocatorTest, OnlyTheOwnerAtItsGenerationPins) {
  ClusterAllocator allocator(4);
  allocator.Take(1);
  EXPECT_FALSE(allocator.Pin(0, 0, 0));  // Taken, not granted.
  allocator.Grant({7, 1, 0, 50});
  EXPECT_TRUE(allocator.Pin(0, 50, 7));
  EXPECT_FALSE(allocator.Pin(0, 50, 8));
  EXPECT_FALSE(allocator.Pin(0, 49, 7));
  EXPECT_FALSE(allocator.Pin(0, 0, 7));
  EXPECT_FALSE(allocator.Pin(1, 50, 7));
  EXPECT_FALSE(allocator.Pin(uint64_t{1} << 40, 50, 7));
  EXPECT_FALSE(allocator.Pin(~uint64_t{0}, 50, 7));
  EXPECT_TRUE(allocator.IsPinned(0));
  allocator.Unpin(0);
  EXPECT_FALSE(allocator.IsPinned(0));
}

TEST(ClusterAllocatorTest, ARetiredClusterWaitsForItsLastPin) {
  ClusterAllocator allocator(4);
  const std::vector<uint64_t> clusters = allocator.Take(1);
  allocator.Grant({7, 1, 0, 50});
  ASSERT_TRUE(allocator.Pin(0, 50, 7));
  EXPECT_FALSE(allocator.Retire(0, 49, 7).has_value());
  EXPECT_FALSE(allocator.Retire(0, 50, 8).has_value());
  ASSERT_TRUE(allocator.Retire(0, 50, 7).has_value());
  EXPECT_FALSE(allocator.Retire(0, 50, 7).has_value());
  EXPECT_FALSE(allocator.Pin(0, 50, 7));
  EXPECT_FALSE(allocator.AwaitUnpinned(clusters, Soon()));
  std::thread last([&] { allocator.Unpin(0); });
  EXPECT_TRUE(allocator.AwaitUnpinned(clusters, Later()));
  last.join();
  allocator.Return(0);
  allocator.CheckInvariants();
}

TEST(ClusterAllocatorTest, RestoresGrantsAndEmptiesTheRest) {
  ClusterAllocator allocator(10);
  allocator.Restore({7, 1, 2, 50});
  allocator.Restore({7, 1, 5, 51});
  std::vector<std::pair<uint64_t, uint64_t>> emptied;
  allocator.EndRestore([&](uint64_t first, uint64_t count) {
    emptied.emplace_back(first, count);
  });
  EXPECT_EQ(emptied, (std::vector<std::pair<uint64_t, uint64_t>>{
                         {0, 2}, {3, 2}, {6, 4}}));
  EXPECT_TRUE(allocator.Owns({7, 1, 5, 51}));
  const std::vector<uint64_t> rest = allocator.Take(100);
  EXPECT_EQ(std::set<uint64_t>(rest.begin(), rest.end()),
            (std::set<uint64_t>{0, 1, 3, 4, 6, 7, 8, 9}));
}

TEST(ClusterAllocatorTest, RestoresAClusterForOneOwnerOnly) {
  ClusterAllocator allocator(10);
  EXPECT_TRUE(allocator.Restore({7, 1, 2, 50}));
  EXPECT_FALSE(allocator.Restore({8, 1, 2, 51}));
  EXPECT_FALSE(allocator.Restore({8, 1, 3, 0}));
  EXPECT_TRUE(allocator.Owns({7, 1, 2, 50}));
  EXPECT_EQ(allocator.granted(), 1u);
  allocator.CheckInvariants();
}

TEST(ClusterAllocatorTest, CostsAtMost48BytesAGrantedClusterWhateverTheSize) {
  ClusterAllocator allocator(uint64_t{1} << 29);
  EXPECT_EQ(allocator.allocated_bytes(), 0u);
  constexpr uint64_t kGranted = 64 << 10;
  for (const uint64_t cluster : allocator.Take(kGranted)) {
    allocator.Grant({7, 1, cluster, cluster + 1});
  }
  EXPECT_LE(allocator.allocated_bytes(), kGranted * 48);
}

TEST(ClusterAllocatorTest, AgreesWithANaiveModel) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  ClusterAllocator allocator(64);
  std::map<uint64_t, GrantRecord> owned;
  uint64_t generation = 1;
  for (int step = 0; step < 5000; ++step) {
    const uint64_t session = 1 + random() % 4;
    if (random() % 2 == 0) {
      for (const uint64_t cluster : allocator.Take(1 + random() % 8)) {
        ASSERT_EQ(owned.count(cluster), 0u);
        owned[cluster] = {session, step + 1ul, cluster, generation++};
        allocator.Grant(owned[cluster]);
      }
    } else if (random() % 16 == 0) {
      for (const GrantRecord& grant : allocator.RetireAll(session)) {
        ASSERT_EQ(owned[grant.cluster], grant);
        owned.erase(grant.cluster);
        allocator.Return(grant.cluster);
      }
    } else if (!owned.empty()) {
      const GrantRecord grant =
          std::next(owned.begin(), random() % owned.size())->second;
      ASSERT_EQ(
          allocator.Retire(grant.cluster, grant.generation, grant.session),
          grant);
      owned.erase(grant.cluster);
      allocator.Return(grant.cluster);
    }
    ASSERT_EQ(allocator.granted(), owned.size());
    allocator.CheckInvariants();
  }
}

// Readers write the cluster's owner into "its bytes" while it is pinned; the
// other thread takes it away and gives it to the next. A pin that did not
// hold would be seen as another owner's value, and by TSan as a race.
TEST(ClusterAllocatorTest, APinHoldsAgainstAConcurrentFree) {
  ClusterAllocator allocator(1);
  int bytes = 0;
  std::atomic<uint64_t> current{0};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> pins{0};
  std::thread user([&] {
    while (!stop) {
      const uint64_t generation = current;
      if (!allocator.Pin(0, generation, 7)) continue;
      EXPECT_EQ(bytes, static_cast<int>(generation));
      ++pins;
      allocator.Unpin(0);
    }
  });
  for (uint64_t generation = 1; generation <= 2000; ++generation) {
    const std::vector<uint64_t> clusters = allocator.Take(1);
    ASSERT_EQ(clusters.size(), 1u);
    bytes = static_cast<int>(generation);
    allocator.Grant({7, 1, 0, generation});
    current = generation;
    // Every fourth is used before it goes, the others if it so happens.
    const uint64_t before = pins;
    while (generation % 4 == 0 && pins == before) std::this_thread::yield();
    ASSERT_TRUE(allocator.Retire(0, generation, 7).has_value());
    ASSERT_TRUE(allocator.AwaitUnpinned(clusters, Later()));
    bytes = -1;
    allocator.Return(0);
  }
  stop = true;
  user.join();
  EXPECT_GE(pins, 500u);
}

}  // namespace
}  // namespace farswap::server
