// The program's own map changes, against the pager and the real kernel.
#include "client/pager/map_changes.h"

#include <sys/mman.h>

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "tests/client/pager/map_fixture.h"

namespace farswap::pager {
namespace {

using MapChangesTest = MapFixture;

TEST_F(MapChangesTest, DiscardedPagesAreZerosWhereverTheyWere) {
  Start(32 * kMiB);
  char* const at = AddRegion(8 * kMiB);
  Fill(at, 0, 2048);
  // Mapped: a part of a PMD folio, a whole block, across blocks.
  ASSERT_EQ(Discard(at, 10, 3), 0);
  ASSERT_EQ(Discard(at, 512, 512), 0);
  ASSERT_EQ(Discard(at, 1500, 100), 0);
  ExpectZeros(at, 10, 3);
  ExpectZeros(at, 512, 512);
  ExpectZeros(at, 1500, 100);
  ExpectFilled(at, 0, 10);
  ExpectFilled(at, 13, 499);
  ExpectFilled(at, 1024, 476);
  ExpectFilled(at, 1600, 448);
}

TEST_F(MapChangesTest, DiscardedWhileRemote) {
  Start(32 * kMiB);
  char* const at = AddRegion(8 * kMiB);
  Fill(at, 0, 2048);
  PushOut(regions_[0]);
  const uint64_t remote = pager_->Stats().remote_bytes;
  ASSERT_EQ(Discard(at, 10, 3), 0);
  ASSERT_EQ(Discard(at, 512, 512), 0);
  EXPECT_TRUE(EventuallyRemote(remote - 515 * kPageBytes));
  ExpectZeros(at, 10, 3);
  ExpectZeros(at, 512, 512);
  ExpectFilled(at, 0, 10);
  ExpectFilled(at, 13, 499);
  ExpectFilled(at, 1024, 1024);
}

TEST_F(MapChangesTest, DiscardedOnTheWayOut) {
  Start(32 * kMiB);
  char* const at = AddRegion(4 * kMiB);
  Fill(at, 0, 1024);
  transport_->Hold(Call::kPut);
  ASSERT_TRUE(pager_->PageOut(regions_[0]).ok());
  ASSERT_TRUE(transport_->WaitHeld(Call::kPut, 1));
  ASSERT_EQ(Discard(at, 100, 50), 0);
  ExpectZeros(at, 100, 50);
  // The rest of the folio is in staging, and no server is needed for it.
  ExpectFilled(at, 0, 100);
  ExpectFilled(at, 150, 362);
  transport_->Release(Call::kPut);
  ExpectFilled(at, 512, 512);
}

TEST_F(MapChangesTest, WhatADiscardLeavesCanBeWrittenAndComesBack) {
  Start(8 * kMiB);
  char* const at = AddRegion(32 * kMiB);
  Fill(at, 0, 8192);
  ASSERT_EQ(Discard(at, 1000, 3000), 0);
  Fill(at, 2000, 1000, /*salt=*/7777777);
  for (int pass = 0; pass < 3; ++pass) {
    ExpectFilled(at, 0, 1000);
    ExpectZeros(at, 1000, 1000);
    ExpectFilled(at, 2000, 1000, /*salt=*/7777777);
    ExpectZeros(at, 3000, 1000);
    ExpectFilled(at, 4000, 4192);
  }
}

TEST_F(MapChangesTest, FreedPagesStayAccountedFor) {
  Start(32 * kMiB);
  char* const at = AddRegion(8 * kMiB);
  Fill(at, 0, 2048);
  ASSERT_EQ(Discard(at, 0, 1024, MADV_FREE), 0);
  // They are there until the kernel wants them; after a while the pager knows.
  const uint64_t rss = SmapsKiB(at, "Rss") * 1024;
  EXPECT_TRUE(Eventually([&] {
    pager_->PageOut(regions_[0]).IgnoreError();
    return SmapsKiB(at, "Rss") == 0;
  })) << "of "
      << rss << " bytes, not all were taken out";
  ExpectFilled(at, 1024, 1024);
}

// More at a time than are remembered one by one.
TEST_F(MapChangesTest, PagesFreedInManyPiecesStayAccountedFor) {
  constexpr uint64_t kPages = 16384;
  Start(96 * kMiB);
  char* const at = AddRegion(kPages * kPageBytes);
  Fill(at, 0, kPages);
  for (uint64_t p = 0; p < kPages; p += 2) {
    ASSERT_EQ(Discard(at, p, 1, MADV_FREE), 0);
  }
  EXPECT_TRUE(Eventually([&] {
    pager_->PageOut(regions_[0]).IgnoreError();
    return SmapsKiB(at, "Rss") == 0;
  })) << SmapsKiB(at, "Rss")
      << " KiB were never taken out";
  for (uint64_t p = 1; p < kPages; p += 2) ExpectFilled(at, p, 1);
}

TEST_F(MapChangesTest, FreedPagesThatAreUsedAgainKeepWhatIsWritten) {
  Start(32 * kMiB);
  char* const at = AddRegion(2 * kMiB);
  // Small pages, so that the block has a table.
  ASSERT_EQ(mprotect(at, kPageBytes, PROT_READ), 0);
  ASSERT_EQ(mprotect(at, kPageBytes, PROT_READ | PROT_WRITE), 0);
  Fill(at, 0, 512);
  PushOut(regions_[0]);
  // Its first page is here, the others are not.
  ASSERT_EQ(Discard(at, 1, 511), 0);
  ExpectFilled(at, 0, 1);
  ASSERT_EQ(Discard(at, 0, 512, MADV_FREE), 0);
  FillPage(at, 77);
  ExpectZeros(at, 400, 1);  // A first touch of the block, to the pager.
  ASSERT_TRUE(PageIs(at, 77));
}

TEST_F(MapChangesTest, UnmappedPagesAreGoneAndTheirSlotsFree) {
  Start(32 * kMiB);
  char* const at = AddRegion(8 * kMiB);
  Fill(at, 0, 2048);
  PushOut(regions_[0]);
  const uint64_t remote = pager_->Stats().remote_bytes;
  ASSERT_EQ(munmap(at + 600 * kPageBytes, 300 * kPageBytes), 0);
  EXPECT_TRUE(EventuallyRemote(remote - 300 * kPageBytes));
  ExpectFilled(at, 0, 600);
  ExpectFilled(at, 900, 1148);
}

TEST_F(MapChangesTest, WhatIsMappedIntoAHoleIsTheProgramsOwn) {
  Start(8 * kMiB);
  char* const at = AddRegion(32 * kMiB);
  Fill(at, 0, 8192);
  char* const hole = at + 1000 * kPageBytes;
  ASSERT_EQ(munmap(hole, 1000 * kPageBytes), 0);
  ASSERT_EQ(mmap(hole, 1000 * kPageBytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
            hole);
  Fill(at, 1000, 1000, /*salt=*/55);
  for (int pass = 0; pass < 3; ++pass) {
    ExpectFilled(at, 0, 1000);
    ExpectFilled(at, 1000, 1000, /*salt=*/55);
    ExpectFilled(at, 2000, 6192);
  }
  // Destroying the region leaves it alone.
  ASSERT_TRUE(pager_->DestroyRegion(regions_[0]).ok());
  regions_.clear();
  ExpectFilled(at, 1000, 1000, /*salt=*/55);
  munmap(hole, 1000 * kPageBytes);
}

TEST_F(MapChangesTest, ProtectedAndLockedPagesComeAndStay) {
  Start(8 * kMiB);
  char* const at = AddRegion(32 * kMiB);
  Fill(at, 0, 8192);
  ASSERT_EQ(mprotect(at + 1000 * kPageBytes, 500 * kPageBytes, PROT_READ), 0);
  ASSERT_EQ(mlock(at + 3000 * kPageBytes, 100 * kPageBytes), 0);
  for (int pass = 0; pass < 2; ++pass) ExpectFilled(at, 0, 8192);
  ASSERT_EQ(munlock(at + 3000 * kPageBytes, 100 * kPageBytes), 0);
  ASSERT_EQ(mprotect(at + 1000 * kPageBytes, 500 * kPageBytes,
                     PROT_READ | PROT_WRITE),
            0);
  Fill(at, 1000, 500, /*salt=*/3);
  ExpectFilled(at, 1000, 500, /*salt=*/3);
}

TEST_F(MapChangesTest, DiscardsWhileEverythingMoves) {
  Start(8 * kMiB);
  constexpr int kThreads = 4;
  constexpr uint64_t kPages = 2048;  // Each its own, in shared blocks.
  char* const at = AddRegion(kThreads * kPages * kPageBytes);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      std::vector<uint64_t> stamps(kPages, 0);  // 0: zeros.
      const auto page = [&](uint64_t p) {
        return at + (p / 64 * 64 * kThreads + t * 64 + p % 64) * kPageBytes;
      };
      static const char zeros[kPageBytes] = {};
      for (int i = 0; i < 6000; ++i) {
        const uint64_t p = random() % kPages;
        const bool right = stamps[p] == 0
                               ? std::memcmp(page(p), zeros, kPageBytes) == 0
                               : PageIs(page(p), stamps[p]);
        if (!right) ++wrong;
        if (random() % 8 == 0) {
          const uint64_t count =
              std::min<uint64_t>(1 + random() % 16, 64 - p % 64);
          madvise(page(p), count * kPageBytes, MADV_DONTNEED);
          for (uint64_t q = p; q < p + count; ++q) stamps[q] = 0;
        } else if (random() % 2 == 0) {
          FillPage(page(p), stamps[p] = random() | 1);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

}  // namespace
}  // namespace farswap::pager
