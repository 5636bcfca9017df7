// Forked children: both see every byte, before and after either writes.
//
// As a child of a test has one thread and must not return, it reports by its
// exit status.
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "client/runtime/child_watch.h"
#include "tests/client/pager/map_fixture.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::pager {
namespace {

class PagerForkTest : public MapFixture {
 protected:
  void SetUp() override {
    if (!HasForkEvents()) {
      GTEST_SKIP() << "NOT TESTED: no privilege to be told of forks; run as "
                      "root, outside of a user namespace";
    }
  }
  // Runs `body` in a child; its result is the exit status.
  pid_t Fork(const std::function<int()>& body) {
    const int socket = pager_->PrepareFork();
    EXPECT_GE(socket, 0);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
      runtime::WatchPager(socket, parent);
      _exit(body());
    }
    close(socket);
    pager_->ForkDone();
    return child;
  }
  static int StatusOf(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // How many of the pages are not what they should be, at most 100.
  static int Wrong(const char* at, uint64_t first, uint64_t count,
                   uint64_t salt = 0) {
    int wrong = 0;
    for (uint64_t p = first; p < first + count && wrong < 100; ++p) {
      wrong += PageIs(at + p * kPageBytes, p + salt) ? 0 : 1;
    }
    return wrong;
  }
  static bool IsZeroPage(const char* at) {
    static const char zeros[kPageBytes] = {};
    return std::memcmp(at, zeros, kPageBytes) == 0;
  }
  bool EventuallyNoChild() {
    return Eventually([&] { return pager_->Stats().forked_children == 0; });
  }
};

constexpr uint64_t kBytes = 32 * kMiB;
constexpr uint64_t kPages = kBytes / kPageBytes;

// A pipe that one process waits at for the other.
class Signal {
 public:
  Signal() { EXPECT_EQ(pipe(fds_), 0); }
  ~Signal() {
    close(fds_[0]);
    close(fds_[1]);
  }
  void Give() { EXPECT_EQ(write(fds_[1], "x", 1), 1); }
  void Take() {
    char byte;
    EXPECT_EQ(read(fds_[0], &byte, 1), 1);
  }

 private:
  int fds_[2] = {};
};

TEST_F(PagerForkTest, AChildSeesEveryByte) {
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
TEST_F(PagerForkTest, WhatTheParentWritesIsNotTheChilds) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  Signal written;
  const pid_t child = Fork([&] {
    written.Take();
    return Wrong(at, 0, kPages);
  });
  for (uint64_t pass = 1; pass <= 3; ++pass) Fill(at, 0, kPages, pass * 100000);
  ExpectFilled(at, 0, kPages, 300000);
  written.Give();
  EXPECT_EQ(StatusOf(child), 0);
  ExpectFilled(at, 0, kPages, 300000);
  EXPECT_GT(pager_->Stats().takeout_unshared, 0u);
}

TEST_F(PagerForkTest, WhatTheChildWritesIsNotTheParents) {
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
TEST_F(PagerForkTest, WhatTheParentDropsIsStillTheChilds) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  PushOut(regions_.back());
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
TEST_F(PagerForkTest, AChildThatEndsOrCallsExecHoldsNothing) {
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
TEST_F(PagerForkTest, AChildMayDiscardUnmapAndMove) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  PushOut(regions_.back());
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
TEST_F(PagerForkTest, AChildsMappingsMayBeCutInPieces) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  PushOut(regions_.back());
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

// Of a child that moves what is remote while nobody serves it any more.
TEST_F(PagerForkTest, WhatAChildMovesWhileThePagerEndsIsNeverZeros) {
  for (int round = 0; round < 2; ++round) {
    Start(8 * kMiB);
    char* const at = AddRegion(kBytes);
    Fill(at, 0, kPages);
    PushOut(regions_.back());
    Signal ready;
    Signal ended;
    const pid_t child = Fork([&] {
      std::atomic<bool> stop{false};
      char* now = at;
      std::thread mover([&] {
        for (bool first = true; !stop; first = false) {
          void* const room = mmap(nullptr, kBytes, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          now = static_cast<char*>(
              mremap(now, kBytes, kBytes, MREMAP_MAYMOVE | MREMAP_FIXED, room));
          if (first) ready.Give();
        }
      });
      ended.Take();
      stop = true;
      mover.join();
      for (uint64_t p = 0; p < kPages; ++p) {
        if (IsReadable(now + p * kPageBytes))
          return PageIs(now + p * kPageBytes, p) ? 101 : 102;
      }
      return 0;
    });
    ready.Take();
    ASSERT_TRUE(pager_->DestroyRegion(regions_.back()).ok());
    regions_.clear();
    pager_.reset();
    ended.Give();
    EXPECT_EQ(StatusOf(child), 0) << "round " << round;
  }
}

TEST_F(PagerForkTest, ManyThreadsOfAChildFaultAtATime) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  PushOut(regions_.back());
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
TEST_F(PagerForkTest, AForkAmidFaultsAndReclaim) {
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

// A raw clone, and a child's child, have nobody who would end them with the
// pager: what they have not got is SIGBUS, never zeros.
TEST_F(PagerForkTest, AForkThatNobodyPreparedHasSigbusForWhatIsRemote) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  PushOut(regions_.back());
  FillPage(at, 4711);
  const auto grand = [&] {
    if (!PageIs(at, 4711)) return 101;
    for (uint64_t p = kPagesPerPmd; p < kPages; p += 100) {
      if (IsReadable(at + p * kPageBytes)) return 102;
    }
    return 0;
  };
  const auto raw = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (raw == 0) _exit(grand());
  EXPECT_EQ(StatusOf(raw), 0);
  const pid_t child = Fork([&] {
    const pid_t its = fork();
    if (its == 0) _exit(grand());
    return StatusOf(its);
  });
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_EQ(pager_->Stats().forks_refused, 2u);
  ExpectFilled(at, 1, kPages - 1);
}

TEST_F(PagerForkTest, WhenThePagerEndsFirstAChildHasSigbusAndLives) {
  Start(8 * kMiB);
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  PushOut(regions_.back());
  Signal read;
  Signal ended;
  const pid_t child = Fork([&] {
    if (Wrong(at, 0, 10) != 0) return 101;
    read.Give();
    ended.Take();
    if (Wrong(at, 0, 10) != 0) return 102;
    return IsReadable(at + (kPages - 1) * kPageBytes) ? 103 : 0;
  });
  read.Take();
  ASSERT_TRUE(pager_->DestroyRegion(regions_.back()).ok());
  regions_.clear();
  pager_.reset();
  ended.Give();
  EXPECT_EQ(StatusOf(child), 0);
}

TEST_F(PagerForkTest, LostBytesAreSigbusInTheChildToo) {
  Start(8 * kMiB, 1024, std::chrono::seconds(2));
  char* const at = AddRegion(kBytes);
  Fill(at, 0, kPages);
  PushOut(regions_.back());
  Signal lost;
  const pid_t child = Fork([&] {
    lost.Take();
    int readable = 0;
    for (uint64_t p = 0; p < kPages; p += kPagesPerPmd) {
      readable += IsReadable(at + p * kPageBytes);
    }
    return readable;
  });
  transport_->LoseContents();
  lost.Give();
  EXPECT_EQ(StatusOf(child), 0);
  EXPECT_GT(pager_->Stats().pages_lost, 0u);
}

}  // namespace
}  // namespace farswap::pager
