#include "client/launcher/run/memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "client/launcher/run/fd.h"

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

TEST(MemoryTest, WhatIsWrittenCounts) {
  const Fd statm(open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  const uint64_t before = PrivateBytes(statm.get());
  const size_t size = 64 * kMiB;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memset(memory, 1, size);
  // The kernel counts in batches.
  EXPECT_GT(PrivateBytes(statm.get()), before + size - 2 * kMiB);
  munmap(memory, size);
  EXPECT_LT(PrivateBytes(statm.get()), before + 2 * kMiB);
}

TEST(MemoryTest, NothingIsKnownOfWhatIsNotThere) {
  EXPECT_EQ(PrivateBytes(-1), 0U);
  const Fd empty(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(PrivateBytes(empty.get()), 0U);
}

}  // namespace
}  // namespace farswap::launcher
