// The pager over real page faults: userfaultfd, huge pages, moves; only the
// memory server is the test's own.
#include "client/pager/pager.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "tests/client/pager/pager_fixture.h"

namespace farswap::pager {
namespace {

TEST_F(PagerTest, FreshPagesAreZero) {
  Start(32 * kMiB);
  const char* const at = AddRegion(16 * kMiB);
  for (uint64_t i = 0; i < 16 * kMiB; i += kPageBytes) ASSERT_EQ(at[i], 0);
  EXPECT_EQ(pager_->Stats().swpin_bytes, 0u);
}

TEST_F(PagerTest, EveryPageComesBackAsWritten) {
  Start(32 * kMiB);
  const uint64_t bytes = 128 * kMiB;
  char* const at = AddRegion(bytes);
  const uint64_t pages = bytes / kPageBytes;
  for (uint64_t p = 0; p < pages; ++p) FillPage(at + p * kPageBytes, p);
  for (int pass = 0; pass < 3; ++pass) {
    for (uint64_t p = 0; p < pages; ++p) {
      ASSERT_TRUE(PageIs(at + p * kPageBytes, p)) << "page " << p;
    }
  }
  const PagerStats stats = pager_->Stats();
  EXPECT_GT(stats.swpin[kPmdOrder], 0u);
  EXPECT_GT(stats.swpout_clean, 0u);
  // The limit, and what came back from staging without asking.
  EXPECT_LE(stats.resident_peak_bytes, (32 + 32) * kMiB);
  EXPECT_GE(stats.remote_bytes, 96 * kMiB);
  EXPECT_EQ(stats.pages_lost, 0u);
}

TEST_F(PagerTest, SequentialPassComesBackWholeAndHuge) {
  Start(64 * kMiB);
  const uint64_t bytes = 256 * kMiB;
  char* const at = AddRegion(bytes);
  const uint64_t pages = bytes / kPageBytes;
  for (uint64_t p = 0; p < pages; ++p) FillPage(at + p * kPageBytes, p);
  const PagerStats before = pager_->Stats();
  uint64_t huge_kib = 0;
  for (uint64_t p = 0; p < pages; ++p) {
    ASSERT_TRUE(PageIs(at + p * kPageBytes, p)) << "page " << p;
    if (p % (16 * kPagesPerPmd) == 0) {
      huge_kib = std::max(huge_kib, SmapsKiB(at, "AnonHugePages"));
    }
  }
  const PagerStats after = pager_->Stats();
  const uint64_t whole = after.swpin[kPmdOrder] - before.swpin[kPmdOrder];
  EXPECT_GE(whole * kPmdBytes,
            (after.swpin_bytes - before.swpin_bytes) * 95 / 100);
  EXPECT_GE(after.thp_swpin - before.thp_swpin, whole * 95 / 100);
  EXPECT_GE(huge_kib, 16 * 1024u);
}

TEST_F(PagerTest, ALimitChangesWhileThePagesAreInUse) {
  Start(48 * kMiB);
  const uint64_t bytes = 64 * kMiB;
  char* const at = AddRegion(bytes);
  const auto expect_filled = [&] {
    for (uint64_t p = 0; p < bytes / kPageBytes; ++p) {
      ASSERT_TRUE(PageIs(at + p * kPageBytes, p)) << "page " << p;
    }
  };
  for (uint64_t p = 0; p < bytes / kPageBytes; ++p) {
    FillPage(at + p * kPageBytes, p);
  }
  EXPECT_GT(pager_->Stats().resident_bytes, 32 * kMiB);
  // Too small: nothing changes.
  EXPECT_EQ(pager_->SetGroupLimit(group_, kMinGroupBytes - 1).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(group_->limit(), 48 * kMiB / kPageBytes);
  EXPECT_FALSE(pager_->SetGroupLimit(nullptr, 48 * kMiB).ok());
  // Lower: nobody faults, and reclaim gets there.
  ASSERT_TRUE(pager_->SetGroupLimit(group_, 12 * kMiB).ok());
  EXPECT_TRUE(
      Eventually([&] { return pager_->Stats().resident_bytes <= 12 * kMiB; }));
  expect_filled();
  EXPECT_LE(pager_->Stats().resident_bytes, (12 + 32) * kMiB);
  // Higher: all of it fits.
  ASSERT_TRUE(pager_->SetGroupLimit(group_, 96 * kMiB).ok());
  expect_filled();
  // The last block is read as soon as it is mapped, and counted then.
  EXPECT_TRUE(
      Eventually([&] { return pager_->Stats().resident_bytes == bytes; }));
}

TEST_F(PagerTest, RandomWritesAndReadsFromFourThreads) {
  Start(24 * kMiB);
  const uint64_t bytes = 96 * kMiB;
  char* const at = AddRegion(bytes);
  constexpr int kThreads = 4;
  const uint64_t pages = bytes / kPageBytes / kThreads;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      // Pages are dealt out one by one, so that blocks and parts are shared.
      std::vector<uint64_t> stamps(pages, 0);
      std::mt19937_64 random(t);
      for (int i = 0; i < 20000; ++i) {
        const uint64_t p = random() % pages;
        char* const page = at + (p * kThreads + t) * kPageBytes;
        if (stamps[p] != 0 && !PageIs(page, stamps[p])) ++wrong;
        if (random() % 2 == 0) FillPage(page, stamps[p] = random() | 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(pager_->Stats().faults_failed, 0u);
}

// As sandboxes do. Seen to hang while readers polled, which is refused then.
TEST_F(PagerTest, AProgramMayAllowItselfNoDescriptors) {
  Start(8 * kMiB);
  char* const at = AddRegion(32 * kMiB);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  for (uint64_t p = 0; p < 32 * kMiB; p += kPageBytes) FillPage(at + p, p + 1);
  for (uint64_t p = 0; p < 32 * kMiB; p += kPageBytes) {
    EXPECT_TRUE(PageIs(at + p, p + 1));
  }
  EXPECT_EQ(munmap(at, 2 * kMiB), 0);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace farswap::pager
