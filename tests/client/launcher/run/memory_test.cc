#include "client/launcher/run/memory.h"

#include <gtest/gtest.h>

namespace farswap::launcher {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(MemoryTest, ThePagerIsThereBeforeTheLimitIs) {
  EXPECT_EQ(PagerThreshold(64 * kMiB), 8 * kMiB);
  EXPECT_EQ(PagerThreshold(512 * kMiB), 64 * kMiB);
  EXPECT_EQ(PagerThreshold(600 * kMiB), 88 * kMiB);
  EXPECT_EQ(PagerThreshold(1024 * kMiB), 512 * kMiB);
  EXPECT_EQ(PagerThreshold(8192 * kMiB), 4096 * kMiB);
}

TEST(MemoryTest, TheNextLookIsBeforeTheThresholdCanBeReached) {
  EXPECT_EQ(NextLook(0, 100'000'000).count(), 25);
  EXPECT_EQ(NextLook(99'000'000, 100'000'000).count(), 2);
  EXPECT_EQ(NextLook(2, 1).count(), 2);
  EXPECT_EQ(NextLook(0, uint64_t{1} << 40).count(), 100);
}

TEST(MemoryTest, ThereIsAPagerBeforeProcessesAreHeld) {
  for (const uint64_t mib : {16, 64, 512, 600, 1024, 8192}) {
    EXPECT_LT(PagerThreshold(mib * kMiB), FarThreshold(mib * kMiB)) << mib;
  }
  EXPECT_EQ(FarThreshold(64 * kMiB), 32 * kMiB);
  EXPECT_EQ(FarThreshold(1024 * kMiB), 768 * kMiB);
}

}  // namespace
}  // namespace farswap::launcher
