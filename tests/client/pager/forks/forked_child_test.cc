// Forked children: both see every byte, before and after either writes.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "tests/client/pager/forks/fork_fixture.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace farswap::pager {
namespace {

using ForkedChildTest = ForkFixture;

TEST_F(ForkedChildTest, AChildSeesEveryByte) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  const pid_t child = Fork([&] { return Wrong(at, 0, kPages); });
  EXPECT_EQ(StatusOf(child), 0);
  ExpectFilled(at, 0, kPages);
  const PagerStats stats = pager_->Stats();
  EXPECT_EQ(stats.forks, 1u);
  EXPECT_GT(stats.forked_pages, 0u);
  EXPECT_EQ(stats.pages_lost, 0u);
  EXPECT_TRUE(EventuallyNoChild());
}

// What the parent writes after the fork, goes out and comes back in between:
// the child's are the old ones.
TEST_F(ForkedChildTest, WhatTheParentWritesIsNotTheChilds) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  Signal written;
  const pid_t child = Fork([&] {
    written.Take();
    return Wrong(at, 0, kPages);
  });
  // What is local is shared, until the parent writes.
  PushOut(regions_.back());
  for (uint64_t pass = 1; pass <= 3; ++pass) Fill(at, 0, kPages, pass * 100000);
  ExpectFilled(at, 0, kPages, 300000);
  written.Give();
  EXPECT_EQ(StatusOf(child), 0);
  ExpectFilled(at, 0, kPages, 300000);
  EXPECT_GT(pager_->Stats().takeout_unshared, 0u);
}

TEST_F(ForkedChildTest, WhatTheChildWritesIsNotTheParents) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  Signal written;
  Signal read;
  const pid_t child = Fork([&] {
    Fill(at, 0, kPages, 100000);
    written.Give();
    read.Take();
    return Wrong(at, 0, kPages, 100000);
  });
  written.Take();
  ExpectFilled(at, 0, kPages);
  Fill(at, 0, kPages, 200000);
  ExpectFilled(at, 0, kPages, 200000);
  read.Give();
  EXPECT_EQ(StatusOf(child), 0);
  ExpectFilled(at, 0, kPages, 200000);
}

// The slots that a child still names are kept for it when the parent discards
// or destroys what it had, and are free when the child is gone.
TEST_F(ForkedChildTest, WhatTheParentDropsIsStillTheChilds) {
  char* const at = Remote();
  Signal dropped;
  const pid_t child = Fork([&] {
    dropped.Take();
    return Wrong(at, 0, kPages);
  });
  ASSERT_EQ(Discard(at, 0, kPages / 2), 0);
  ExpectZeros(at, 0, kPages / 2);
  ASSERT_TRUE(pager_->DestroyRegion(regions_.back()).ok());
  regions_.pop_back();
  EXPECT_FALSE(pager_->IsIdle());
  dropped.Give();
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_TRUE(Eventually([&] { return pager_->IsIdle(); }));
}

// A child that never looks: what it held is given back when it is gone.
TEST_F(ForkedChildTest, AChildThatEndsOrCallsExecHoldsNothing) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  for (int i = 0; i < 5; ++i) {
    const pid_t ends = Fork([] { return 7; });
    EXPECT_EQ(StatusOf(ends), 7);
    const pid_t execs = Fork([] {
      execl("/bin/true", "true", nullptr);
      return 1;
    });
    EXPECT_EQ(StatusOf(execs), 0);
    const pid_t killed = Fork([] { return pause(); });
    kill(killed, SIGKILL);
    EXPECT_EQ(StatusOf(killed), 1000 + SIGKILL);
  }
  EXPECT_TRUE(EventuallyNoChild());
  EXPECT_EQ(pager_->Stats().forks, 15u);
  ExpectFilled(at, 0, kPages);
}

