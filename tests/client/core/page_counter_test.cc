#include "client/core/page_counter.h"

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/client/core/swap_kit.h"

namespace farswap::core {
namespace {

TEST(PageCounterTest, ChargesAllTheWayUp) {
  PageCounter root(100, nullptr);
  PageCounter middle(PageCounter::kNoLimit, &root);
  PageCounter leaf(50, &middle);
  EXPECT_EQ(leaf.TryCharge(50), nullptr);
  EXPECT_EQ(root.usage(), 50u);
  EXPECT_EQ(middle.usage(), 50u);
  EXPECT_EQ(leaf.TryCharge(1), &leaf);
  leaf.Uncharge(20);
  EXPECT_EQ(root.usage(), 30u);
  EXPECT_EQ(root.peak(), 50u);
}

TEST(PageCounterTest, ARefusalAboveLeavesNothingBelow) {
  PageCounter root(100, nullptr);
  PageCounter middle(PageCounter::kNoLimit, &root);
  PageCounter leaf(PageCounter::kNoLimit, &middle);
  ASSERT_EQ(middle.TryCharge(80), nullptr);
  EXPECT_EQ(leaf.TryCharge(21), &root);
  EXPECT_EQ(leaf.usage(), 0u);
  EXPECT_EQ(middle.usage(), 80u);
  // What was refused was never there.
  EXPECT_EQ(leaf.peak(), 0u);
  EXPECT_EQ(middle.peak(), 80u);
  EXPECT_EQ(leaf.TryCharge(20), nullptr);
  EXPECT_EQ(root.usage(), 100u);
}

TEST(PageCounterTest, ALowerLimitRefusesUntilEnoughWasUncharged) {
  PageCounter root(100, nullptr);
  PageCounter leaf(100, &root);
  ASSERT_EQ(leaf.TryCharge(90), nullptr);
  root.SetLimit(50);
  EXPECT_EQ(leaf.TryCharge(1), &root);
  leaf.Uncharge(41);
  EXPECT_EQ(leaf.TryCharge(1), nullptr);
  EXPECT_EQ(leaf.TryCharge(1), &root);
  root.SetLimit(51);
  EXPECT_EQ(leaf.TryCharge(1), nullptr);
}

TEST(PageCounterTest, ChargePassesAnyLimit) {
  PageCounter root(10, nullptr);
  PageCounter leaf(5, &root);
  leaf.Charge(20);
  EXPECT_EQ(root.usage(), 20u);
  EXPECT_EQ(leaf.peak(), 20u);
  EXPECT_EQ(leaf.TryCharge(0), &leaf);
  leaf.Uncharge(20);
  EXPECT_EQ(leaf.TryCharge(0), nullptr);
}

TEST(PageCounterTest, HugeRequestsAreRefused) {
  PageCounter root(PageCounter::kNoLimit, nullptr);
  PageCounter leaf(PageCounter::kNoLimit, &root);
  ASSERT_EQ(leaf.TryCharge(1), nullptr);
  EXPECT_EQ(leaf.TryCharge(UINT64_MAX), &leaf);
  EXPECT_EQ(leaf.TryCharge(PageCounter::kNoLimit), &leaf);
}

// Two leaves under a root that is too small for both: no counter is ever seen
// over its limit, nothing is lost, and the limit can be used up to its end.
TEST(PageCounterRaceTest, LimitsHoldAndChargesAreConserved) {
  const uint64_t seed = TestSeed();
  const int rounds = LongTest() ? 2'000'000 : 30'000;
  PageCounter root(100, nullptr);
  PageCounter leaves[] = {{70, &root}, {70, &root}};
  std::atomic<uint64_t> held{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(seed + thread);
      PageCounter& leaf = leaves[thread % 2];
      uint64_t mine = 0;
      for (int i = 0; i < rounds; ++i) {
        const uint64_t pages = 1 + random() % 40;
        const PageCounter* over = leaf.TryCharge(pages);
        ASSERT_TRUE(over == nullptr || over == &leaf || over == &root);
        if (over == nullptr) {
          mine += pages;
          ASSERT_LE(held.fetch_add(pages) + pages, 100u);
        }
        ASSERT_LE(leaf.usage(), 70u);
        ASSERT_LE(root.usage(), 100u);
        if (over == nullptr && random() % 4 != 0) continue;
        // Given up before it is uncharged, so `held` is never too much.
        held.fetch_sub(mine);
        leaf.Uncharge(mine);
        mine = 0;
      }
      held.fetch_sub(mine);
      leaf.Uncharge(mine);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(root.usage(), 0u);
  EXPECT_LE(root.peak(), 100u);
  EXPECT_GT(root.peak(), 60u);
  EXPECT_EQ(leaves[0].usage() + leaves[1].usage(), 0u);
}

}  // namespace
}  // namespace farswap::core
