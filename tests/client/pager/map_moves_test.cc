// The program's moves (mremap), against the pager and the real kernel.
#include <sys/mman.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "client/pager/hints.h"
#include "tests/client/pager/map_fixture.h"

// Linux 5.7.
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace farswap::pager {
namespace {

class MapMovesTest : public MapFixture {
 protected:
  // False: somebody is there.
  static bool Reserve(char* at, uint64_t pages) {
    return mmap(at, pages * kPageBytes, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at;
  }
  static char* MoveAnywhere(char* from, uint64_t pages) {
    // Not in place: where it may not stay it goes.
    return static_cast<char*>(
        mremap(from, pages * kPageBytes, pages * kPageBytes,
               MREMAP_MAYMOVE | MREMAP_DONTUNMAP, nullptr));
  }
};

// 32 MiB of far memory of which 8 are local, a part moved; all is read again
// and again, so that it goes out and comes back where it is now.
struct Part {
  uint64_t first;
  uint64_t pages;
  uint64_t skew;
};
class MapMovesOfParts : public MapMovesTest,
                        public testing::WithParamInterface<Part> {};

TEST_P(MapMovesOfParts, AreWhatTheyWere) {
  const Part part = GetParam();
  Start(8 * kMiB);
  char* const at = AddRegion(32 * kMiB);
  Fill(at, 0, 8192);
  // A part of it is local, the rest is not.
  ExpectFilled(at, part.first + part.pages / 2, part.pages - part.pages / 2);
  char* const to = Room(part.pages, part.skew);
  char* const from = at + part.first * kPageBytes;
  ASSERT_EQ(MoveTo(from, part.pages, to), to);
  char* const base = to - part.first * kPageBytes;
  for (int pass = 0; pass < 2; ++pass) {
    ExpectFilled(at, 0, part.first);
    ExpectFilled(base, part.first, part.pages);
    const uint64_t end = part.first + part.pages;
    ExpectFilled(at, end, 8192 - end);
  }
  Fill(base, part.first, part.pages, /*salt=*/99999);
  ExpectFilled(at, 0, part.first);
  ExpectFilled(base, part.first, part.pages, /*salt=*/99999);
  // What is where it was is the program's own.
  if (Reserve(from, 1)) {
    mprotect(from, kPageBytes, PROT_READ | PROT_WRITE);
    ExpectZeros(from, 0, 1);
    munmap(from, kPageBytes);
  }
  // Its slots come back when it is unmapped there.
  ASSERT_EQ(munmap(to, part.pages * kPageBytes), 0);
  EXPECT_TRUE(Eventually([&] {
    const PagerStats stats = pager_->Stats();
    return stats.remote_bytes + stats.resident_bytes <=
           (8192 - part.pages) * kPageBytes;
  }));
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, MapMovesOfParts,
                         testing::Values(Part{0, 8192, 0}, Part{0, 8192, 5},
                                         Part{512, 1024, 0}, Part{5000, 700, 3},
                                         Part{1000, 2000, 1000 % 512},
                                         Part{517, 3, 0}));

TEST_F(MapMovesTest, ZerosStayZeros) {
  Start(8 * kMiB);
  char* const at = AddRegion(8 * kMiB);
  Fill(at, 0, 1);
  char* const to = Room(2048, 7);
  ASSERT_EQ(MoveTo(at, 2048, to), to);
  ExpectFilled(to, 0, 1);
  ExpectZeros(to, 1, 2047);
}

TEST_F(MapMovesTest, OntoAnotherPartOfItsRegion) {
  Start(8 * kMiB);
  char* const at = AddRegion(32 * kMiB);
  Fill(at, 0, 8192);
  char* const to = at + 6000 * kPageBytes;
  ASSERT_EQ(MoveTo(at + 1000 * kPageBytes, 1500, to), to);
  EXPECT_TRUE(Eventually([&] {
    const PagerStats stats = pager_->Stats();
    return stats.remote_bytes + stats.resident_bytes <=
           (8192 - 1500) * kPageBytes;
  }));
  for (int pass = 0; pass < 2; ++pass) {
    ExpectFilled(at, 0, 1000);
    ExpectFilled(at, 2500, 3500);
    ExpectFilled(to - 1000 * kPageBytes, 1000, 1500);
    ExpectFilled(at, 7500, 692);
  }
}

TEST_F(MapMovesTest, WhatIsLeftMappedIsZeros) {
  Start(8 * kMiB);
  char* const at = AddRegion(16 * kMiB);
  Fill(at, 0, 4096);
  char* const to = MoveAnywhere(at + 600 * kPageBytes, 2000);
  ASSERT_NE(to, MAP_FAILED);
  ExpectZeros(at, 600, 2000);
  ExpectFilled(to - 600 * kPageBytes, 600, 2000);
  Fill(at, 600, 2000, /*salt=*/5);
  ExpectFilled(to - 600 * kPageBytes, 600, 2000);
  ExpectFilled(at, 600, 2000, /*salt=*/5);
  ExpectFilled(at, 0, 600);
  ExpectFilled(at, 2600, 1496);
  // And back over it.
  ASSERT_EQ(MoveTo(to, 2000, at + 600 * kPageBytes), at + 600 * kPageBytes);
  ExpectFilled(at, 0, 4096);
}

TEST_F(MapMovesTest, WhatGrowsReadsAsZeros) {
  Start(8 * kMiB);
  char* const at = AddRegion(16 * kMiB);
  Fill(at, 0, 4096);
  auto* const to =
      static_cast<char*>(mremap(at, 16 * kMiB, 20 * kMiB, MREMAP_MAYMOVE));
  ASSERT_NE(to, MAP_FAILED);
  for (int pass = 0; pass < 2; ++pass) {
    ExpectFilled(to, 0, 4096);
    if (pass == 0) ExpectZeros(to, 4096, 1024);
    Fill(to, 4096, 1024);
    ExpectFilled(to, 4096, 1024);
  }
  // Shrunk, and moved in one.
  char* const room = Room(4096, 1);
  ASSERT_EQ(
      mremap(to, 20 * kMiB, 12 * kMiB, MREMAP_MAYMOVE | MREMAP_FIXED, room),
      room);
  ExpectFilled(room, 0, 3072);
  EXPECT_TRUE(Eventually([&] {
    const PagerStats stats = pager_->Stats();
    return stats.remote_bytes + stats.resident_bytes <= 12 * kMiB;
  }));
}

TEST_F(MapMovesTest, EverythingThatAMapCanSuffer) {
  Start(8 * kMiB);
  char* const at = AddRegion(16 * kMiB);
  Fill(at, 0, 4096);
  char* const to = Room(4096, 9);
  ASSERT_EQ(MoveTo(at, 4096, to), to);
  ASSERT_EQ(Discard(to, 100, 700), 0);
  ASSERT_EQ(munmap(to + 2000 * kPageBytes, 96 * kPageBytes), 0);
  char* const third = Room(1000, 0);
  ASSERT_EQ(MoveTo(to + 3000 * kPageBytes, 1000, third), third);
  ASSERT_TRUE(pager_->PageOut(regions_[0]).ok());
  ExpectFilled(to, 0, 100);
  ExpectZeros(to, 100, 700);
  ExpectFilled(to, 800, 1200);
  ExpectFilled(to, 2096, 904);
  ExpectFilled(third - 3000 * kPageBytes, 3000, 1000);
  ExpectFilled(to, 4000, 96);
  // Back where it was: one piece again; unless a thread's stack is there now.
  if (Reserve(to + 3000 * kPageBytes, 1000)) {
    ASSERT_EQ(MoveTo(third, 1000, to + 3000 * kPageBytes),
              to + 3000 * kPageBytes);
    ExpectFilled(to, 2096, 2000);
  }
  if (Reserve(at, 2000)) {
    ASSERT_EQ(MoveTo(to, 2000, at), at);
    ExpectFilled(at, 800, 1200);
  }
}

TEST_F(MapMovesTest, HintsFollow) {
  Start(32 * kMiB);
  char* const at = AddRegion(8 * kMiB);
  Fill(at, 0, 2048);
  char* const to = Room(1000, 3);
  ASSERT_EQ(MoveTo(at + 100 * kPageBytes, 1000, to), to);
  Hints& hints = pager_->hints();
  ASSERT_TRUE(hints.Cold(regions_[0], 0, 8 * kMiB).ok());
  ASSERT_TRUE(hints.Pin(regions_[0], 0, 4 * kMiB).ok());
  ASSERT_TRUE(hints.Unpin(regions_[0], 0, 4 * kMiB).ok());
  const absl::Status status = hints.Discard(regions_[0], 0, 200 * kPageBytes);
  ASSERT_TRUE(status.ok()) << status;
  ExpectZeros(at, 0, 100);
  ExpectZeros(to, 0, 100);
  ExpectFilled(to - 100 * kPageBytes, 200, 900);
  ExpectFilled(at, 1100, 948);
}

TEST_F(MapMovesTest, ANewRegionWhereOneWasMovedFrom) {
  Start(8 * kMiB);
  for (int i = 0; i < 50; ++i) {
    char* const at = AddRegion(2 * kMiB);
    FillPage(at, i);
    char* const room = Room(512, 0);
    ASSERT_EQ(MoveTo(at, 512, room), room);
    // Likely at the same addresses.
    char* const again = AddRegion(2 * kMiB);
    FillPage(again, 1000 + i);
    pager_->PageOut(regions_.back()).IgnoreError();
    ASSERT_TRUE(PageIs(again, 1000 + i));
    ASSERT_TRUE(PageIs(room, i));
  }
}

// Threads whose memory takes turns at addresses of the kernel's choice, which
// are those that another one has just left.
TEST_F(MapMovesTest, AddressesChangeHands) {
  Start(8 * kMiB);
  constexpr int kThreads = 6;
  constexpr uint64_t kPages = 600;
  char* const base = AddRegion(kThreads * 1024 * kPageBytes);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      char* at = base + t * 1024 * kPageBytes;
      Fill(at, 0, kPages, t * kPages);
      for (int i = 0; i < 1000; ++i) {
        // mremap has no way to say "anywhere else" but growing.
        const uint64_t kept = kPages * kPageBytes;
        void* const hint =
            mmap(nullptr, kept, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        char* const to = MoveTo(at, kPages, static_cast<char*>(hint));
        if (to != hint) ++wrong;
        at = to;
        for (int n = 0; n < 8; ++n) {
          const uint64_t p = random() % kPages;
          if (!PageIs(at + p * kPageBytes, t * kPages + p)) ++wrong;
        }
      }
      for (uint64_t p = 0; p < kPages; ++p) {
        if (!PageIs(at + p * kPageBytes, t * kPages + p)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

}  // namespace
}  // namespace farswap::pager
