#include "client/launcher/process/private_bytes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "client/pager/own_fd.h"

namespace farswap::launcher {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST(PrivateBytesTest, WhatIsWrittenCounts) {
  const pager::OwnFd statm(open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
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

TEST(PrivateBytesTest, NothingIsKnownOfWhatIsNotThere) {
  EXPECT_EQ(PrivateBytes(-1), 0U);
  const pager::OwnFd empty(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(PrivateBytes(empty.get()), 0U);
}

}  // namespace
}  // namespace farswap::launcher