// The child changes its own map: its changes are read and answered.
TEST_F(ForkedChildTest, AChildMayDiscardUnmapAndMove) {
  char* const at = Remote();
  const pid_t child = Fork([&] {
    if (Discard(at, 100, 1000) != 0) return 101;
    for (uint64_t p = 100; p < 1100; ++p) {
      if (!IsZeroPage(at + p * kPageBytes)) return 102;
    }
    if (Wrong(at, 0, 100) != 0) return 103;
    if (munmap(at + 1200 * kPageBytes, 100 * kPageBytes) != 0) return 104;
    char* const room = static_cast<char*>(
        mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char* const to = room + 3 * kPageBytes;
    void* const moved =
        mremap(at + 2000 * kPageBytes, 3000 * kPageBytes, 3000 * kPageBytes,
               MREMAP_MAYMOVE | MREMAP_FIXED, to);
    if (moved != to) return 105;
    if (Wrong(to - 2000 * kPageBytes, 2000, 3000) != 0) return 106;
    if (Wrong(at, 5000, kPages - 5000) != 0) return 107;
    return Wrong(at, 1100, 100) + Wrong(at, 1300, 700);
  });
  EXPECT_EQ(StatusOf(child), 0);
  ExpectFilled(at, 0, kPages);
}

// The kernel refuses what reaches across two mappings as a whole. Seen to lose
// each mapping's first page while it was taken for one that is not mapped.
TEST_F(ForkedChildTest, AChildsMappingsMayBeCutInPieces) {
  char* const at = Remote();
  const auto cut = [&] {
    for (uint64_t p = 5; p < 2000; p += 7) {
      if (mprotect(at + p * kPageBytes, kPageBytes, PROT_READ) != 0) return 101;
    }
    return 0;
  };
  const pid_t child = Fork([&] {
    if (cut() != 0) return 101;
    const pid_t its = fork();
    if (its == 0) {
      // Refused: never zeros.
      for (uint64_t p = 0; p < 2000; ++p) {
        if (IsReadable(at + p * kPageBytes)) _exit(102);
      }
      _exit(0);
    }
    const int status = StatusOf(its);
    return status != 0 ? status : Wrong(at, 0, kPages);
  });
  EXPECT_EQ(StatusOf(child), 0);
}

// Where page 0 of a moved range is has no alignment. Seen to crash the pager
// while it had.
TEST_F(ForkedChildTest, WhatAChildMovesMayBeCutAndMovedOn) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  // The parent's may be moved, too.
  char* const half = Room(kPages / 2, 5);
  ASSERT_EQ(MoveTo(at + kBytes / 2, kPages / 2, half), half);
  PushOut(regions_.back());
  const pid_t child = Fork([&] {
    char* const to = Room(256, 3);
    if (MoveTo(at, 256, to) != to) return 101;
    if (munmap(to + 16 * kPageBytes, kPageBytes) != 0) return 102;
    char* const on = Room(239, 7);
    if (MoveTo(to + 17 * kPageBytes, 239, on) != on) return 103;
    char* const further = Room(700, 11);
    if (MoveTo(half + 900 * kPageBytes, 700, further) != further) return 104;
    if (munmap(further + 300 * kPageBytes, 5 * kPageBytes) != 0) return 105;
    const uint64_t p = kPages / 2;
    return Wrong(to, 0, 16) + Wrong(on - 17 * kPageBytes, 17, 239) +
           Wrong(at, 256, p - 256) + Wrong(half - p * kPageBytes, p, 900) +
           Wrong(further - (p + 900) * kPageBytes, p + 900, 300) +
           Wrong(further - (p + 900) * kPageBytes, p + 1205, 395) +
           Wrong(half - p * kPageBytes, p + 1600, p - 1600);
  });
  EXPECT_EQ(StatusOf(child), 0);
}

// A range that ends amid a table of its page map. Seen to write past the map.
TEST_F(ForkedChildTest, WhatIsCutOfALargeRangeIsRight) {
  Start(8 * kMiB);
  constexpr uint64_t kBlocks = 600;
  char* const at = AddRegion(kBlocks * kPmdBytes);
  for (uint64_t b = 0; b < kBlocks; b += 50) Fill(at, b * kPagesPerPmd, 20);
  Fill(at, (kBlocks - 1) * kPagesPerPmd, 20);
  PushOut(regions_.back());
  const pid_t child = Fork([&] {
    for (const uint64_t cut : {90, 300, 512, 598}) {
      if (munmap(at + cut * kPmdBytes, 30 * kPageBytes) != 0) return 101;
    }
    int wrong = Wrong(at, (kBlocks - 1) * kPagesPerPmd, 20);
    for (uint64_t b = 0; b < kBlocks; b += 50) {
      if (b != 300) wrong += Wrong(at, b * kPagesPerPmd, 20);
    }
    return std::min(wrong, 100);
  });
  EXPECT_EQ(StatusOf(child), 0);
}

// What mremap grows, and leaves behind, is the program's own: zeros. Seen to
// raise SIGBUS.
TEST_F(ForkedChildTest, WhatIsNobodysIsZerosInTheChild) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  char* const to = Room(kPages, 0);
  ASSERT_EQ(MoveTo(at, 512, to, MREMAP_DONTUNMAP), to);
  PushOut(regions_.back());
  const pid_t child = Fork([&] {
    for (uint64_t p = 0; p < 512; ++p) {
      if (!IsZeroPage(at + p * kPageBytes)) return 101;
    }
    char* const grown = static_cast<char*>(
        mremap(to, 512 * kPageBytes, 600 * kPageBytes, MREMAP_MAYMOVE));
    if (grown == MAP_FAILED) return 102;
    for (uint64_t p = 512; p < 600; ++p) {
      if (!IsZeroPage(grown + p * kPageBytes)) return 103;
    }
    return Wrong(grown, 0, 512) + Wrong(at, 512, kPages - 512);
  });
  EXPECT_EQ(StatusOf(child), 0);
}

TEST_F(ForkedChildTest, ManyThreadsOfAChildFaultAtATime) {
  char* const at = Remote();
  const pid_t child = Fork([&] {
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (uint64_t p = t; p < kPages; p += 4) wrong += Wrong(at, p, 1);
      });
    }
    for (std::thread& thread : threads) thread.join();
    return std::min(wrong.load(), 100);
  });
  EXPECT_EQ(StatusOf(child), 0);
}

// Forks while threads write, discard and push each other's pages out.
TEST_F(ForkedChildTest, AForkAmidFaultsAndReclaim) {
  Start(8 * kMiB, 1024, std::chrono::seconds(30), 8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  // Of each page one thread writes; its stamp only grows.
  for (uint64_t t = 0; t < 3; ++t) {
    char* const mine = AddRegion(4 * kMiB);
    threads.emplace_back([&stop, mine, t] {
      for (uint64_t pass = 0; !stop; ++pass) {
        Fill(mine, 0, 1024, pass * 10000 + t);
        ExpectFilled(mine, 0, 1024, pass * 10000 + t);
        if (pass % 3 == 0) {
          EXPECT_EQ(Discard(mine, 0, 512), 0);
          ExpectZeros(mine, 0, 512);
        }
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    const pid_t child = Fork([&] { return Wrong(at, 0, kPages); });
    ExpectFilled(at, 0, kPages);
    EXPECT_EQ(StatusOf(child), 0) << "fork " << i;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pager_->Stats().pages_lost, 0u);
}

}  // namespace
}  // namespace farswap::pager
